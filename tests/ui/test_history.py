"""Looks at the counters: rates, bars, sources and live values, and what happens when a contract changes in between."""

from __future__ import annotations

import pytest

from assay.contract.document import Contract
from assay.monitor.metrics import Metrics
from assay.ui.history import EVERY_S, History

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "number", "x-assay": {"bins": {"rows": 10, "edges": [1.0], "share": {"b0": 1.0}}}}},
}


class Watched:
    """Metrics of one dataset, and a history that looks at them; time is said."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.history = History()
        self.now_s = 1_000.0
        self.contract = self.watch()
        self.look(0)

    def watch(self) -> Contract:
        self.contract = Contract.parse(SCHEMA, dataset="d", version=1)
        self.metrics.watch(self.contract, "enforce")
        return self.contract

    def count(self, accepted: int, rejected: int = 0, source: str = "s") -> None:
        violations = {("a", "float_type"): rejected} if rejected else {}
        self.metrics.count(
            dataset="d", source=source, accepted=accepted, rejected=rejected, violations=violations, now=self.now_s
        )
        self.metrics.count_values(self.contract, [{"a": 0.5}] * (accepted + rejected))

    def look(self, after_s: float = EVERY_S) -> None:
        self.now_s += after_s
        self.history.look(self.now_s, self.metrics.figures())


def test_before_a_second_look_there_is_nothing() -> None:
    history = History()
    assert history.bars("d", bars=10, every_s=5) == []
    assert history.rate("d") == 0
    assert history.sent("d") == []
    assert history.violations("d") == {}
    assert history.live("d") is None


def test_bars_and_rate() -> None:
    it = Watched()
    for accepted, rejected in ((10, 0), (20, 5), (0, 0)):
        it.count(accepted, rejected)
        it.look()
    bars = it.history.bars("d", bars=10, every_s=5)
    assert [(bar.accepted, bar.rejected) for bar in bars] == [(10, 0), (20, 5), (0, 0)]
    assert [(bar.accepted, bar.rejected) for bar in it.history.bars("d", bars=10, every_s=15)] == [(30, 5)]
    assert it.history.rate("d", 10) == pytest.approx(2.5)
    assert it.history.rate("other") == 0


def test_looks_in_between_lose_nothing() -> None:
    it = Watched()
    for _ in range(20):
        it.count(1)
        it.look(0.5)
    assert sum(bar.accepted for bar in it.history.bars("d", bars=60, every_s=5)) == 20


def test_what_each_source_sent_and_what_was_broken() -> None:
    it = Watched()
    it.count(5, source="b")
    it.count(7, 3, source="a")
    it.look()
    assert [(each.source, each.events, each.rejected) for each in it.history.sent("d")] == [("a", 10, 3), ("b", 5, 0)]
    assert it.history.violations("d") == {("a", "float_type"): 3}


def test_it_forgets_what_was_five_minutes_ago() -> None:
    it = Watched()
    it.count(100, 1)
    for _ in range(70):
        it.look()
    assert it.history.sent("d") == []
    assert it.history.violations("d") == {}
    live = it.history.live("d")
    assert live is not None
    assert sum(live.counts["a"]) == 0
    assert 270 <= it.history.window() <= 330


def test_live_values_are_of_the_last_minute_where_that_says_enough() -> None:
    it = Watched()
    for _ in range(24):
        it.count(100)
        it.look()
    live = it.history.live("d")
    assert live is not None
    assert 55 <= live.seconds <= 90
    assert sum(live.counts["a"]) == pytest.approx(live.seconds / EVERY_S * 100)


def test_few_values_are_looked_at_over_the_whole_window() -> None:
    it = Watched()
    for _ in range(24):
        it.count(1)
        it.look()
    live = it.history.live("d")
    assert live is not None
    assert live.seconds == pytest.approx(120)
    assert sum(live.counts["a"]) == 24


def test_another_contract_begins_anew() -> None:
    it = Watched()
    it.count(100)
    it.look()
    it.watch()
    it.look()
    it.count(3)
    it.look()
    live = it.history.live("d")
    assert live is not None
    assert live.contract is it.contract
    assert sum(live.counts["a"]) == 3
    it.metrics.unwatch("d")
    it.look()
    assert it.history.live("d") is None
