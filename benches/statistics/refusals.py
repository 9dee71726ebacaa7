"""How many clean values learned bounds refuse: one field at a time, and whole tables through `learn`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from assay.contract.document import Field
from assay.profile import bounds
from assay.profile.document import Numbers, Profile
from assay.profile.learn import learn
from benches.statistics.laws import Law, Table
from benches.statistics.measured import field_of, numbers_of
from benches.statistics.rivals import RIVALS

__all__ = ["BUDGET", "Refused", "Shares", "field_shares", "table_shares", "widths"]

BUDGET: Final = 1e-5
#: What a single field gets of the budget at most: as one of ten.
_EPS: Final = bounds.epsilon(BUDGET, 1)


@dataclass
class Shares:
    """Shares of clean values, in [0, 1], that each trial's bounds refuse. `claimed`: what never-seen claims cost, apart."""

    shares: list[float] = field(default_factory=list)
    claimed: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Over all trials."""
        return float(np.mean(self.shares))

    @property
    def worst(self) -> float:
        """The worst trial."""
        return max(self.shares)

    @property
    def mean_claimed(self) -> float:
        """What never-seen claims refused, over all trials."""
        return float(np.mean(self.claimed)) if self.claimed else 0.0


#: By entrant ("recipe", "min/max" ...).
Refused: TypeAlias = dict[str, Shares]


def field_shares(law: Law, *, n: int, trials: int, seed: int) -> Refused:
    """One field of `n` rows, drawn and learned `trials` times: the recipe beside the usual bounds."""
    random = np.random.default_rng([seed, n])
    refused = {name: Shares() for name in ("recipe", *RIVALS)}
    for _ in range(trials):
        values = law.draw(random, n)
        numbers = numbers_of(values)
        share, claimed = _recipe(law, numbers)
        refused["recipe"].shares.append(share)
        refused["recipe"].claimed.append(claimed)
        for name, rival in RIVALS.items():
            low, high = rival(values)
            refused[name].shares.append(law.below(low) + law.above(high))
    return refused


def _recipe(law: Law, numbers: Numbers) -> tuple[float, float]:
    """What both ends refuse; and what the claim costs that nothing is negative."""
    low, high = bounds.lower(numbers, _EPS), bounds.upper(numbers, _EPS)
    share = law.above(float(high.value)) if high is not None else 0.0
    below = law.below(float(low.value)) if low is not None else 0.0
    is_claim = low is not None and low.rule == "sign"
    return share + (0.0 if is_claim else below), below if is_claim else 0.0


def widths(law: Law, *, n: int, trials: int, seed: int) -> float:
    """The median width of what is allowed, over the width of what was seen; NaN where an end stays open."""
    random = np.random.default_rng([seed, n])
    found = []
    for _ in range(trials):
        numbers = numbers_of(law.draw(random, n))
        low, high = bounds.lower(numbers, _EPS), bounds.upper(numbers, _EPS)
        if low is not None and high is not None:
            found.append((high.value - low.value) / (numbers.maximum - numbers.minimum))
    return float(np.median(found)) if found else float("nan")


def table_shares(draw: Table, *, n: int, trials: int, seed: int) -> tuple[Shares, dict[str, Shares]]:
    """Whole tables through `learn`: what all bounds of a contract refuse, summed over its fields; and field by field."""
    random = np.random.default_rng([seed, n])
    total, fields = Shares(), dict[str, Shares]()
    for _ in range(trials):
        columns, laws = draw(random, n)
        profile = Profile("t", n, tuple(field_of(name, values) for name, values in columns.items()))
        contract = learn(profile, budget=BUDGET)
        shares, claims = [], []
        for each in contract.fields:
            present = float(np.mean(~np.isnan(columns[each.name])))
            share, claimed = _contract_field(each, laws[each.name])
            shares.append(share * present)
            claims.append(claimed * present)
            own = fields.setdefault(each.name, Shares())
            own.shares.append(shares[-1])
            own.claimed.append(claims[-1])
        total.shares.append(sum(shares))
        total.claimed.append(sum(claims))
    return total, fields


def _contract_field(learned: Field, law: Law) -> tuple[float, float]:
    """What a field's bounds refuse, and what its claims do: no other value (`enum`), nothing negative, its name's range."""
    claims: Sequence[str] = learned.evidence.get("never_seen", ())
    share = claimed = 0.0
    if learned.enum is not None:
        values = sorted(float(value) for value in learned.enum if isinstance(value, int | float))
        # Whole numbers: what lies between two neighbours, and beyond both ends.
        inside = [1 - law.below(value) - law.above(value) for value in values]
        claimed += max(0.0, 1 - sum(inside))
    for name, bound, cost in (("minimum", learned.minimum, law.below), ("maximum", learned.maximum, law.above)):
        if bound is None:
            continue
        if name in claims:
            claimed += cost(float(bound))
        else:
            share += cost(float(bound))
    return share, claimed
