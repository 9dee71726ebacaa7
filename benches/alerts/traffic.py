"""What is sent: nine fields of all kinds, and the ways in which they go wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from assay.contract.document import Contract
from assay.profile.learn import learn
from assay.profile.relation import profile
from benches.events import agrawal

__all__ = ["FAULTS", "LEARNED", "Fault", "clean", "learned"]

Event = dict[str, Any]

#: Events that a contract is learned from.
LEARNED: Final = 10_000
#: Seven features of River's generator; beside them it has nothing that is normal, and no categories of unequal share.
_TAKEN: Final = ("salary", "commission", "age", "elevel", "zipcode", "hvalue", "loan")
_PLANS: Final = {"free": 0.5, "team": 0.3, "enterprise": 0.2}
_SWAPPED: Final = {"free": "enterprise", "team": "team", "enterprise": "free"}
_SCORE: Final = (50.0, 10.0)


def clean(count: int, seed: int) -> list[Event]:
    """Events as they should be; the same seed gives the same."""
    rng = random.Random(seed)
    plans, weights = list(_PLANS), list(_PLANS.values())
    return [
        {name: event[name] for name in _TAKEN} | {"plan": plan, "score": rng.gauss(*_SCORE)}
        for event, plan in zip(agrawal(count, seed), rng.choices(plans, weights, k=count), strict=True)
    ]


def learned(events: list[Event], dataset: str) -> Contract:
    """What is learned from these events."""
    import pyarrow as pa

    return learn(profile(pa.Table.from_pylist(events)), dataset=dataset)


@dataclass(frozen=True)
class Fault:
    """One way to go wrong. `corrupt` makes a bad event of a clean one; None: nothing is sent any more.

    `share` of the events are bad. `median_s` and `worst_s` are how soon an alert should fire: asked for, or (where the
    worst is None) as simulated before there was a product: with scrapes every 15 s, the stuck value every 5 s.
    """

    corrupt: Callable[[Event], Event] | None
    share: float
    median_s: float
    worst_s: float | None = None


def _rejected(event: Event) -> Event:
    """An age that is text."""
    return event | {"age": str(event["age"])}


FAULTS: Final[Mapping[str, Fault]] = {
    "all null": Fault(lambda event: event | {"hvalue": None}, 1, 10, 15),
    "×100 on all": Fault(lambda event: event | {"salary": event["salary"] * 100}, 1, 10, 15),
    "10% rejected": Fault(_rejected, 0.1, 10, 15),
    "×100 on 1%": Fault(lambda event: event | {"salary": event["salary"] * 100}, 0.01, 33),
    "categories swapped": Fault(lambda event: event | {"plan": _SWAPPED[event["plan"]]}, 1, 23),
    "a stuck value": Fault(lambda event: event | {"loan": 123_456.0}, 1, 9),
    "+1 sd": Fault(lambda event: event | {"score": event["score"] + _SCORE[1]}, 1, 24),
    "1% rejected": Fault(_rejected, 0.01, 22),
    "1% null": Fault(lambda event: event | {"zipcode": None}, 0.01, 40),
    "silence": Fault(None, 1, 60, 75),
}
