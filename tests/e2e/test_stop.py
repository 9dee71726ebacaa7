"""SIGTERM under load: a clean end, and no acknowledgement that is not kept."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import NDJSON, Client, Load, Service, lines, say, until

pytestmark = pytest.mark.e2e

SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "x": {"type": "number", "minimum": 0}},
    "required": ["id", "x"],
}
THREADS = 6
STOPS = 5


class Sender:
    """One thread's client: single events, batches, and now and then a body large enough to be judged in a thread."""

    def __init__(self, service: Service, number: int) -> None:
        self.accepted: list[str] = []
        self.rejected: list[str] = []
        self.odd: list[str] = []
        self.unanswered = 0
        self._client: Client = service.client()
        self._name = number
        self._numbers = itertools.count()

    def step(self) -> None:
        turn = next(self._numbers)
        count = 20_000 if self._name == 0 and turn % 3 == 0 else 50 if turn % 5 == 0 else 1
        events: list[dict[str, Any]] = [
            {"id": f"{self._name}-{turn}-{i}", "x": -1 if count < 100 and (turn + i) % 7 == 0 else 1}
            for i in range(count)
        ]
        single = count == 1
        body = json.dumps(events[0]).encode() if single else lines(events)
        answer = self._client.try_post("/collect/d", body, "application/json" if single else NDJSON)
        if answer is None:
            self.unanswered += 1
            time.sleep(0.02)
        elif answer.status == 200:
            kept = {each["index"]: each["quarantine_id"] for each in answer.document.get("errors", ())}
            self.rejected += kept.values()
            self.accepted += [event["id"] for index, event in enumerate(events) if index not in kept]
        elif answer.status == 422 and single:
            self.rejected.append(answer.document["quarantine_id"])
        elif answer.status != 503:
            self.odd.append(f"{answer.status} {answer.body[:200]!r}")

    def close(self) -> None:
        self._client.__exit__()


@pytest.mark.timeout(180)
def test_a_stop_under_load_ends_well_and_keeps_every_acknowledgement(service: Service) -> None:
    service.enforce("d", SCHEMA)
    senders = [Sender(service, number) for number in range(THREADS)]
    took = []
    with Load(THREADS, lambda number: senders[number].step()):
        for turn in range(STOPS):
            service.start()
            time.sleep(0.3 + 0.3 * turn)
            began = time.monotonic()
            assert service.terminate(20) == 0
            took.append(time.monotonic() - began)
    for sender in senders:
        sender.close()
    accepted = [each for sender in senders for each in sender.accepted]
    rejected = [each for sender in senders for each in sender.rejected]
    say(
        f"{len(accepted):,} accepted, {len(rejected):,} rejected, {sum(each.unanswered for each in senders):,} unanswered; "
        f"stopped within {max(took):.1f} s"
    )
    assert [each for sender in senders for each in sender.odd] == []
    assert "Traceback" not in service.said, service.said[-3000:]
    # Nobody else had the store: nothing was left to do.
    in_table = [row[0] for row in service.rows("SELECT id FROM d")]
    kept = [row[0] for row in service.rows("SELECT CAST(id AS VARCHAR) FROM _quarantine")]
    assert accepted
    assert rejected
    assert len(in_table) == len(set(in_table))
    assert len(kept) == len(set(kept))
    assert set(accepted) <= set(in_table)
    assert set(rejected) <= set(kept)


def begun(service: Service, length: int) -> socket.socket:
    """A connection whose request has begun, and whose body the service is waiting for."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    head = (
        f"POST /collect/d HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\n"
        f"Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
    return connection


@pytest.mark.timeout(60)
def test_a_request_in_flight_is_answered_before_the_end(service: Service) -> None:
    service.enforce("d", SCHEMA)
    service.start()
    body = lines([{"id": str(number), "x": 1} for number in range(50_000)])
    with begun(service, len(body)) as connection, ThreadPoolExecutor(1) as threads:
        stopping = threads.submit(service.terminate, 30)
        assert until(lambda: not service.is_ready(), 5)
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(10_000), b""))  # head and body may come apart
        assert stopping.result(30) == 0
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert answer.endswith(b'{"ok":true,"accepted":50000}'), answer
    assert service.rows("SELECT count(*) FROM d") == [(50_000,)]


@pytest.mark.timeout(60)
def test_a_body_that_never_comes_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with Service(tmp_path, shutdown_s=1) as service:
        service.enforce("d", SCHEMA)
        service.start()
        with begun(service, 10):
            began = time.monotonic()
            assert service.terminate(20) == 0
            assert time.monotonic() - began < 5
    assert "Traceback" not in service.said, service.said[-3000:]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_is_heard_whenever_it_comes_while_it_starts(service: Service, number: signal.Signals) -> None:
    service.start()
    assert service.terminate(number=number) == 0
    codes = []
    for turn in range(10):
        service.begin()
        time.sleep(1.2 * service.starts[0] * turn / 10)
        codes.append(service.terminate(10, number=number))
    # Before its own first line it ends as any process does: nothing was opened yet. Where Python itself was still starting,
    # a Ctrl-C is Python's own fatal error.
    early = {1} if "Fatal Python error: init_import_site" in service.said else set()
    assert set(codes) <= {0, -number, 128 + number} | early, codes
    assert codes[-1] == 0
