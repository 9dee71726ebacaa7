"""The log on JetStream, three real servers: what was acknowledged is there once, whoever is killed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.harness import Load, Service, say, until
from tests.e2e.test_kill import LEARNERS, SCHEMA, SEED, Ledger, Sender, check
from tests.streams import Servers, missing

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(missing()), reason=missing())]

KILLS = int(os.environ.get("ASSAY_STREAM_KILLS", "5"))
THREADS = 4
STREAM = "orders"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with Servers(tmp_path / "nats", 3) as running:
        yield running


def collector(root: Path, servers: Servers) -> Service:
    service = Service(root, log=servers.url(STREAM), workers=1)
    for dataset in ("orders", *LEARNERS):
        service.enforce(dataset, SCHEMA)
    return service


def copy_of(service: Service) -> Path:
    return service.store.with_name(f"{service.store.name}.{STREAM}.log")


def lose(service: Service) -> None:
    """The machine's disk is gone, but for the store."""
    for file in service.root.glob(f"{copy_of(service).name}*"):
        file.unlink()


def takes_again(ledger: Ledger) -> float:
    """After how many seconds."""
    began = time.monotonic()
    time.sleep(0.5)  # what was on its way
    before = len(ledger.accepted)
    assert until(lambda: len(ledger.accepted) > before + 100, 60)
    return time.monotonic() - began


@pytest.mark.timeout(600)
def test_the_leader_is_killed_again_and_again(servers: Servers, tmp_path: Path) -> None:
    ledger = Ledger()
    say(f"ASSAY_KILL_SEED={SEED}")
    longest = 0.0
    with collector(tmp_path / "a", servers) as service:
        service.start()
        senders = [Sender(ledger, service.port, number, timeout_s=60) for number in range(THREADS)]
        with Load(THREADS, lambda number: senders[number].step()):
            for _ in range(KILLS):
                assert until(lambda: servers.are_current(STREAM), 60, every_s=0.2)
                time.sleep(1)
                leader = servers.leader(STREAM)
                leader.kill()
                longest = max(longest, takes_again(ledger))
                time.sleep(1)
                servers.start()
        for sender in senders:
            sender.settle()
        service.flush(60)
        say(
            f"{KILLS} leaders killed; {len(ledger.sent):,} events sent, {len(ledger.accepted):,} accepted, "
            f"{len(ledger.rejected):,} rejected, {ledger.large} large bodies among them; {len(ledger.unanswered):,} requests "
            f"unanswered, {len(ledger.turned_away):,} turned away; accepted again within {longest:.1f} s"
        )
        check(service, ledger)
        assert service.terminate() == 0
        assert "Traceback" not in service.said


@pytest.mark.timeout(600)
def test_a_collector_is_killed_and_its_machine_lost(servers: Servers, tmp_path: Path) -> None:
    ledger = Ledger()
    with collector(tmp_path / "a", servers) as service:
        service.start()
        senders = [Sender(ledger, service.port, number, timeout_s=60) for number in range(THREADS)]
        with Load(THREADS, lambda number: senders[number].step()):
            for number in range(6):
                time.sleep(2)
                service.kill()
                if number % 2:
                    lose(service)
                service.start()
        for sender in senders:
            sender.settle()
        service.flush(60)
        say(
            f"{len(ledger.sent):,} events sent, {len(ledger.accepted):,} accepted, {len(ledger.rejected):,} rejected; "
            f"{len(ledger.unanswered):,} requests unanswered; ready within {max(service.starts):.1f} s"
        )
        check(service, ledger)
        assert until(lambda: servers.messages(STREAM) < 100, 10), "the stream keeps what the store has"
        # Elsewhere, with the store and without the copy: everything goes on.
        service.kill()
        with collector(tmp_path / "b", servers) as other:
            shutil.copy(service.store, other.store)
            other.start()
            other.flush(60)
            check(other, ledger)


def hang(servers: Servers, _: Service, seconds: float) -> None:
    """The leader does nothing for a while, and its connections stay."""
    leader = servers.leader(STREAM)
    leader.pause()
    time.sleep(seconds)
    leader.resume()


def both_die(servers: Servers, service: Service) -> None:
    """The leader and the collector."""
    servers.leader(STREAM).kill()
    service.kill()
    service.start()
    servers.start()


def lost_while_it_hangs(servers: Servers, service: Service) -> None:
    """The collector's machine is lost while the leader hangs."""
    leader = servers.leader(STREAM)
    leader.pause()
    service.kill()
    lose(service)
    service.start()
    leader.resume()


def all_die(servers: Servers, _: Service) -> None:
    """All servers at once."""
    servers.kill()
    time.sleep(1)
    servers.start()


