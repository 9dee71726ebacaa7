from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats as scipy_stats

from assay.profile import bounds
from assay.profile.bounds import Bound
from assay.profile.document import Numbers

stats: Any = scipy_stats  # its names are made as it loads
NumbersOf = Callable[[Any], Numbers]
EPS = 5e-7

# name: (law, integers, width over observed range that science measured at 10,000 rows or None)
LAWS: dict[str, tuple[Any, bool, float | None]] = {
    "uniform": (stats.uniform(0, 1), False, 1.15),
    "normal": (stats.norm(50, 5), False, 1.65),
    "exponential": (stats.expon(), False, 2.6),
    "lognormal": (stats.lognorm(1), False, 5.9),
    "t4": (stats.t(4), False, 5.2),
    "poisson4": (stats.poisson(4), True, 1.4),
    "gamma": (stats.gamma(2), False, None),
    "beta": (stats.beta(2, 5), False, None),
    "poisson100": (stats.poisson(100), True, None),
    "dice": (stats.randint(1, 7), True, 1.0),
    "hundred": (stats.randint(0, 100), True, None),
}


def learned(numbers: Numbers, eps: float = EPS) -> tuple[Bound | None, Bound | None]:
    return bounds.lower(numbers, eps), bounds.upper(numbers, eps)


def refused(law: Any, low: Bound | None, high: Bound | None) -> float:
    """The share of clean values beyond the bounds, the clamp at 0 apart: it is a never-seen claim."""
    share = 0.0 if high is None else float(law.sf(high.value))
    if low is not None and low.rule != "sign":
        share += float(law.cdf(low.value) - (law.pmf(low.value) if hasattr(law, "pmf") and _discrete(law) else 0))
    return share


def _discrete(law: Any) -> bool:
    return isinstance(law.dist, stats.rv_discrete)


def simulate(law: Any, n: int, trials: int, numbers_of: NumbersOf) -> tuple[float, float]:
    """The mean share refused, and the median width of the bounds over the observed range."""
    random = np.random.default_rng(7)
    shares, widths = [], []
    for _ in range(trials):
        numbers = numbers_of(law.rvs(n, random_state=random))
        low, high = learned(numbers)
        shares.append(refused(law, low, high))
        if low is not None and high is not None:
            widths.append((high.value - low.value) / (numbers.maximum - numbers.minimum))
    return float(np.mean(shares)), float(np.median(widths)) if widths else math.nan


@pytest.mark.parametrize("name", LAWS)
def test_clean_values_are_refused_within_the_budget(name: str, numbers_of: NumbersOf) -> None:
    law, _, width = LAWS[name]
    share, measured_width = simulate(law, 10_000, 40, numbers_of)
    assert share < 2e-6
    if width is not None:
        # One end of the exponential and lognormal is clamped at 0, which the table's width has, too.
        assert width / 1.35 < measured_width < width * 1.35


def test_all_fields_together_stay_within_the_budget(numbers_of: NumbersOf) -> None:
    means = [simulate(law, 10_000, 20, numbers_of)[0] for law, _, _ in LAWS.values()]
    assert sum(means) < 1e-5


@pytest.mark.parametrize(("n", "most"), [(500, 3e-5), (1_000, 1e-5)])
def test_few_rows_refuse_little_more(n: int, most: float, numbers_of: NumbersOf) -> None:
    laws = [LAWS[name][0] for name in ("uniform", "normal", "exponential", "poisson4")]
    assert np.mean([simulate(law, n, 60, numbers_of)[0] for law in laws]) < most


def test_below_500_rows_nothing_is_bounded(numbers_of: NumbersOf) -> None:
    assert learned(numbers_of(np.arange(499))) == (None, None)


def test_a_constant_is_not_bounded(numbers_of: NumbersOf) -> None:
    assert learned(numbers_of([3] * 10_000)) == (None, None)


def test_integers_that_end_at_a_wall_are_bounded_there(numbers_of: NumbersOf) -> None:
    low, high = learned(numbers_of(np.random.default_rng(1).integers(20, 81, 10_000)))
    assert low is not None
    assert high is not None
    assert (low.value, low.rule, high.value, high.rule) == (20, "edge", 80, "edge")
    assert high.share < 1e-10


def test_reals_that_are_clipped_end_there(numbers_of: NumbersOf) -> None:
    low, high = learned(numbers_of(np.clip(np.random.default_rng(1).normal(0, 1, 10_000), -9, 2)))
    assert high is not None
    assert (high.value, high.rule) == (2.0, "edge")
    assert low is not None
    assert low.rule == "tail"


def test_beyond_an_atom_only_the_rest_has_a_tail(numbers_of: NumbersOf) -> None:
    random = np.random.default_rng(1)
    values = np.where(random.random(20_000) < 0.99, 0.0, 10 + random.exponential(5, 20_000))
    low, high = learned(numbers_of(values))
    assert high is not None
    assert high.rule == "atom"
    assert high.value > values.max()
    assert low == Bound(0, "sign", bounds.never_seen(20_000))


