from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Theirs

from assay.monitor.histogram import Histogram

BUCKETS = (0.001, 1, 10.5, 1_000)
AMOUNTS = st.one_of(st.sampled_from(BUCKETS), st.integers(0, 3_000).map(float))


@given(st.lists(st.tuples(AMOUNTS, st.integers(0, 5))))
def test_it_shows_what_prometheus_clients_own_does(given: list[tuple[float, int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("h", "What it is.", BUCKETS)
    ours.register(mine)
    reference = Theirs("h", "What it is.", buckets=BUCKETS, registry=theirs)
    for amount, times in given:
        mine.observe(amount, times)
        for _ in range(times):
            reference.observe(amount)
    names = ("h_bucket", "h_count", "h_sum")
    shown, expected = (
        {
            (each.name, *each.labels.values()): each.value
            for family in registry.collect()
            for each in family.samples
            if each.name in names
        }
        for registry in (ours, theirs)
    )
    total = shown.pop(("h_sum",)), expected.pop(("h_sum",))
    assert shown == expected
    assert abs(total[0] - total[1]) <= 1e-9 * max(1.0, total[1])
    assert b"# TYPE h histogram" in generate_latest(ours)


def test_several_threads_count_into_one() -> None:
    histogram = Histogram("h", "What it is.", BUCKETS)

    def count() -> None:
        for _ in range(5_000):
            histogram.observe(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert histogram.numbers == [0, 20_000, 0, 0, 0, 20_000]
