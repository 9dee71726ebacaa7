"""Volume that goes with the hours is known by them, where there is history enough."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from assay.profile.document import Hours
from assay.profile.waves import waves

#: Hours since 1970; a Monday's first.
FIRST = 486_000 - (486_000 - 96) % 168


def by_day(hour: int) -> float:
    return 1000 * math.exp(1.2 * math.sin(2 * math.pi * hour / 24))


def by_week(hour: int) -> float:
    return by_day(hour) * (0.2 if hour // 24 % 7 >= 5 else 1.0)


def history(usual: Callable[[int], float], days: int) -> Hours:
    rng = np.random.default_rng(1)
    return Hours(FIRST, tuple(int(rng.poisson(usual(FIRST - 96 + hour))) for hour in range(days * 24)))


def curve(found: list[tuple[float, float, float]], hour: float) -> float:
    return sum(
        a * math.cos(2 * math.pi * hour / period) + b * math.sin(2 * math.pi * hour / period) for period, a, b in found
    )


@pytest.mark.parametrize(
    ("usual", "days", "longest"),
    [pytest.param(by_day, 15, 24, id="two weeks: by day"), pytest.param(by_week, 35, 168, id="five weeks: by week")],
)
def test_the_waves_are_those_of_the_volume(usual: Callable[[int], float], days: int, longest: float) -> None:
    found = waves(history(usual, days))
    assert max(found)[0] == longest
    # The level is no matter: it is that of the hour before.
    gaps = [math.log(usual(hour - 96)) - curve(found, hour + 0.5) for hour in range(FIRST, FIRST + 168)]
    near = np.array(gaps) - np.median(gaps)
    assert np.quantile(np.abs(near), 0.75) < 0.25


@pytest.mark.parametrize(
    ("usual", "days"),
    [
        pytest.param(by_day, 13, id="too short"),
        pytest.param(lambda _: 1000.0, 35, id="no hours to tell apart"),
        pytest.param(lambda hour: by_day(hour) / 200, 35, id="too few"),
    ],
)
def test_where_they_would_not_help_there_are_none(usual: Callable[[int], float], days: int) -> None:
    assert waves(history(usual, days)) == []
    assert waves(None) == []
