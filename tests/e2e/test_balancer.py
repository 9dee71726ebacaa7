"""The load balancer of deploy/compose, a real HAProxy, in front of two real collectors.

Its configuration is the one that is shipped, but for addresses: the names of containers are ports of this machine here.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest

from tests.e2e.harness import NDJSON, ROOT, Client, Service, free_port, lines, say, until

pytestmark = pytest.mark.e2e

CONFIG = ROOT / "deploy" / "compose" / "haproxy.cfg"
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "x": {"type": "number"}, "text": {"type": "string"}},
    "required": ["id"],
}
#: What is streamed by way of proof: many times what HAProxy may hold.
LARGE_MIB = int(os.environ.get("ASSAY_TEST_LARGE_MIB", "96"))
THREADS = 4


class Balancer:
    """HAProxy, until the block ends."""

    def __init__(self, folder: Path, collectors: list[Service]) -> None:
        self.port, self.own_port = free_port(), free_port()
        self._socket = folder / "haproxy.sock"
        text = CONFIG.read_text()
        for number, collector in enumerate(collectors, 1):
            address = f"collector-{number}:8080"
            assert address in text
            text = text.replace(address, f"127.0.0.1:{collector.port}")
        for asked, given in (
            ("bind :8080\n", f"bind 127.0.0.1:{self.port}\n"),
            ("bind :8404\n", f"bind 127.0.0.1:{self.own_port}\n"),
            ("/tmp/haproxy.sock", str(self._socket)),
        ):
            assert asked in text
            text = text.replace(asked, given)
        path = folder / "haproxy.cfg"
        path.write_text(text)
        self._path = folder / "haproxy.log"
        self._log = self._path.open("wb")
        program = shutil.which("haproxy")
        assert program is not None
        self.process = subprocess.Popen([program, "-db", "-f", str(path)], stdout=self._log, stderr=self._log)

    def __enter__(self) -> Self:
        is_up = until(lambda: self.up() == 2 or self.process.poll() is not None, 20) and self.process.poll() is None
        if not is_up:
            self.__exit__()
            pytest.fail(f"HAProxy does not see two collectors:\n{self._path.read_text()}")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()

    def metrics(self) -> str:
        with contextlib.suppress(OSError), Client(self.own_port) as client:
            return client.ask("GET", "/metrics").body.decode()
        return ""

    def up(self) -> int:
        """How many collectors it sends events to."""
        shown = 'haproxy_server_status{proxy="collectors",server="collector-%d",state="UP"} 1'
        metrics = self.metrics()
        return sum(shown % number in metrics for number in (1, 2))

    def order(self, command: str) -> None:
        """What an operator types into its socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._socket))
            client.sendall(f"{command}\n".encode())
            said = client.recv(1 << 12)
        assert not said.strip(), said

    def resident_mib(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise AssertionError


@contextlib.contextmanager
def two_collectors(folder: Path, **settings: Any) -> Iterator[list[Service]]:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not on PATH: apt-get install haproxy")
    with contextlib.ExitStack() as stack:
        made = []
        for number in (1, 2):
            service = stack.enter_context(Service(folder / f"collector-{number}", **settings))
            service.enforce("d", SCHEMA)
            made.append(service.start())
        yield made


@pytest.fixture
def collectors(tmp_path: Path) -> Iterator[list[Service]]:
    with two_collectors(tmp_path, max_body_bytes="1GiB", shutdown_s=15) as made:
        yield made


@pytest.fixture
def balancer(tmp_path: Path, collectors: list[Service]) -> Iterator[Balancer]:
    with Balancer(tmp_path, collectors) as started:
        yield started


class Sender:
    """One thread's client: it tries an event again until it is answered, as senders should."""

    def __init__(self, port: int, name: int) -> None:
        self.accepted: list[str] = []
        self.odd: list[str] = []
        self.again = 0
        self._client = Client(port, timeout_s=30)
        self._name = name
        self._numbers = itertools.count()

    def close(self) -> None:
        self._client.__exit__()

    def step(self) -> None:
        name = f"{self._name}-{next(self._numbers)}"
        body = json.dumps({"id": name, "x": 1.5}).encode()
        while True:
            answer = self._client.try_post("/collect/d", body, key=name)
            if answer is not None and answer.status == 200:
                self.accepted.append(name)
                return
            self.again += 1
            if answer is not None and answer.status not in {502, 503}:
                self.odd.append(f"{answer.status}: {answer.body[:200]!r}")
                return
            time.sleep(0.05)


def send(senders: list[Sender], meanwhile: Callable[[], None]) -> None:
    """Have them send while something happens, and a little longer."""
    stop = False

    def run(sender: Sender) -> None:
        while not stop:
            sender.step()

    with ThreadPoolExecutor(len(senders)) as pool:
        running = [pool.submit(run, sender) for sender in senders]
        try:
            time.sleep(1)
            meanwhile()
            time.sleep(1)
        finally:
            stop = True
        for each in running:
            each.result(60)
    for sender in senders:
        sender.close()


def stored(collectors: list[Service]) -> list[str]:
    """The ids in the stores of all, which have stopped or answer a flush."""
    found: list[str] = []
    for service in collectors:
        service.flush()
        if "d" in service.tables():
            found += [row[0] for row in service.rows("SELECT id FROM d")]
    return found


def test_a_restart_fails_no_request(collectors: list[Service], balancer: Balancer) -> None:
    """As docs/how-to/deploy.md has it: one after the other is taken out, stopped, started and taken in again."""
    senders = [Sender(balancer.port, n) for n in range(THREADS)]

    def restart() -> None:
        for number, service in enumerate(collectors, 1):
            balancer.order(f"set server collectors/collector-{number} state drain")
            time.sleep(1)
            assert service.terminate(60) in {0, -15}
            service.start()
            balancer.order(f"set server collectors/collector-{number} state ready")
            assert until(lambda: balancer.up() == 2, 20)

    send(senders, restart)
    sent = [each for sender in senders for each in sender.accepted]
    say(f"{len(sent)} accepted, {sum(sender.again for sender in senders)} tried again")
    assert [each for sender in senders for each in sender.odd] == []
    assert sum(sender.again for sender in senders) == 0
    assert sorted(stored(collectors)) == sorted(sent)


def test_what_was_answered_is_kept_though_a_collector_is_killed(collectors: list[Service], balancer: Balancer) -> None:
    senders = [Sender(balancer.port, n) for n in range(THREADS)]

    def kill() -> None:
        collectors[0].kill()
        time.sleep(2)  # the other one has it all meanwhile
        collectors[0].start()
        assert until(lambda: balancer.up() == 2, 20)

    send(senders, kill)
    sent = {each for sender in senders for each in sender.accepted}
    again = sum(sender.again for sender in senders)
    say(f"{len(sent)} accepted, {again} tried again")
    assert [each for sender in senders for each in sender.odd] == []
    # Only those that were under way at that moment have no answer: at most one of each sender.
    assert again <= THREADS
    kept = stored(collectors)
    assert sent <= set(kept)
    # Two files know nothing of each other's keys: an event may be in both that the killed one had logged, and not answered.
    assert len(kept) - len(set(kept)) <= again


def body(mib: int) -> Iterator[bytes]:
    text = "x" * 900
    for number in range(mib):
        yield lines([{"id": f"{number}-{i}", "text": text} for i in range(1024)])


def test_a_large_body_streams_through(collectors: list[Service], balancer: Balancer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", balancer.port, timeout=300)
    began = time.monotonic()
    connection.request("POST", "/collect/d", body(LARGE_MIB), {"Content-Type": NDJSON}, encode_chunked=True)
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    say(f"{LARGE_MIB} MiB in {time.monotonic() - began:.1f} s; HAProxy held at most {balancer.resident_mib():.0f} MiB")
    assert (answer.status, document) == (200, {"ok": True, "accepted": 1024 * LARGE_MIB})
    assert balancer.resident_mib() < 64


def test_answers_pass_as_they_are(collectors: list[Service], balancer: Balancer) -> None:
    with Client(balancer.port) as client:
        refused = client.ask("POST", "/collect/d", b'{"x": 1}')
        assert (refused.status, refused.document["status"]) == (422, 422)
        assert refused.headers["content-type"] == "application/problem+json"
        assert client.ask("GET", "/metrics").status == 404


def test_a_request_that_is_put_off_says_for_how_long(tmp_path: Path) -> None:
    """It is put off by a collector, and not offered to the other one: senders try again."""
    with two_collectors(tmp_path, log_max_bytes="8KiB") as collectors, Balancer(tmp_path, collectors) as balancer:
        event = json.dumps({"id": "large", "text": "x" * 12_000}).encode()
        with Client(balancer.port) as client:
            for _ in range(2):
                answer = client.ask("POST", "/collect/d", event)
                assert answer.status == 503
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.document["status"] == 503
            assert client.ask("POST", "/collect/d", b'{"id": "small"}').status == 200
        assert stored(collectors) == ["small"]


def test_a_session_stays_with_its_collector(collectors: list[Service], balancer: Balancer) -> None:
    with Client(balancer.port) as client:
        page = client.ask("GET", "/ui")
        assert page.status == 200
        cookie = page.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
