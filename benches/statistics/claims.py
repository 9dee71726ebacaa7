"""What claims about the never-seen cost: each against 1/(e*n), which no method can be sure to stay below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from assay.profile.bounds import never_seen
from assay.profile.document import FieldProfile, Profile, Strings
from assay.profile.learn import learn
from benches.statistics.laws import Array
from benches.statistics.refusals import Shares

__all__ = ["SPECTRA", "enum_shares", "good_turing_shares", "unseen_shares"]

_MOST: Final = 400


def _geometric(ratio: float) -> Array:
    return np.array([(1 - ratio) * ratio**i for i in range(_MOST)])


#: Shares of categories, most frequent first.
SPECTRA: Final[Mapping[str, Array]] = {
    "2 alike": np.ones(2),
    "50 alike": np.ones(50),
    "Zipf 1 of 50": 1 / np.arange(1, 51),
    "Zipf 1 of 300": 1 / np.arange(1, 301),
    "Zipf 2 of 100": 1 / np.arange(1, 101) ** 2.0,
    "geometric 0.5": _geometric(0.5),
    "geometric 0.8": _geometric(0.8),
    "one in 1,000": np.array([0.999, 0.001]),
    "one in 10,000": np.array([0.5, 0.4999, 0.0001]),
    "20 alike and 100 rare": np.concatenate([np.full(20, 0.0495), np.full(100, 0.0001)]),
}


def enum_shares(spectrum: Array, *, n: int, trials: int, seed: int) -> tuple[Shares, float]:
    """What an enumeration refuses that `learn` makes of `n` rows; and in which share of the trials it makes one."""
    random = np.random.default_rng([seed, n])
    share = spectrum / spectrum.sum()
    refused, made = Shares(), 0
    for _ in range(trials):
        counts = random.multinomial(n, share)
        seen = np.flatnonzero(counts)
        values = tuple((_name(int(i)), int(counts[i])) for i in seen)
        strings = Strings(n, len(seen), values=values, complete=True)
        field = FieldProfile("c", n, {"string": n}, strings=strings)
        enum = learn(Profile("d", n, (field,))).fields[0].enum
        made += enum is not None
        refused.shares.append(0.0 if enum is None else float(share[counts == 0].sum()))
    return refused, made / trials


def _name(number: int) -> str:
    """The name of a category: without digits, as what differs in those alone is no enumeration."""
    return chr(ord("a") + number // 26) + chr(ord("a") + number % 26)


def good_turing_shares(spectrum: Array, *, n: int, trials: int, seed: int) -> Shares:
    """The same for another rule: few values and hardly any seen once, so that Good and Turing expect few unseen."""
    random = np.random.default_rng([seed, n])
    share = spectrum / spectrum.sum()
    refused = Shares()
    for _ in range(trials):
        counts = random.multinomial(n, share)
        is_enum = np.count_nonzero(counts) <= 100 and np.count_nonzero(counts == 1) <= 1e-4 * n
        refused.shares.append(float(share[counts == 0].sum()) if is_enum else 0.0)
    return refused


def unseen_shares(*, n: int, trials: int, seed: int) -> tuple[float, float]:
    """What "never null" costs where nulls are as common as hurts most, 1/n: simulated, and as `learn` says."""
    random = np.random.default_rng([seed, n])
    unseen = random.binomial(n, 1 / n, trials) == 0
    assert math.isclose(never_seen(n), 1 / (math.e * n))
    return float(np.mean(unseen)) / n, never_seen(n)
