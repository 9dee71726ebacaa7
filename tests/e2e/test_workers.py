"""Several processes that take events: killed one by one under load, stopped, replaced by more or fewer. Nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assay.ingest.logs import logs_beside
from tests.e2e.harness import NDJSON, Client, Load, Service, holding, key, lines, own_address, say, until

pytestmark = pytest.mark.e2e

ROUNDS = int(os.environ.get("ASSAY_WORKER_ROUNDS", "5"))
SEED = int(os.environ.get("ASSAY_WORKER_SEED") or random.SystemRandom().randrange(2**32))
THREADS = 4
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "x": {"type": "number", "minimum": 0}},
    "required": ["id"],
}


class Crew(Service):
    """`assay serve --workers`."""

    def workers(self) -> list[int]:
        """The processes that take events, by their pids."""
        found = []
        for pid in self.children():
            with contextlib.suppress(OSError):
                if b"assay.workers" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def restart_with(self, workers: int) -> None:
        """Start it with so many."""
        path = self.root / "assay.toml"
        kept = [line for line in path.read_text().splitlines() if not line.startswith("workers")]
        path.write_text("\n".join([*kept, f"workers = {workers}", ""]))
        self.start()

    def flush_with(self, api_key: str) -> None:
        """Until everything is in its table; the key may be new."""

        def is_done() -> bool:
            with Client(self.port, api_key=api_key) as client:
                return client.ask("POST", "/flush").status == 200

        assert until(is_done, 30)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    if not Path("/proc/self/task").exists():
        pytest.skip("to find the workers needs /proc")
    with Crew(tmp_path / "workspace", workers=2) as crew:
        crew.enforce("d", SCHEMA)
        yield crew


class Sender:
    """Sends single events, keyed ones until they are answered, and batches; what it was answered."""

    def __init__(self, crew: Crew, number: int) -> None:
        self.accepted: list[str] = []
        self.rejected: list[str] = []
        self.once: list[str] = []  # sent until answered: is there once, whatever happened
        self.odd: list[str] = []
        self._crew = crew
        self._name = number
        self._numbers = itertools.count()
        self._client = crew.client()

    def step(self) -> None:
        turn = next(self._numbers)
        name = f"{self._name}-{turn}"
        match turn % 5:
            case 0:
                events: list[dict[str, Any]] = [{"id": f"{name}-{i}", "x": i % 10 - 1} for i in range(40)]
                self._send(lines(events), NDJSON, [event["id"] for event in events])
            case 1:
                while not self._send(json.dumps({"id": name, "x": 1}).encode(), "application/json", [name], key=name):
                    self._client.__exit__()
                    self._client = self._crew.client()  # which may meet another worker
                self.once.append(name)
            case _:
                event = {"id": name, "x": -1 if turn % 7 == 0 else 1}
                self._send(json.dumps(event).encode(), "application/json", [name])

    def _send(self, body: bytes, content_type: str, ids: list[str], key: str | None = None) -> bool:
        """Whether it was answered."""
        answer = self._client.try_post("/collect/d", body, content_type, key=key)
        if answer is None or answer.status == 503:
            time.sleep(0.02)
            return False
        document = answer.document
        if answer.status == 200:
            refused = {each["index"]: each["quarantine_id"] for each in document.get("errors", ())}
            self.rejected += refused.values()
            self.accepted += [name for index, name in enumerate(ids) if index not in refused]
        elif answer.status == 422 and len(ids) == 1:
            self.rejected.append(document["quarantine_id"])
        else:
            self.odd.append(f"{answer.status} {answer.body[:200]!r}")
        return True

    def close(self) -> None:
        self._client.__exit__()


class Watcher:
    """Looks at /metrics, again and again: whether a counter ever went back."""

    def __init__(self, crew: Crew) -> None:
        self.looks = 0
        self.went_back: list[str] = []
        self._crew = crew
        self._last: Counter[str] = Counter()

    def look(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = self._crew.get("/metrics")
            if answer.status != 200:
                return
            now: Counter[str] = Counter()
            for line in answer.body.decode().splitlines():
                series, _, value = line.rpartition(" ")
                if line[0] != "#" and series.split("{")[0].endswith(("_total", "_count", "_bucket")):
                    now[series] = int(float(value))
            self.went_back += [
                f"{each}: {self._last[each]}, {now[each]}" for each in self._last if now[each] < self._last[each]
            ]
            self._last = now
            self.looks += 1


def check(crew: Crew, senders: list[Sender]) -> None:
    """What was acknowledged is there once, and nothing is there twice."""
    for sender in senders:
        sender.close()
    accepted = [each for sender in senders for each in sender.accepted]
    rejected = [each for sender in senders for each in sender.rejected]
    in_table = Counter(name for (name,) in crew.rows("SELECT id FROM d"))
    kept = Counter(name for (name,) in crew.rows("SELECT CAST(id AS VARCHAR) FROM _quarantine"))
    say(
        f"{len(accepted):,} accepted of {in_table.total():,} stored, {len(rejected):,} rejected of {kept.total():,} kept"
    )
    assert [each for sender in senders for each in sender.odd] == []
    assert accepted
    assert rejected
    assert [name for name, times in (in_table + kept).items() if times > 1] == []
    assert set(accepted) - set(in_table) == set()
    assert set(rejected) - set(kept) == set()
    assert {name for sender in senders for name in sender.once} - set(in_table) == set()
    assert "Traceback" not in crew.said, crew.said[-3000:]
    assert "Fatal" not in crew.said, crew.said[-3000:]


@pytest.mark.timeout(240)
def test_workers_killed_under_load_lose_and_double_nothing(crew: Crew) -> None:
    say(f"ASSAY_WORKER_SEED={SEED}")
    dice = random.Random(SEED)
    crew.start()
    senders = [Sender(crew, number) for number in range(THREADS)]
    watcher = Watcher(crew)
    with Load(1, lambda _: watcher.look(), per_second=10), Load(THREADS, lambda number: senders[number].step()):
        for _ in range(ROUNDS):
            time.sleep(dice.uniform(0.2, 1.0))
            victim = dice.choice(crew.workers())
            os.kill(victim, signal.SIGKILL)
            assert until(lambda: len(crew.workers()) == 2 and victim not in crew.workers(), 30)  # noqa: B023
            assert until(crew.is_ready, 30)
    crew.flush()
    metrics = crew.metrics()
    counted = [metrics.sum("assay_events_total", dataset="d", outcome=outcome) for outcome in ("accepted", "rejected")]
    acknowledged = [sum(len(each.accepted) for each in senders), sum(len(each.rejected) for each in senders)]
    stored = [crew.rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("d", "_quarantine")]
    say(f"acknowledged {acknowledged}, counted {counted}, stored {stored}; {watcher.looks} looks at the metrics")
    # What a worker had committed and not yet counted when it died was not acknowledged.
    assert all(a <= b <= c for a, b, c in zip(acknowledged, counted, stored, strict=True))
    assert watcher.looks > ROUNDS
    assert watcher.went_back == []
    check(crew, senders)
    assert crew.terminate() == 0


@pytest.mark.timeout(120)
def test_without_a_death_all_is_counted_and_a_stop_under_load_leaves_nothing_behind(crew: Crew) -> None:
    crew.start()
    senders = [Sender(crew, number) for number in range(THREADS)]
    for _ in range(20):
        for sender in senders:
            sender.step()
    accepted, rejected = (sum(len(getattr(each, name)) for each in senders) for name in ("accepted", "rejected"))
    metrics = crew.metrics()
    assert metrics.sum("assay_events_total", dataset="d", outcome="accepted") == accepted
    assert metrics.sum("assay_events_total", dataset="d", outcome="rejected") == rejected
    assert metrics.sum("assay_request_seconds_count") == 20 * THREADS

    def refused(number: int) -> None:
        senders[number]._send(b'{"id": "-", "x": -1}', "application/json", ["-"])

    with Load(THREADS, refused):
        time.sleep(1)
        assert crew.terminate() == 0
    check(crew, senders)  # nobody had the store: nothing was left to do


@pytest.mark.timeout(240)
def test_a_stop_is_heard_whenever_it_comes_while_they_start(crew: Crew) -> None:
    crew.start()
    assert crew.terminate(60) == 0
    codes = []
    for turn in range(6):
        crew.begin()
        time.sleep(1.2 * crew.starts[0] * turn / 6)
        codes.append(crew.terminate(60))
    # Before its own first line it ends as any process does.
    assert set(codes) <= {0, -signal.SIGTERM, 128 + signal.SIGTERM}, codes
    assert codes[-1] == 0
    assert "Traceback" not in crew.said, crew.said[-3000:]


@pytest.mark.timeout(120)
def test_a_key_is_one_key_whichever_worker_it_meets(crew: Crew) -> None:
    crew.start()
    body = b'{"id": "one", "x": 1}'

    def send(key: str, what: bytes = body, kind: str = "application/json") -> tuple[int, bytes]:
        with crew.client() as client:  # a connection of its own: any worker may get it
            answer = client.ask("POST", "/collect/d", what, kind, key=key)
            return answer.status, answer.body

    first = send("k")
    assert {send("k") for _ in range(20)} == {first}
    assert {send("k", b'{"id": "two", "x": 1}')[0] for _ in range(10)} == {422}
    assert {send("r", b'{"id": "three", "x": -1}') for _ in range(10)} == {send("r", b'{"id": "three", "x": -1}')}
    assert send("r", b'{"id": "three", "x": 1}')[0] == 200
    event = {"specversion": "1.0", "id": "e", "source": "s", "type": "t", "data": {"id": "event", "x": 1}}
    kind = "application/cloudevents+json"
    assert {send(f"c{turn}", json.dumps(event).encode(), kind)[0] for turn in range(10)} == {200}

    answers: list[tuple[int, bytes]] = []
    with Load(8, lambda _: answers.append(send("at-once", b'{"id": "at once", "x": 1}'))):
        time.sleep(1)
    assert len(answers) > 8
    assert set(answers) == {(200, b'{"ok":true,"accepted":1}')}
    os.kill(crew.workers()[0], signal.SIGKILL)
    assert {send("k") for _ in range(10)} == {first}
    crew.flush()
    assert sorted(crew.rows("SELECT id, count(*) FROM d GROUP BY id")) == [
        ("at once", 1), ("event", 1), ("one", 1), ("three", 1),
    ]  # fmt: skip
    assert crew.rows("SELECT count(*) FROM _quarantine") == [(1,)]


@pytest.mark.timeout(180)
def test_more_workers_or_fewer_take_over_every_log_and_key(crew: Crew) -> None:
    """From one to three, to two, to one; each time the store is held, so all is left in the logs."""
    numbers = itertools.count()
    sent: list[str] = []
    for workers in (1, 3, 2, 1):
        with holding(crew.store):
            crew.restart_with(workers)
            for _ in range(24):  # each worker gets one: with eight, one in thirty runs left one out
                name = f"{workers}-{next(numbers)}"
                with crew.client() as client:
                    answer = client.ask("POST", "/collect/d", json.dumps({"id": name}).encode(), key=name)
                assert answer.status == 200, answer.body
                sent.append(name)
            assert crew.is_ready()
            crew.kill()
    crew.restart_with(1)
    for name in sent:  # whichever log has it, it is known
        with crew.client() as client:
            answer = client.ask("POST", "/collect/d", json.dumps({"id": name}).encode(), key=name)
        assert answer.status == 200, answer.body
    crew.flush()
    assert sorted(crew.rows("SELECT id, count(*) FROM d GROUP BY id")) == sorted((name, 1) for name in sent)
    assert [path.name for path in logs_beside(crew.root / "store.duckdb.log")] == [
        "store.duckdb.log.1",
        "store.duckdb.log.2",
    ]  # their keys are young
    assert crew.terminate() == 0


@pytest.mark.timeout(120)
def test_an_activation_holds_in_every_worker_when_it_is_answered(crew: Crew) -> None:
    crew.start()
    narrow = {**SCHEMA, "properties": {**SCHEMA["properties"], "x": {"type": "number", "minimum": 10}}}  # type: ignore[dict-item]
    crew.add("d", narrow)
    for turn in range(6):
        number = 2 - turn % 2
        answer = crew.post("/contracts/d/activate", json.dumps({"contract": number}).encode())
        assert answer.status == 200, answer.body
        statuses = set()
        for _ in range(12):
            with crew.client() as client:
                statuses.add(client.ask("POST", "/validate/d", b'{"id": "x", "x": 5}').status)
        assert statuses == {422 if number == 2 else 200}


@pytest.mark.timeout(120)
def test_what_learns_is_bounded_over_all_workers(tmp_path: Path) -> None:
    with Crew(tmp_path / "workspace", workers=2, learning_max_bytes=10_000, max_datasets=2) as crew:
        crew.start()

        def send(dataset: str, size: int) -> int:
            with crew.client() as client:
                return client.ask("POST", f"/collect/{dataset}", json.dumps({"x": "y" * size}).encode()).status

        accepted = 0
        for _ in range(40):
            accepted += send("wild", 1_000) == 200
            time.sleep(0.02)
        assert 9 <= accepted <= 18  # what came in a quarter of a second may be too much
        assert until(lambda: send("wild", 1_000) == 503, 5)
        assert send("wilder", 10) == 200
        assert until(lambda: {send(f"third{turn}", 10) for turn in range(10)} == {503}, 5)


@pytest.mark.timeout(180)
def test_a_head_that_is_killed_leaves_nobody_behind_and_another_can_start(crew: Crew) -> None:
    crew.start()
    family = crew.children()
    assert len(family) == 3
    assert crew.post("/collect/d", b'{"id": "a"}').status == 200
    crew.kill(all_of_it=False)
    assert until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), 20)
    crew.start()
    crew.flush()
    assert crew.rows("SELECT id FROM d") == [("a",)]


@pytest.mark.timeout(180)
def test_what_keeps_one_worker_from_starting_is_said_once(crew: Crew) -> None:
    (crew.root / "store.duckdb.log.1").write_bytes(b"no database at all" * 100)
    ran = crew.run("serve", timeout_s=30)
    assert ran.returncode == 3
    assert "store.duckdb.log.1" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_key_opens_every_worker_and_a_session_holds_in_all(tmp_path: Path) -> None:
    address = own_address()
    with Crew(tmp_path / "workspace", workers=2, host="0.0.0.0") as crew:
        crew.enforce("d", SCHEMA)
        sender, reader = key(crew, "sender", "collect"), key(crew, "reader", "read")
        crew.start()

        def asked(method: str, path: str, api_key: str = "", body: bytes | None = None) -> set[int]:
            """What a dozen connections are answered: they meet both workers."""
            statuses = set()
            for _ in range(12):
                with Client(crew.port, api_key=api_key, host=address) as client:
                    statuses.add(client.ask(method, path, body).status)
            return statuses

        assert asked("POST", "/collect/d", body=b'{"id": "a"}') == {401}
        assert asked("POST", "/collect/d", sender, b'{"id": "a"}') == {200}
        assert asked("POST", "/validate/d", body=b'{"id": "a"}') == {401}
        assert asked("GET", "/contracts") == {401}
        assert asked("GET", "/contracts", sender) == {403}
        assert asked("GET", "/contracts", reader) == {200}
        assert asked("GET", "/readyz") == {200}

        with httpx.Client(base_url=f"http://{address}:{crew.port}", headers={"Connection": "close"}) as browser:
            form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', browser.get("/ui/login").text))
            assert browser.post("/ui/login", data={**form, "key": reader}).status_code == 303
            assert {browser.get("/ui").status_code for _ in range(12)} == {200}

        assert crew.run("keys", "revoke", "sender").returncode == 0
        time.sleep(2)
        assert asked("POST", "/collect/d", sender, b'{"id": "a"}') == {401}
        crew.flush_with(key(crew, "admin", "admin"))
        assert crew.rows("SELECT count(*), any_value(_source) FROM d") == [(12, "sender")]
        assert crew.terminate() == 0
