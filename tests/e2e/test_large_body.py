"""A body of 200 MB: small requests pass meanwhile, memory stays small, and a kill in its middle leaves nothing of it."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import NDJSON, Service, say, until

pytestmark = pytest.mark.e2e

BODY_BYTES = 200_000_000
MOST_RSS_BYTES = 400 << 20
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "x": {"type": "number", "minimum": 0, "maximum": 100},
        "text": {"type": "string"},
    },
    "required": ["id", "x"],
}


def event(number: int, *, x: float = 1.5) -> bytes:
    return b'{"id": %d, "x": %.1f, "text": "%032x"}\n' % (number, x, number * 0x9E3779B97F4A7C15)


def blocks(total_bytes: int) -> Iterator[bytes]:
    """Lines of events numbered from 0, about 100 KB at a time."""
    number = sent = 0
    while sent < total_bytes:
        block = b"".join(event(each) for each in range(number, number + 1_500))
        number += 1_500
        sent += len(block)
        yield block


SEND_LARGE = """
import sys
from types import SimpleNamespace
from tests.e2e.test_large_body import BODY_BYTES, Chunked, blocks

large = Chunked(SimpleNamespace(port=int(sys.argv[1])), "/collect/d")
for block in blocks(BODY_BYTES):
    large.send(block)
status, answer = large.answer()
print(status)
print(answer.decode())
"""


class Chunked:
    """A request whose body is sent as it is made."""

    def __init__(self, service: Service, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", service.port), timeout=120)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self._socket.sendall(head.encode())

    def send(self, data: bytes) -> None:
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def answer(self) -> tuple[int, bytes]:
        self._socket.sendall(b"0\r\n\r\n")
        found = http.client.HTTPResponse(self._socket)
        found.begin()
        return found.status, found.read()

    def close(self) -> None:
        self._socket.close()


def rss_bytes(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
    assert found
    return int(found[1]) * 1024


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path / "workspace", max_body_bytes="1GiB") as service:
        service.enforce("d", SCHEMA)
        service.enforce("small", SCHEMA)
        yield service.start()


class Small:
    """Small requests, one after the other; how long each took."""

    def __init__(self, service: Service) -> None:
        self._client = service.client()
        self.took_s: list[float] = []
        self.statuses: list[int] = []

    def run(self, stop: threading.Event) -> None:
        number = 0
        with self._client as client:
            while not stop.is_set():
                began = time.perf_counter()
                self.statuses.append(client.ask("POST", "/collect/small", event(number)).status)
                self.took_s.append(time.perf_counter() - began)
                number += 1
                time.sleep(0.002)

    def p99_ms(self, start: int, end: int) -> float:
        took = sorted(self.took_s[start:end])
        return 1000 * took[int(0.99 * len(took))]


def test_small_requests_pass_and_memory_stays_small(service: Service) -> None:
    small = Small(service)
    stop = threading.Event()
    thread = threading.Thread(target=small.run, args=[stop])
    thread.start()
    time.sleep(3)
    before, memory, most = len(small.took_s), rss_bytes(service.pid), 0
    began = time.monotonic()
    # From a process of its own: what is measured here is not to wait for this one.
    with subprocess.Popen([sys.executable, "-c", SEND_LARGE, str(service.port)], stdout=subprocess.PIPE) as sender:
        while sender.poll() is None:
            most = max(most, rss_bytes(service.pid))
            time.sleep(0.05)
        assert sender.stdout is not None
        status, answer = int(sender.stdout.readline()), sender.stdout.read()
    took = time.monotonic() - began
    meanwhile = len(small.took_s)
    stop.set()
    thread.join()
    say(
        f"{BODY_BYTES / 1e6:.0f} MB in {took:.1f} s; small requests' p99 {small.p99_ms(0, before):.1f} ms before, "
        f"{small.p99_ms(before, meanwhile):.1f} ms meanwhile ({meanwhile - before} of them); "
        f"memory {memory / 1e6:.0f} MB before, {most / 1e6:.0f} MB at most"
    )
    assert (status, set(small.statuses)) == (200, {200})
    assert b'"ok":true' in answer
    assert most < MOST_RSS_BYTES
    service.flush(120)
    ((rows, distinct, last),) = service.rows("SELECT count(*), count(DISTINCT id), max(id) FROM d")
    assert rows == distinct == last + 1
    assert f'"accepted":{rows}'.encode() in answer
    assert service.metrics().sum("assay_events_total", dataset="d", outcome="accepted") == rows
    assert until(lambda: service.metrics().sum("assay_log_events") == 0, 20)


@pytest.mark.parametrize("end", ["kill", "disconnect", "atomic"])
def test_nothing_of_it_is_left(service: Service, end: str) -> None:
    large = Chunked(service, "/collect/d?atomic=true" if end == "atomic" else "/collect/d")
    log = service.log
    for block in blocks(8_000_000):
        large.send(block)
    assert until(lambda: log.with_name(log.name + "-wal").stat().st_size + log.stat().st_size > 1_000_000, 10)
    if end == "kill":
        service.kill()
        service.start()
    elif end == "disconnect":
        large.close()
    else:
        large.send(event(1, x=-1))
        status, answer = large.answer()
        assert status == 422
        assert b'"rejected": 1' in answer
    large.close()
    assert service.post("/collect/d", event(10_000_000)).status == 200
    service.flush()
    assert service.rows("SELECT id FROM d") == [(10_000_000,)]
    assert service.rows("SELECT count(*) FROM _quarantine") == [(int(end == "atomic"),)]
    assert service.rows("SELECT count(*) FROM _gaps") == [(0,)]
    assert service.metrics().sum("assay_events_total", dataset="d", outcome="accepted") == 1
    assert until(lambda: service.metrics().sum("assay_log_events") == 0, 10)
