"""Two collectors on one lake: one is killed again and again, the catalogue goes away for a while."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.contract.versions import Versions
from assay.store.address import Lake
from assay.store.opening import connect
from tests.e2e.harness import Load, Service, say, until
from tests.e2e.test_kill import LEARNERS, SCHEMA, SEED, Ledger, Sender, check
from tests.lakes import S3, Postgres, Where, find_s3, where_is

pytestmark = [pytest.mark.e2e, pytest.mark.lake]

# By hand, now and then: 4 collectors for ten minutes, half of them killed every 20 s (ROUNDS=30 LIFE_S=20).
COLLECTORS = int(os.environ.get("ASSAY_LAKE_COLLECTORS", "2"))
ROUNDS = int(os.environ.get("ASSAY_LAKE_ROUNDS", "4"))
#: How long the collectors live that are killed, at most, seconds.
LIFE_S = float(os.environ.get("ASSAY_LAKE_LIFE_S", "4"))
PER_S = float(os.environ.get("ASSAY_LAKE_PER_S", "40"))
#: How long the catalogue is away, seconds.
AWAY_S = float(os.environ.get("ASSAY_LAKE_AWAY_S", "8"))


#: Any will do for an S3 of one's own.
_AS_SOMEBODY = {"AWS_ACCESS_KEY_ID": "us", "AWS_SECRET_ACCESS_KEY": "us", "AWS_REGION": "us-east-1"}


class Fleet:
    """Collectors with one lake and one folder of contracts, each with a log of its own."""

    def __init__(self, folder: Path, lake: Lake, count: int) -> None:
        self.lake = lake
        self.collectors = [
            Service(
                folder / f"collector-{number}",
                environment=_AS_SOMEBODY,
                store=str(lake),
                lake_data=lake.data,
                lake_interval="1s",
                contracts=str(folder / "contracts"),
                **({"lake_s3_endpoint": lake.s3_endpoint} if lake.s3_endpoint else {}),
            )
            for number in range(count)
        ]
        for each in self.collectors:
            each.versions = Versions(folder / "contracts")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the lake has, by a reader from outside."""
        with connect(self.lake) as con:
            found: list[tuple[Any, ...]] = con.execute(query).fetchall()
            return found

    def flush(self, timeout_s: float) -> None:
        """Until everything is in its table."""
        for each in self.collectors:
            each.flush(timeout_s)


