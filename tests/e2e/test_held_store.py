"""Another program holds the DuckDB file: events wait in the log, and nobody who sends or watches notices."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import NDJSON, Client, Load, Prometheus, Service, holding, lines, say, until

pytestmark = pytest.mark.e2e

SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "x": {"type": "number", "minimum": 0}},
    "required": ["id", "x"],
}
THREADS = 6
HELD_S = float(os.environ.get("ASSAY_HELD_S", "20"))  # 120 by hand, now and then
BATCH = 20


class Counting:
    """Clients that send numbered events, one of ten bad, and remember each answer."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._clients: dict[int, Client] = {}
        self._lock = threading.Lock()
        self._next = 0
        self.accepted: list[int] = []
        self.rejected: list[str] = []
        self.failed: list[str] = []
        self.slowest_s = 0.0

    def step(self, thread: int) -> None:
        with self._lock:
            number, self._next = self._next, self._next + 1
        client = self._clients.setdefault(thread, self._service.client())
        event = {"id": number, "x": -1 if number % 10 == 9 else 1}
        began = time.monotonic()
        answer = client.try_post("/collect/d", json.dumps(event).encode())
        took = time.monotonic() - began
        with self._lock:
            self.slowest_s = max(self.slowest_s, took)
            if answer is None or answer.status != (422 if event["x"] < 0 else 200):
                self.failed.append(f"{event}: {answer}")
            elif answer.status == 200:
                self.accepted.append(number)
            else:
                self.rejected.append(answer.document["quarantine_id"])

    def close(self) -> None:
        for client in self._clients.values():
            client.__exit__()

    def missing(self) -> tuple[set[int], set[str]]:
        """What was acknowledged and is not, or not once, in the store."""
        in_table = [row[0] for row in self._service.rows("SELECT id FROM d")]
        kept = [row[0] for row in self._service.rows("SELECT CAST(id AS VARCHAR) FROM _quarantine")]
        assert len(in_table) == len(set(in_table))
        assert len(kept) == len(set(kept))
        return set(self.accepted) - set(in_table), set(self.rejected) - set(kept)


def note(service: Service) -> str:
    answer = service.get("/readyz")
    assert answer.status == 200, answer.body
    return str(answer.document.get("note", ""))


@pytest.mark.timeout(120)
def test_a_held_store_refuses_nothing_stops_no_counter_and_is_named(service: Service) -> None:
    service.enforce("d", SCHEMA)
    service.start()
    sent = Counting(service)
    seen: list[float] = []
    waited: list[float] = []
    with Load(THREADS, sent.step, per_second=300):
        assert until(lambda: len(sent.accepted) > 300, 10)
        service.flush()
        with holding(service.store) as holder:
            began = time.monotonic()
            assert until(lambda: f"(process {holder})" in note(service), 3), note(service)
            assert "held by python" in note(service)
            while time.monotonic() - began < 10:
                metrics = service.metrics()
                seen.append(metrics.sum("assay_events_total", dataset="d"))
                waited.append(metrics.sum("assay_log_oldest_seconds"))
                time.sleep(1)
            refused = service.post("/flush")
            assert (refused.status, refused.headers.get("retry-after")) == (503, "1")
            assert f"process {holder}" in refused.document["detail"]
            in_log = service.metrics().sum("assay_log_events")
        released = time.monotonic()
        before = len(sent.accepted)
        assert until(lambda: service.rows("SELECT count(*) FROM d")[0][0] >= before, 10)
        took = time.monotonic() - released
        assert until(lambda: note(service) == "", 3)
    sent.close()
    say(
        f"{len(sent.accepted) + len(sent.rejected):,} requests, slowest {sent.slowest_s * 1000:.0f} ms; "
        f"{in_log:,.0f} events waited in the log; in their table {took:.1f} s after the release"
    )
    assert sent.failed == []
    grown = [later - earlier for earlier, later in pairwise(seen)]
    assert len(grown) >= 8
    assert min(grown) > 0, grown
    assert waited[-1] > 5
    service.flush()
    assert sent.missing() == (set(), set())
    assert service.terminate() == 0


