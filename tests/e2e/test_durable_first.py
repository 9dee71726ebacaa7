"""No answer is written before the sync that covers it: read off the service's own system calls."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import NDJSON, Client, Service, say, until

pytestmark = pytest.mark.e2e

CLIENTS = 8
EACH = 30
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "x": {"type": "number", "minimum": 0}, "again": {"type": "string"}},
    "required": ["id", "x"],
}
_CALLS = "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync"
_LINE = re.compile(
    r"(?P<at>\d+\.\d+) (?P<name>\w+)\(\d+<(?P<file>.*?)>[,)](?P<rest>.*) = (?P<result>-?\d+).* <(?P<took>\d+\.\d+)>$"
)
_ID = re.compile(r"event-\d+-\d+-")


@dataclass(frozen=True)
class Call:
    """One system call: Unix seconds at its start and at its end, the file or socket, what went through it."""

    began: float
    ended: float
    name: str
    file: str
    text: str


def calls(trace: Path) -> Iterator[Call]:
    """Those that succeeded, of every thread of every process."""
    for each in trace.parent.glob(f"{trace.name}.*"):
        for line in each.read_text(errors="replace").splitlines():
            found = _LINE.match(line)
            if found is not None and int(found["result"]) >= 0:
                began = float(found["at"])
                yield Call(began, began + float(found["took"]), found["name"], found["file"], found["rest"])


def can_trace() -> bool:
    """Whether strace is here and may trace."""
    program = shutil.which("strace")
    return (
        program is not None
        and subprocess.run([program, "-qq", "true"], capture_output=True, check=False).returncode == 0
    )


def body(client: int, number: int) -> tuple[bytes, str]:
    """A request's body and content type, some of them bad. Its name is in it twice: one of the two is on one page of the log."""
    name = f"event-{client}-{number}-"
    event: dict[str, Any] = {"id": name, "x": -1 if number % 3 == 2 else number, "again": "." * 40 + name}
    if number % 5 == 4:
        return json.dumps(event).encode() + b"\n" + json.dumps(event).encode(), NDJSON
    return json.dumps(event).encode(), "application/json"


@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace")
@pytest.mark.timeout(180)
def test_no_answer_is_written_before_the_sync_that_covers_it(service: Service, tmp_path: Path) -> None:
    service.enforce("d", SCHEMA)
    trace = tmp_path / "trace"
    service.begin(
        under=[
            "strace",
            "-D",
            "-ff",
            "-qq",
            "-ttt",
            "-T",
            "-yy",
            "-s",
            "20000",
            "-o",
            str(trace),
            "-e",
            f"trace={_CALLS}",
        ]
    )
    assert until(service.is_ready, 60)

    def run(client: int) -> None:
        with Client(service.port) as sending:
            for number in range(EACH):
                assert sending.ask("POST", "/collect/d", *body(client, number)).status in (200, 422)

    threads = [threading.Thread(target=run, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.flush()
    assert service.terminate(number=signal.SIGTERM) == 0

    logged: dict[str, float] = {}  # an event's name, and when its bytes were first in the log
    asked: list[tuple[str, float, str]] = []  # a connection, when it was read, and the event's name in it
    answered: dict[str, list[float]] = {}  # a connection, and when answers to POST /collect were written to it
    synced: list[tuple[float, float]] = []
    for call in sorted(calls(trace), key=lambda each: each.began):
        if call.file.endswith(".log-wal"):
            if call.name in ("fsync", "fdatasync"):
                synced.append((call.began, call.ended))
            for name in _ID.findall(call.text):
                logged.setdefault(name, call.ended)
        elif call.file.startswith("TCP:"):
            if call.name.startswith(("read", "recv")):
                asked += [(call.file, call.ended, name) for name in dict.fromkeys(_ID.findall(call.text))]
            elif "HTTP/1.1 200" in call.text or "HTTP/1.1 422" in call.text:
                answered.setdefault(call.file, []).append(call.began)
    assert len(asked) == CLIENTS * EACH
    slack = []
    for connection, at, name in asked:
        answer = min(when for when in answered[connection] if when > at)
        covering = [ended for began, ended in synced if began >= logged[name]]
        assert covering, name
        assert min(covering) <= answer, f"{name} was answered {answer - min(covering):+.6f} s from its sync"
        slack.append(answer - min(covering))
    say(f"{len(asked)} answers, {len(synced)} syncs; written {min(slack) * 1e6:.0f} us after their sync, or later")