@pytest.fixture(params=["sqlite", "postgres"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    return where_is(request.param, request, tmp_path)


@pytest.fixture
def fleet(lake: Lake, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, lake, COLLECTORS)
    with ExitStack() as stack:
        for each in fleet.collectors:
            stack.enter_context(each)
        yield fleet


@pytest.mark.timeout(600 + (60 + LIFE_S) * ROUNDS)
def test_what_collectors_acknowledged_is_there_once_whichever_is_killed(fleet: Fleet) -> None:
    say(f"ASSAY_KILL_SEED={SEED} ASSAY_LAKE_ROUNDS={ROUNDS}")
    rng = random.Random(SEED)
    ledger = Ledger()
    steady, killed = fleet.collectors[: COLLECTORS // 2], fleet.collectors[COLLECTORS // 2 :]
    for name in ("orders", *LEARNERS):
        if name != LEARNERS[-1]:
            steady[0].enforce(name, SCHEMA)
    for each in steady:
        each.start()
    senders = [Sender(ledger, each.port, number) for number, each in enumerate(fleet.collectors * 2)]
    with Load(len(senders), lambda number: senders[number].step(), per_second=PER_S):
        for number in range(ROUNDS):
            for each in killed:
                each.start()
            time.sleep(LIFE_S * (0.5 + rng.random() / 2))
            # Every other time the process that applies is left alone: it may be committing while its successor starts.
            for each in killed:
                each.kill(all_of_it=number % 2 == 0)
    for each in killed:
        each.start()
    steady[0].enforce(LEARNERS[-1], SCHEMA)  # what waits in `_learning` is both collectors' to move
    for sender in senders:
        sender.settle()
    fleet.flush(120)
    say(f"{len(ledger.sent):,} sent, {len(ledger.accepted):,} accepted, {len(ledger.rejected):,} rejected")
    check(fleet, ledger)
    for each in fleet.collectors:
        assert each.terminate() == 0


@pytest.mark.timeout(400)
def test_a_catalogue_that_is_away_fails_no_request_and_the_log_drains_by_itself(
    postgres: Postgres, tmp_path: Path
) -> None:
    answered_while_away(Fleet(tmp_path, where_of(postgres, tmp_path), 1), postgres.stop, postgres.start)


@pytest.mark.timeout(400)
def test_an_s3_that_refuses_fails_no_request_and_the_log_drains_by_itself(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = find_s3()
    if program is None:
        pytest.skip("no moto_server; bin/test.sh brings one")
    for name, value in _AS_SOMEBODY.items():
        monkeypatch.setenv(name, value)
    s3 = S3(program, "events")
    try:
        lake = replace(where_of(postgres, tmp_path), data="s3://events/assay", s3_endpoint=s3.url)
        answered_while_away(Fleet(tmp_path, lake, 1), s3.shut, s3.open)
    finally:
        s3.stop()


def answered_while_away(fleet: Fleet, go: Callable[[], object], come_back: Callable[[], object]) -> None:
    """Send while what the lake is made of goes away: every request is answered, every event there once when it is back."""
    (collector,) = fleet.collectors
    collector.enforce("orders", SCHEMA)
    numbers = itertools.count()
    answers: list[tuple[int, int]] = []

    def send(_: int) -> None:
        number = next(numbers)
        body = json.dumps({"id": str(number), "x": 1 if number % 10 else -1}).encode()
        answers.append((number, collector.post("/collect/orders", body).status))

    with collector:
        collector.start()
        with Load(2, send, per_second=30):
            collector.flush()
            go()
            try:
                assert until(lambda: "note" in collector.get("/readyz").document, 30)
                time.sleep(AWAY_S)
                assert collector.get("/readyz").status == 200
                assert "ducklake" in collector.get("/readyz").document["note"]
                assert collector.post("/flush").status == 503
                assert collector.metrics().sum("assay_log_events") > 0
            finally:
                come_back()
            assert until(lambda: "note" not in collector.get("/readyz").document, 60)
        assert until(lambda: collector.metrics().sum("assay_log_events") == 0, 60)
        assert {status for number, status in answers if number % 10} == {200}
        assert {status for number, status in answers if not number % 10} == {422}
        good = [(str(number),) for number, _ in sorted(answers) if number % 10]
        assert sorted(fleet.rows("SELECT id FROM orders")) == sorted(good)
        assert fleet.rows("SELECT count(*) FROM _quarantine") == [(len(answers) - len(good),)]
        say(f"{len(answers)} requests, none failed, away for {AWAY_S:g} s")


def where_of(postgres: Postgres, folder: Path) -> Lake:
    pytest.importorskip("duckdb_extension_ducklake")
    return postgres.lake(str(folder / "files"))


@pytest.mark.timeout(300)
def test_a_collector_starts_without_its_catalogue(postgres: Postgres, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, where_of(postgres, tmp_path), 1)
    (collector,) = fleet.collectors
    collector.enforce("orders", SCHEMA)
    with collector:
        postgres.stop()
        try:
            collector.start()
            assert collector.post("/collect/orders", b'{"id": "1", "x": 1}').status == 200
            doctor = collector.run("doctor")
            assert doctor.returncode == 3
            assert "ducklake:postgres" in doctor.stdout
        finally:
            postgres.start()
        collector.flush()
        assert fleet.rows("SELECT id FROM orders") == [("1",)]


@pytest.mark.timeout(300)
def test_the_whole_loop_on_a_lake(tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_ducklake")
    fleet = Fleet(tmp_path, Lake.parse("ducklake:sqlite:lake.sqlite", root=tmp_path), 1)
    (collector,) = fleet.collectors
    with collector:
        collector.start()
        events = [{"id": f"i{number}", "x": number % 50} for number in range(3_000)]
        assert collector.post("/collect/orders", json.dumps(events).encode()).status == 200
        learned = collector.run("learn", "orders", "--activate")
        assert learned.returncode == 0, learned.stderr
        assert until(lambda: collector.enforced("orders") == 1, 10)
        assert collector.post("/collect/orders", b'{"id": "far", "x": 5000}').status == 422
        collector.flush()
        assert fleet.rows("SELECT count(*) FROM orders") == [(3_000,)]
        assert fleet.rows("SELECT count(*) FROM _learning") == [(0,)]
        listed = collector.run("quarantine", "orders", "--json")
        assert json.loads(listed.stdout)["items"][0]["body"] == '{"id": "far", "x": 5000}'
        profile = collector.run("profile", "orders", "--json")
        assert json.loads(profile.stdout)["rows"] == 3_000
        for page in (
            "/ui",
            "/ui/datasets/orders",
            "/ui/datasets/orders/quarantine",
            "/quarantine/orders?group=true",
            "/profile/orders",
        ):
            assert collector.get(page).status == 200, page
        number = collector.add("orders", {"type": "object", "properties": {"id": {"type": "string"}}})
        replayed = collector.run("replay", "orders", "--contract", str(number), "--json")
        assert json.loads(replayed.stdout)["accepted"] == 1, replayed.stderr
        assert fleet.rows("SELECT count(*) FROM orders WHERE id = 'far'") == [(1,)]
        assert collector.terminate() == 0
    # Without a service the commands do it themselves.
    assert json.loads(collector.run("quarantine", "orders", "--json").stdout)["items"][0]["replayed_at"] is not None
    assert collector.run("doctor").returncode in (0, 3)