@pytest.mark.timeout(120)
def test_it_starts_collects_and_stops_while_the_store_is_held(service: Service) -> None:
    service.enforce("d", SCHEMA)
    service.start()
    assert service.post("/collect/d", b'{"id": -1, "x": 0}').status == 200
    assert service.terminate() == 0

    def live_while_held() -> None:
        with holding(service.store) as holder:
            service.start()
            with Load(THREADS, sent.step, per_second=300):
                assert until(lambda: len(sent.accepted) >= enough, 20)
            assert until(lambda: f"process {holder}" in note(service), 3)
            began = time.monotonic()
            assert service.terminate() == 0
            assert time.monotonic() - began < 5
        sent.close()

    sent = Counting(service)
    enough = 200
    live_while_held()
    assert sent.failed == []
    assert service.rows("SELECT count(*) FROM d") == [(1,)]
    # The next start moves what was left in the log …
    service.start()
    began = time.monotonic()
    assert until(lambda: service.rows("SELECT count(*) FROM d")[0][0] == 1 + len(sent.accepted), 10)
    say(f"{len(sent.accepted):,} events in their table {time.monotonic() - began:.1f} s after the next start")
    assert sent.missing() == (set(), set())
    assert service.terminate() == 0
    # … and so does `assay flush` without a service.
    enough = 400
    live_while_held()
    flushed = service.run("flush")
    assert (flushed.returncode, flushed.stdout) == (0, ""), flushed.stderr
    assert sent.failed == []
    assert sent.missing() == (set(), set())
    again = service.run("flush")
    assert again.returncode == 0, again.stderr
    assert service.rows("SELECT count(*) FROM d") == [(1 + len(sent.accepted),)]


@pytest.mark.timeout(60)
def test_a_flush_of_a_stopped_service_names_who_holds_the_store(service: Service) -> None:
    service.enforce("d", SCHEMA)
    service.start()
    service.flush()
    with holding(service.store) as holder:
        assert service.post("/collect/d", b'{"id": 1, "x": 0}').status == 200
        assert service.terminate() == 0
        flushed = service.run("flush")
        assert flushed.returncode == 3
        assert f"process {holder}" in flushed.stderr
        assert "Traceback" not in flushed.stderr
    assert service.run("flush").returncode == 0
    rows: list[tuple[Any, ...]] = service.rows("SELECT id FROM d")
    assert rows == [(1,)]


def order(rng: random.Random) -> dict[str, Any]:
    """A clean event of some usual fields."""
    return {
        "amount": round(rng.lognormvariate(3, 0.5), 2),
        "items": rng.randint(1, 9),
        "country": rng.choice(["at", "be", "ch", "de"]),
        "note": rng.choice([None, "a", "gift"]),
    }


@pytest.mark.timeout(180 + 2 * HELD_S)
def test_a_prometheus_sees_nothing_of_it_in_the_data(service: Service, prometheus_program: Path) -> None:
    """2,000 events a second go on; only that they wait is said, after a minute."""
    prometheus = Prometheus(prometheus_program, service)
    service.start()
    rng = random.Random(1)
    assert service.post("/collect/d", lines([order(rng) for _ in range(12_000)]), NDJSON).status == 200
    learned = service.run("learn", "d", "--activate")
    assert learned.returncode == 0, learned.stderr
    assert until(lambda: service.enforced("d") == 1, 5)
    service.flush()

    generators = [random.Random(number) for number in range(THREADS)]
    clients = [service.client() for _ in range(THREADS)]
    accepted = [12_000] + [0] * (THREADS - 1)  # by thread; what was learned from is the first one's
    failed: list[str] = []

    def step(thread: int) -> None:
        body = lines([order(generators[thread]) for _ in range(BATCH)])
        answer = clients[thread].try_post("/collect/d", body, NDJSON)
        if answer is None or answer.status != 200 or not answer.document["ok"]:
            failed.append(repr(answer))
        accepted[thread] += BATCH

    fired: set[str] = set()

    def watch(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fired.update(alert.name for alert in prometheus.firing())
            time.sleep(0.5)

    with prometheus, Load(THREADS, step, per_second=2000 / BATCH):
        watch(5)
        before, began = sum(accepted), time.monotonic()
        with holding(service.store):
            watch(HELD_S)
            rate = (sum(accepted) - before) / (time.monotonic() - began)
        released, sent = time.monotonic(), sum(accepted)
        assert until(lambda: service.rows("SELECT count(*) FROM d")[0][0] >= sent, 60)
        took = time.monotonic() - released
        watch(5)
    for client in clients:
        client.__exit__()
    say(
        f"held for {HELD_S:.0f} s at {rate:,.0f} events/s; caught up {took:.1f} s after the release; fired: {sorted(fired)}"
    )
    assert failed == []
    assert fired <= {"LogBacklog"}
    service.flush()
    assert service.rows("SELECT count(*) FROM d") == [(sum(accepted),)]
    assert service.terminate() == 0


def test_a_service_that_cannot_say_a_word_goes_on(service: Service) -> None:
    service.enforce("d", SCHEMA)
    service.begin(under=["sh", "-c", 'exec "$0" "$@" 2> /dev/full'])  # its stderr lies on a full disk
    assert until(service.is_ready, 60)
    for round_ in range(2):  # of being held and of being let go it has something to tell
        with holding(service.store):
            assert service.post("/collect/d", b'{"id": %d, "x": 1}' % round_).status == 200
            assert until(lambda: "is held by" in note(service), 10), note(service)
        service.flush()
        assert until(lambda: note(service) == "", 10)
    assert service.rows("SELECT id FROM d ORDER BY id") == [(0,), (1,)]
    assert service.terminate() == 0