@pytest.mark.skipif("ASSAY_STREAM_HANG" not in os.environ, reason="by hand: fails, as docs/decisions/0085 says")
@pytest.mark.timeout(600)
def test_servers_hang_and_die_with_others(servers: Servers, tmp_path: Path) -> None:
    ledger = Ledger()
    say(f"ASSAY_KILL_SEED={SEED}")
    blows: list[Callable[[Servers, Service], None]] = [
        partial(hang, seconds=1),
        partial(hang, seconds=7),
        both_die,
        lost_while_it_hangs,
        all_die,
    ]
    with collector(tmp_path / "a", servers) as service:
        service.start()
        senders = [Sender(ledger, service.port, number, timeout_s=60) for number in range(THREADS)]
        with Load(THREADS, lambda number: senders[number].step()):
            for blow in blows:
                assert until(lambda: servers.are_current(STREAM), 60, every_s=0.2)
                time.sleep(1)
                blow(servers, service)
                takes_again(ledger)
        for sender in senders:
            sender.settle()
        service.flush(60)
        say(
            f"{len(ledger.sent):,} events sent, {len(ledger.accepted):,} accepted, {len(ledger.rejected):,} rejected; "
            f"{len(ledger.unanswered):,} requests unanswered, {len(ledger.turned_away):,} turned away"
        )
        check(service, ledger)
        assert service.terminate() == 0
        assert "Traceback" not in service.said


@pytest.mark.timeout(200)
def test_two_collectors_do_not_share_a_stream(servers: Servers, tmp_path: Path) -> None:
    with collector(tmp_path / "a", servers) as first, collector(tmp_path / "b", servers) as second:
        first.start()
        assert first.post("/collect/orders", b'{"id": "1", "x": 1}').status == 200
        refused = second.run("serve", timeout_s=60)
        assert refused.returncode == 3
        assert "another collector has it" in refused.stderr
        assert "Traceback" not in refused.stderr
        # Out of reach for a while, and another one has taken over: it comes back, and is kept out.
        os.kill(first.pid, signal.SIGSTOP)
        try:
            second.start()
            assert second.post("/collect/orders", b'{"id": "2", "x": 2}').status == 200
        finally:
            os.kill(first.pid, signal.SIGCONT)
        late = first.post("/collect/orders", b'{"id": "3", "x": 3}')
        assert late.status == 503
        assert "taken it over" in late.document["detail"]
        assert first.get("/readyz").status == 503
        second.flush()
        assert second.rows("SELECT id FROM orders ORDER BY id") == [("1",), ("2",)]


def test_commands_say_what_becomes_of_the_stream(servers: Servers, tmp_path: Path) -> None:
    with collector(tmp_path / "a", servers) as service:
        doctor = service.run("doctor")
        assert "is not there yet: the service makes it" in doctor.stdout
        service.start()
        assert service.post("/collect/orders", b'{"id": "1", "x": 1}').status == 200
        assert "in 3 copies, led by n" in service.run("doctor").stdout
        service.kill()
        lose(service)
        flushed = service.run("flush")
        assert (flushed.returncode, flushed.stderr) == (0, "")
        assert service.rows("SELECT id FROM orders") == [("1",)]
        servers.kill()
        doctor = service.run("doctor")
        assert doctor.returncode == 3
        assert "is a nats-server there?" in doctor.stdout
        flushed = service.run("flush")
        assert flushed.returncode == 3
        assert "Traceback" not in flushed.stderr


def test_no_majority_is_answered_with_503_and_passes_by_itself(servers: Servers, tmp_path: Path) -> None:
    with collector(tmp_path / "a", servers) as service:
        service.start()
        assert service.post("/collect/orders", b'{"id": "1", "x": 1}').status == 200
        for server in servers.all[:2]:
            server.kill()
        with service.client() as client:
            doubtful = client.try_post("/collect/orders", b'{"id": "2", "x": 1}')
        # None: it was sent, and nobody knows. 503: whoever was asked says that no stream answers, so it was not taken.
        assert doubtful is None or doubtful.status == 503
        answer = service.post("/collect/orders", b'{"id": "3", "x": 1}')
        assert answer.status == 503
        assert "retry-after" in {name.lower() for name in answer.headers}
        assert service.get("/readyz").status == 503
        servers.start()
        assert until(service.is_ready, 60)
        assert service.post("/collect/orders", b'{"id": "4", "x": 1}').status == 200
        service.flush()
        ids = [id_ for (id_,) in service.rows("SELECT id FROM orders ORDER BY id")]
        assert ids == ["1", "4"] or (doubtful is None and ids == ["1", "2", "4"])
        assert service.terminate() == 0
