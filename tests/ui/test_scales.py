"""Axes and numbers for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.ui.scales import Scale, counted, percent, scale_for, short

FINITE = st.floats(-1e12, 1e12)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (2013, "2013"),
        (9_999, "9999"),
        (15_000, "15k"),
        (158_490, "158k"),
        (999_999, "1M"),
        (1_710_900, "1.71M"),
        (-25_000, "-25k"),
        (0.25, "0.25"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (1e-9, "1e-09"),
        (3e18, "3e+18"),
    ],
)
def test_a_number_in_little_room(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (0.00001, "<0.01%"),
        (0.0002, "0.02%"),
        (0.0345, "3.5%"),
        (0.57, "57%"),
        (0.99999, "99.99%"),
        (1, "100%"),
    ],
)
def test_a_share(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_count() -> None:
    assert [counted(each) for each in (0, 9_135, 1_500_000)] == ["0", "9,135", "1.5M"]


@pytest.mark.parametrize(
    ("low", "high", "quantiles", "kind"),
    [
        pytest.param(0, 100, range(10, 100, 10), "linear", id="even"),
        pytest.param(
            18, 695, (50, 70, 90, 110, 129, 145, 167, 220, 315), "linear", id="a tail that a line still shows"
        ),
        pytest.param(1, 1e6, (10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5), "log", id="powers of ten"),
        pytest.param(-43, 1301, (-7, -5, -4, -3, -2, 1, 6, 18, 49), "symlog", id="delays, on both sides of zero"),
        pytest.param(5, 5, (), "linear", id="a constant"),
    ],
)
def test_the_axis_is_logarithmic_where_values_crowd(
    low: float, high: float, quantiles: tuple[float, ...], kind: str
) -> None:
    assert scale_for(low, high, quantiles).kind == kind


@given(st.lists(FINITE, min_size=2, max_size=12, unique=True), FINITE)
def test_an_axis_is_rising_and_has_its_ends_at_0_and_1(points: list[float], value: float) -> None:
    points = sorted(points)
    axis = scale_for(points[0], points[-1], points[1:-1])
    assert axis.at(points[0]) == pytest.approx(0)
    assert axis.at(points[-1]) == pytest.approx(1)
    places = [axis.at(each) for each in points]
    assert places == sorted(places)
    if points[0] <= value <= points[-1]:
        assert -1e-9 <= axis.at(value) <= 1 + 1e-9


@given(st.lists(FINITE, min_size=2, max_size=12, unique=True))
def test_ticks_lie_on_the_axis_and_are_few(points: list[float]) -> None:
    points = sorted(points)
    axis = scale_for(points[0], points[-1], points[1:-1])
    ticks = axis.ticks(4)
    assert len(ticks) <= 11
    assert ticks == sorted(ticks)
    assert all(-1e-6 <= axis.at(tick) <= 1 + 1e-6 for tick in ticks)


def test_ticks_of_a_logarithm_are_round_and_apart() -> None:
    assert Scale("log", 1, 1e6).ticks(4) == [1, 10, 100, 1e3, 1e4, 1e5, 1e6]
    assert Scale("symlog", -51, 1301, 3).ticks(4) == [-10, 0, 10, 100, 1000]
