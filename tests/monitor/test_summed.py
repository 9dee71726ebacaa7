"""What several workers counted, as one: equal to what one alone would have counted, and never less than before."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assay.contract.document import Contract
from assay.monitor.memory import Memory, new_memory
from assay.monitor.metrics import LEARNING, Metrics
from assay.monitor.summed import SummedMetrics

BINS = {"bins": {"rows": 100, "edges": [0.5], "share": {"b0": 0.5, "b1": 0.5}}}


def contract(version: int = 1, dataset: str = "d", field: str = "a") -> Contract:
    return Contract.parse(
        {"type": "object", "properties": {field: {"type": "number", "x-assay": BINS}}}, dataset=dataset, version=version
    )


class Crew:
    """Workers' metrics, and what shows them."""

    def __init__(self, size: int = 2) -> None:
        self.descriptors = [new_memory() for _ in range(size)]
        self.open: list[Memory] = []
        self.workers = [self.worker(number) for number in range(size)]
        self.shown = SummedMetrics([self.memory(number) for number in range(size)], max_sources=3)
        self.contract = contract()
        for each in (*self.workers, self.shown):
            each.watch(self.contract, "enforce")

    def memory(self, number: int) -> Memory:
        self.open.append(Memory(self.descriptors[number]))
        return self.open[-1]

    def worker(self, number: int) -> Metrics:
        return Metrics(memory=self.memory(number))

    def replace(self, number: int) -> None:
        self.workers[number] = self.worker(number)
        self.workers[number].watch(self.contract, "enforce")

    def close(self) -> None:
        for memory in self.open:
            memory.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    crew.close()


def samples(metrics: Metrics, accept: str | None = None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text, _ = metrics.exposition(accept)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def feed(metrics: Metrics, what: Contract, a: float, source: str, now: float, **counts: Any) -> None:
    metrics.count(dataset=what.dataset, source=source, now=now, **counts)
    metrics.count_values(what, [{"a": a}])
    metrics.request_seconds.observe(a)
    metrics.commit_seconds.observe(a)
    metrics.batch_events.observe(a)
    metrics.count_refused(503)
    metrics.count_refused(422)  # an event, and counted as one


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from([0.25, 0.5, 1.0, 20.0]),
            st.sampled_from(["x", "y"]),
            st.sampled_from(["accepted", "flagged", "rejected"]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_the_sum_is_what_one_alone_would_have_counted_deaths_included(
    events: list[tuple[int, float, str, str, bool]],
) -> None:
    crew, alone = Crew(), Metrics(max_sources=3)
    try:
        alone.watch(crew.contract, "enforce")
        before = samples(crew.shown)
        for now, (worker, a, source, outcome, dies) in enumerate(events):
            more: dict[str, Any] = {outcome: 2}
            if outcome == "rejected":
                more |= {"violations": {("a", "float_type"): 1}, "unexpected": 1}
            feed(crew.workers[worker], crew.contract, a, source, now, **more)
            feed(alone, crew.contract, a, source, now, **more)
            if dies:
                crew.replace(worker)
            shown = samples(crew.shown)
            assert all(shown[key] >= value for key, value in before.items())
            before = shown
        theirs, ours = samples(crew.shown), samples(alone)
        assert {key: value for key, value in theirs.items() if value} == {
            key: value for key, value in ours.items() if value
        }
        assert set(theirs) >= set(ours) - {("", ())}
        assert crew.shown.figures().values["d"][1] == alone.figures().values["d"][1]
    finally:
        crew.close()


def test_a_scraper_sees_zero_first_whichever_worker_counted(crew: Crew) -> None:
    key = ("assay_events_total", (("dataset", "d"), ("outcome", "accepted"), ("source", "new")))
    crew.workers[1].count(dataset="d", source="new", accepted=3, now=1)
    scraper = "application/openmetrics-text; version=1.0.0"
    assert b'source="new"} 0' in crew.shown.exposition(scraper)[0].replace(b"0.0", b"0")
    assert samples(crew.shown)[key] == 3


def test_sources_beyond_the_most_count_as_one_over_all_workers(crew: Crew) -> None:
    for number in range(6):
        crew.workers[number % 2].count(dataset="d", source=f"s{number}", accepted=1, now=1)
    found = samples(crew.shown)
    by_source = {
        dict(labels)["source"]: value
        for (name, labels), value in found.items()
        if name == "assay_events_total" and dict(labels)["outcome"] == "accepted" and dict(labels)["dataset"] == "d"
    }
    assert sum(by_source.values()) == 6
    assert len(by_source) == 4
    assert by_source["_other"] == 4


def test_a_series_that_went_starts_at_zero_again_and_loses_nothing_that_came_between(crew: Crew) -> None:
    key = ("assay_field_values_total", (("bin", "b0"), ("dataset", "d"), ("field", "a")))
    crew.workers[0].count_values(crew.contract, [{"a": 0.1}] * 5)
    assert samples(crew.shown)[key] == 5
    crew.shown.unwatch("d")
    assert key not in samples(crew.shown)
    crew.workers[1].count_values(crew.contract, [{"a": 0.1}] * 2)  # which has not heard of it yet
    crew.shown.watch(crew.contract, "enforce")
    assert samples(crew.shown)[key] == 2


def test_a_worker_may_hear_of_a_contract_first_or_last(crew: Crew) -> None:
    second = contract(2, field="b")
    crew.workers[0].watch(second, "enforce")
    crew.workers[0].count_values(second, [{"b": 0.1}] * 3)
    assert not any(("field", "b") in labels for _, labels in samples(crew.shown))
    crew.shown.watch(second, "enforce")
    crew.workers[1].count_values(crew.contract, [{"a": 0.1}] * 2)
    found = samples(crew.shown)
    assert found["assay_field_values_total", (("bin", "b0"), ("dataset", "d"), ("field", "b"))] == 3
    assert not any(("field", "a") in labels for _, labels in found)


def test_what_learns_is_one_label_and_the_last_event_the_latest(crew: Crew) -> None:
    for number, worker in enumerate(crew.workers):
        worker.count(dataset="unheard_of", source="x", accepted=1, now=100 - number)
    found = samples(crew.shown)
    assert found["assay_events_total", (("dataset", LEARNING), ("outcome", "accepted"), ("source", "x"))] == 2
    assert found["assay_last_event_timestamp_seconds", (("dataset", LEARNING),)] == 100
