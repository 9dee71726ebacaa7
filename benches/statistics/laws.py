"""Distributions whose tails are known exactly, so that what a bound refuses needs no second sample.

`TUNED` are those that the recipe was made with. `FRESH` came after it; two changes answer to what they showed (decisions
0020 and 0021). `UNSEEN` came after those changes, and nothing was changed for them: what holds there is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

__all__ = [
    "FRESH",
    "TUNED",
    "UNSEEN",
    "Array",
    "Law",
    "Table",
    "constant",
    "empirical",
    "mixture",
    "real",
    "stats",
    "whole",
]

stats: Any = scipy_stats  # its names are made as it loads
Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Law:
    """A distribution: how to draw from it, and the share of its values strictly below and strictly above a number."""

    draw: Callable[[np.random.Generator, int], Array]
    below: Callable[[float], float]
    above: Callable[[float], float]


#: Draws `n` rows of a table: its columns by name, and the laws that their clean values follow.
Table: TypeAlias = Callable[[np.random.Generator, int], tuple[Mapping[str, Array], Mapping[str, Law]]]


def real(law: Any) -> Law:
    """A continuous distribution of SciPy's."""
    return Law(
        lambda random, n: law.rvs(n, random_state=random), lambda x: float(law.cdf(x)), lambda x: float(law.sf(x))
    )


def whole(law: Any) -> Law:
    """A discrete distribution of SciPy's."""
    return Law(
        lambda random, n: law.rvs(n, random_state=random).astype(np.int64),
        lambda x: float(law.cdf(math.ceil(x) - 1)),
        lambda x: float(law.sf(math.floor(x))),
    )


def constant(value: float) -> Law:
    """Always the same value."""
    return Law(lambda _, n: np.full(n, value), lambda x: float(value < x), lambda x: float(value > x))


def mixture(*parts: tuple[float, Law]) -> Law:
    """Laws with their weights, which sum to 1."""

    def draw(random: np.random.Generator, n: int) -> Array:
        which = random.choice(len(parts), n, p=[weight for weight, _ in parts])
        drawn = [law.draw(random, n) for _, law in parts]
        return np.choose(which, drawn)

    return Law(
        draw,
        lambda x: sum(weight * law.below(x) for weight, law in parts),
        lambda x: sum(weight * law.above(x) for weight, law in parts),
    )


def rounded(law: Law, step: float) -> Law:
    """Values as people write them: to the next multiple of `step`."""

    def edge(x: float, side: float) -> float:
        return (math.floor(x / step + 1e-9) if side > 0 else math.ceil(x / step - 1e-9)) * step + side * step / 2

    return Law(
        lambda random, n: np.round(np.round(law.draw(random, n) / step) * step, 10),
        lambda x: law.below(edge(x, -1)),
        lambda x: law.above(edge(x, 1)),
    )


def clipped(law: Law, low: float, high: float) -> Law:
    """Values that a wall holds: beyond it they become the wall's."""
    return Law(
        lambda random, n: np.clip(law.draw(random, n), low, high),
        lambda x: law.below(x) if x > low else 0.0,
        lambda x: law.above(x) if x < high else 0.0,
    )


def empirical(population: Array, weights: Array | None = None) -> Law:
    """A large population that is drawn from without putting back (with `weights`: with), and is the whole truth."""
    ordered = np.sort(population)
    size = len(ordered)
    if weights is not None:
        values, share = population, weights / weights.sum()
        return Law(
            lambda random, n: random.choice(values, n, p=share),
            lambda x: float(share[values < x].sum()),
            lambda x: float(share[values > x].sum()),
        )
    return Law(
        lambda random, n: population[random.choice(size, n, replace=False)],
        lambda x: float(np.searchsorted(ordered, x, side="left")) / size,
        lambda x: 1 - float(np.searchsorted(ordered, x, side="right")) / size,
    )


def _zipf_of(ranks: int, exponent: float) -> Law:
    values = np.arange(1, ranks + 1)
    return empirical(values, values**-exponent)


_normal = stats.norm