def test_too_few_values_beyond_an_atom_say_nothing(numbers_of: NumbersOf) -> None:
    values = np.concatenate([np.zeros(10_000), np.linspace(-1, -2, 60), np.linspace(1, 2, 60)])
    assert learned(numbers_of(values)) == (None, None)


def test_what_was_never_negative_stays_so(numbers_of: NumbersOf) -> None:
    low, _ = learned(numbers_of(np.random.default_rng(1).exponential(1, 10_000)))
    assert low is not None
    assert low.value == 0
    assert low.share <= bounds.never_seen(10_000)


# Laws that bounds were not made with, too heavy for a cap at five times the spread: 1.0e-5 to 3.7e-5 with it.
HEAVY: dict[str, Any] = {
    "log-logistic": stats.fisk(1.2),
    "Lomax": stats.lomax(1.3),
    "inverse gamma": stats.invgamma(1.2),
    "F": stats.f(2, 2),
    "Cauchy": stats.cauchy(),
    "Zipf": stats.zipf(1.9),
}


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_tails_stay_within_the_budget(name: str, numbers_of: NumbersOf) -> None:
    assert simulate(HEAVY[name], 10_000, 25, numbers_of)[0] < 8e-6


def test_a_tail_without_a_mean_has_no_bound(numbers_of: NumbersOf) -> None:
    drawn = stats.levy().rvs(10_000, random_state=np.random.default_rng(1))
    low, high = learned(numbers_of(drawn))
    assert (low is not None, high) == (True, None)


def test_a_cluster_apart_is_no_heavy_tail(numbers_of: NumbersOf) -> None:
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(0, 1, 9_980), random.normal(100, 1, 20)])
    _, high = learned(numbers_of(values))
    assert high is not None
    assert high.value < 7 * values.max()


def test_a_grid_ends_at_its_wall(numbers_of: NumbersOf) -> None:
    stars = np.random.default_rng(1).integers(2, 11, 10_000) / 2
    low, high = learned(numbers_of(stars))
    assert low is not None
    assert high is not None
    assert (low.value, low.rule, high.value, high.rule) == (1.0, "edge", 5.0, "edge")


def test_beyond_a_grid_the_bound_is_a_point_of_it(numbers_of: NumbersOf) -> None:
    tenths = np.round(np.random.default_rng(1).normal(37, 0.4, 10_000), 1)
    low, high = learned(numbers_of(tenths))
    assert low is not None
    assert high is not None
    assert high.rule == low.rule == "tail"
    assert round(high.value, 1) == high.value > tenths.max()
    assert round(low.value, 1) == low.value < tenths.min()


@pytest.mark.parametrize("step", [0.5, 0.1, 0.25])
def test_values_on_a_grid_stay_within_the_budget(step: float, numbers_of: NumbersOf) -> None:
    law, random, shares = stats.gamma(3), np.random.default_rng(3), []
    for _ in range(40):
        values = np.round(np.round(law.rvs(10_000, random_state=random) / step) * step, 10)
        high = bounds.upper(numbers_of(values), EPS)
        assert high is not None
        shares.append(law.sf(high.value + step / 2))
    assert np.mean(shares) < 2e-6


def test_rows_needed(numbers_of: NumbersOf) -> None:
    assert bounds.rows_needed(numbers_of(np.arange(400))) == 500
    assert bounds.rows_needed(numbers_of(np.arange(4_000))) is None
    few_beyond = np.concatenate([np.zeros(10_000), np.linspace(1, 2, 50)])
    assert bounds.rows_needed(numbers_of(few_beyond)) == 20_100


def test_many_ties_at_the_top_that_are_no_wall(numbers_of: NumbersOf) -> None:
    # 3% on each of 33 steps of a quarter: the threshold falls on the largest of all.
    _low, high = learned(numbers_of(np.random.default_rng(1).integers(0, 33, 30_000) / 4))
    assert high is not None
    assert high.value >= 8


@pytest.mark.parametrize(("fields", "eps"), [(1, 5e-7), (10, 5e-7), (20, 2.5e-7), (0, 5e-7)])
def test_the_budget_is_shared(fields: int, eps: float) -> None:
    assert bounds.epsilon(1e-5, fields) == pytest.approx(eps)


@given(
    values=hnp.arrays(
        st.sampled_from([np.float64, np.int64]),
        st.integers(500, 700),
        elements=st.one_of(st.integers(-1000, 1000), st.integers(-3, 3)),
    ),
    scale=st.sampled_from([1, 1_000_000_007, 10**15]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_seen_is_allowed(values: Any, scale: int, numbers_of: NumbersOf) -> None:
    numbers = numbers_of(values * scale)
    low, high = learned(numbers)
    assert low is None or low.value <= numbers.minimum
    assert high is None or high.value >= numbers.maximum
    for end in (low, high):
        assert end is None or (math.isfinite(end.value) and 0 <= end.share <= 1)
