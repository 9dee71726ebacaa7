"""locustfile.py: each anomaly's transformation, and bin/datagen.sh against a service that always gives the same answer."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TYPES = {"salary": float, "commission": float, "age": int, "elevel": int, "car": int, "zipcode": int, "hvalue": float}
TYPES |= {"hyears": int, "loan": float, "label": int}


@pytest.fixture(scope="module")
def locustfile() -> Iterator[ModuleType]:
    """The module, in a process that gevent leaves as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
        patch.delenv("ANOMALY", raising=False)
        spec = importlib.util.spec_from_file_location("locustfile", ROOT / "locustfile.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "locustfile", module)
        with warnings.catch_warnings(action="ignore"):
            spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def clean(locustfile: ModuleType) -> list[dict[str, Any]]:
    return list(itertools.islice(locustfile.agrawal(1), 2_000))


def test_clean_events_have_one_type_a_field_and_survive_json(clean: list[dict[str, Any]]) -> None:
    for event in clean:
        assert {name: type(value) for name, value in event.items()} == TYPES
        assert json.loads(json.dumps(event)) == event


def test_the_same_seed_gives_the_same_events(locustfile: ModuleType, clean: list[dict[str, Any]]) -> None:
    assert list(itertools.islice(locustfile.agrawal(1), 100)) == clean[:100]
    assert list(itertools.islice(locustfile.agrawal(2), 100)) != clean[:100]


# kind -> the fields that it may touch, and what is true of an event afterwards
AFTERWARDS: dict[str, tuple[set[str], Callable[[dict[str, Any]], bool]]] = {
    "scale": ({"salary"}, lambda event: float(event["salary"]) >= 2_000_000),
    "sign": ({"loan"}, lambda event: event["loan"] <= -1),
    "type": ({"salary"}, lambda event: isinstance(event["salary"], str)),
    "missing": ({"age"}, lambda event: "age" not in event),
    "null": ({"hvalue"}, lambda event: event["hvalue"] is None),
    "category": (
        {"elevel", "car", "zipcode"},
        lambda event: [event["elevel"] > 4, event["car"] > 20, event["zipcode"] > 8].count(True) == 1,
    ),
    "shift": ({"salary"}, lambda event: 85_000 <= event["salary"] <= 150_000),
    "silence": (set(), lambda event: True),
}


def test_each_kind_is_tested_here(locustfile: ModuleType) -> None:
    assert {*AFTERWARDS, "mix"} == set(locustfile.ANOMALIES)


@pytest.mark.parametrize("kind", AFTERWARDS)
def test_an_anomaly_does_what_it_says_and_no_more(
    kind: str, locustfile: ModuleType, clean: list[dict[str, Any]]
) -> None:
    touched, is_so = AFTERWARDS[kind]
    rng = random.Random(0)
    for event in clean:
        before = dict(event)
        after = locustfile.corrupt(kind, event, rng)
        assert event == before
        assert is_so(after)
        assert {name for name in TYPES if after.get(name, "absent") != event[name]} <= touched
        json.dumps(after, allow_nan=False)


def test_mix_breaks_a_fifth_in_every_way(locustfile: ModuleType, clean: list[dict[str, Any]]) -> None:
    rng = random.Random(0)
    broken = [after for event in clean if (after := locustfile.corrupt("mix", event, rng)) != event]
    assert 300 < len(broken) < 500
    kinds = AFTERWARDS.keys() - {"shift", "silence"}
    assert all(
        any(AFTERWARDS[kind][1](event) for event in broken if event.keys() == TYPES.keys())
        for kind in kinds - {"missing"}
    )
    assert any("age" not in event for event in broken)


def test_silence_comes_after_enough_events_to_be_missed(locustfile: ModuleType) -> None:
    events = locustfile.SILENCE_AFTER_EVENTS
    assert events / 3600 * 45 > 20  # what the Silence alert needs 45 s later
    assert not locustfile._is_silent(events - 1, 60)
    assert not locustfile._is_silent(events, 1)
    assert locustfile._is_silent(events, 60)


# ---- bin/datagen.sh


@contextmanager
def service(status: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Somebody who gives each event the same answer: where, and the events."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status if self.path == "/collect" else 404)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:  # Locust resets its connections when it ends
            pass

    with Server(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()


def datagen(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    if not (ROOT / ".venv/bin/locust").exists():
        pytest.skip("no Locust in .venv; bin/test.sh installs it")
    inherited = {name: value for name, value in os.environ.items() if name not in {"ANOMALY", "RATE", "SEED"}}
    return subprocess.run(
        [ROOT / "bin/datagen.sh", *arguments],
        cwd="/",
        env=inherited | {"NO_SETUP": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def closing_line(done: subprocess.CompletedProcess[str], received: list[dict[str, Any]]) -> list[int]:
    """Its numbers, sent first. Locust may end a user in the very moment in which it sends: one event each goes uncounted."""
    match = re.fullmatch(r"([\d,]+) events sent: ([\d,]+) refused, ([\d,]+) failed\n", done.stdout)
    assert match, done.stdout
    sent, refused, failed = (int(number.replace(",", "")) for number in match.groups())
    assert 0 <= len(received) - sent <= 10
    return [sent, refused, failed]


@pytest.mark.e2e
def test_clean_events_are_sent_at_the_rate_asked_for() -> None:
    with service(200) as (url, received):
        done = datagen("-t", "3s", "--host", url, RATE="10")
    assert (done.returncode, done.stderr) == (0, "")
    assert closing_line(done, received)[1:] == [0, 0]
    assert 100 < len(received) < 400
    assert len({json.dumps(event) for event in received}) == len(received)  # each user has its own


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["scale", ""], ids=["expected", "of clean data"])
def test_a_refusal_is_counted_and_no_failure(kind: str) -> None:
    with service(422) as (url, received):
        done = datagen("-t", "2s", "--host", url, ANOMALY=kind)
    assert (done.returncode, done.stderr) == (0, "")
    sent, refused, failed = closing_line(done, received)
    assert (refused, failed) == (sent, 0)
    assert all((event["salary"] > 150_000) == bool(kind) for event in received)


@pytest.mark.e2e
def test_a_failing_service_fails_the_run() -> None:
    with service(503) as (url, received):
        done = datagen("-t", "2s", "--host", url, ANOMALY="mix")
    assert done.returncode == 3
    sent, refused, failed = closing_line(done, received)
    assert (refused, failed) == (0, sent)
    assert "503" in done.stderr


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["--host", "http://localhost:1"], {}, 3, "nobody answers at http://localhost:1"),
        (["--host", "localhost"], {}, 2, "no http:// or https:// address"),
        ([], {"ANOMALY": "lost"}, 2, "no anomaly 'lost'; there are scale, "),
    ],
    ids=["nobody there", "no address", "no such kind"],
)
def test_what_cannot_work_is_said_at_once(
    arguments: list[str], environment: dict[str, str], code: int, message: str
) -> None:
    done = datagen(*arguments, **environment)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.e2e
def test_the_kinds_are_listed(locustfile: ModuleType) -> None:
    done = datagen(ANOMALY="list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(locustfile.ANOMALIES)