TUNED: Final[Mapping[str, Law]] = {
    "uniform": real(stats.uniform(0, 1)),
    "normal": real(_normal(50, 5)),
    "normal, never negative": real(_normal(3.5, 1)),
    "exponential": real(stats.expon()),
    "lognormal 1": real(stats.lognorm(1)),
    "lognormal 0.5": real(stats.lognorm(0.5)),
    "t 4": real(stats.t(4)),
    "gamma 2": real(stats.gamma(2)),
    "gamma 0.5": real(stats.gamma(0.5)),
    "beta 2 5": real(stats.beta(2, 5)),
    "Weibull 1.5": real(stats.weibull_min(1.5)),
    "Laplace": real(stats.laplace()),
    "Pareto 3": real(stats.pareto(3)),
    "triangular": real(stats.triang(0.3)),
    "two normals": mixture((0.7, real(_normal(0, 1))), (0.3, real(_normal(8, 2)))),
    "zeros and exponential": mixture((0.6, constant(0.0)), (0.4, real(stats.expon(0, 20)))),
    "normal, clipped": clipped(real(_normal(0, 1)), -1.5, 2.0),
    "prices": rounded(real(stats.lognorm(0.8, 0, 20)), 0.01),
    "Poisson 4": whole(stats.poisson(4)),
    "Poisson 100": whole(stats.poisson(100)),
    "dice": whole(stats.randint(1, 7)),
    "hundred": whole(stats.randint(0, 100)),
    "geometric 0.3": whole(stats.geom(0.3)),
    "binomial 20": whole(stats.binom(20, 0.4)),
}

FRESH: Final[Mapping[str, Law]] = {
    "logistic": real(stats.logistic(10, 2)),
    "Gumbel": real(stats.gumbel_r(5, 2)),
    "inverse Gauss": real(stats.invgauss(1.0)),
    "t 3": real(stats.t(3)),
    "t 2": real(stats.t(2)),
    "lognormal 1.5": real(stats.lognorm(1.5)),
    "Weibull 0.7": real(stats.weibull_min(0.7)),
    "Burr": real(stats.burr12(3, 1)),
    "chi-squared 1": real(stats.chi2(1)),
    "beta 0.5 0.5": real(stats.beta(0.5, 0.5)),
    "beta 5 1": real(stats.beta(5, 1)),
    "skewed normal": real(stats.skewnorm(6)),
    "Maxwell": real(stats.maxwell()),
    "arcsine and normal": mixture((0.5, real(stats.arcsine())), (0.5, real(_normal(2, 0.2)))),
    "a far cluster of 1%": mixture((0.99, real(_normal(0, 1))), (0.01, real(_normal(30, 1)))),
    "a far cluster of 0.1%": mixture((0.999, real(_normal(0, 1))), (0.001, real(_normal(30, 1)))),
    "zeros and lognormal": mixture((0.9, constant(0.0)), (0.1, real(stats.lognorm(1.0, 0, 50)))),
    "halves": rounded(real(stats.gamma(3.0)), 0.5),
    "ratings": rounded(real(stats.beta(4, 2, 0, 10)), 0.1),
    "Zipf 2.5": whole(stats.zipf(2.5)),
    "Zipf 1 of 1000": _zipf_of(1000, 1.0),
    "negative binomial": whole(stats.nbinom(2, 0.1)),
    "Poisson 0.1": whole(stats.poisson(0.1)),
    "Skellam": whole(stats.skellam(3, 3)),
    "log series": whole(stats.logser(0.95)),
    "hypergeometric": whole(stats.hypergeom(100, 30, 20)),
}

UNSEEN: Final[Mapping[str, Law]] = {
    "log-logistic 1.2": real(stats.fisk(1.2)),
    "Lomax 1.3": real(stats.lomax(1.3)),
    "inverse gamma 1.2": real(stats.invgamma(1.2)),
    "F 2 2": real(stats.f(2, 2)),
    "Frechet 1.4": real(stats.invweibull(1.4)),
    "lognormal 2.5": real(stats.lognorm(2.5)),
    "Nakagami": real(stats.nakagami(0.6)),
    "exponential and normal": real(stats.exponnorm(3)),
    "Rice": real(stats.rice(1.5)),
    "log-gamma": real(stats.loggamma(0.8)),
    "generalised normal 1.5": real(stats.gennorm(1.5)),
    "power 0.3": real(stats.powerlaw(0.3)),
    "normal, cut off": real(stats.truncnorm(-1, 1.5)),
    "semicircle": real(stats.semicircular()),
    "two lognormals": mixture((0.8, real(stats.lognorm(0.4))), (0.2, real(stats.lognorm(0.6, 0, 10)))),
    "minus one for unknown": mixture((0.05, constant(-1.0)), (0.95, real(stats.gamma(4)))),
    "a far cluster of 0.5%": mixture((0.995, real(stats.expon())), (0.005, real(_normal(80, 2)))),
    "t 5 in quarters": rounded(real(stats.t(5)), 0.25),
    "exponential in steps of 0.3": rounded(real(stats.expon()), 0.3),
    "Zipf 1.9": whole(stats.zipf(1.9)),
    "Yule 1.5": whole(stats.yulesimon(1.5)),
    "beta-binomial": whole(stats.betabinom(50, 2, 5)),
    "Planck": whole(stats.planck(0.2)),
    "two Poissons": mixture((0.9, whole(stats.poisson(3))), (0.1, whole(stats.poisson(40)))),
}
