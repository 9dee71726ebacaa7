"""A replay is killed again and again, wherever it runs, and asked for again: each event is in its table once."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.e2e.harness import NDJSON, Service, has_open, lines, say, until

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("ASSAY_REPLAY_KILLS", "50"))
SEED = int(os.environ.get("ASSAY_KILL_SEED") or random.SystemRandom().randrange(2**32))
#: Refused events that come at a time; a few are refused by the next version, too.
EVENTS = 4_000
STUBBORN = 50


def schema(most: int) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {"id": {"type": "string"}, "x": {"type": "integer", "maximum": most}},
        "required": ["id", "x"],
    }


class Refused:
    """What was sent and refused, and what of it the next version takes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.passing: set[str] = set()
        self.others: set[str] = set()

    def more(self) -> None:
        first = len(self.passing) + len(self.others)
        events = [{"id": f"e{first + i}", "x": 1_000 if i % STUBBORN == 0 else 50} for i in range(EVENTS)]
        answer = self._service.post("/collect/d", lines(events), NDJSON)
        assert (answer.status, answer.document["rejected"]) == (200, EVENTS)
        self.others |= {str(event["id"]) for event in events if event["x"] == 1_000}
        self.passing |= {str(event["id"]) for event in events if event["x"] == 50}


def wait(opens: Callable[[], bool], rng: random.Random) -> None:
    """Until some moment of a replay: while the store is open for a portion, or between two of them."""
    until(opens, 5, every_s=0.001)
    time.sleep(rng.choice([0.2, 1.5]) * rng.random())
    if rng.random() < 0.5:
        until(opens, 1, every_s=0.001)
        time.sleep(0.03 * rng.random())


def strike(pids: Sequence[int], service: Service) -> bool:
    """`kill -9`. Whether one of them had the store open at that moment."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # they hold still while we look
    held = any(has_open(pid, service.store) for pid in pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return held


def ask(service: Service) -> None:
    with service.client() as client:
        client.try_post("/replay/d?contract=2", b"")


def through_the_service(service: Service, rng: random.Random, *, all_of_it: bool) -> bool:
    """Kill the service, or the process of it that applies the log and replays."""
    asking = threading.Thread(target=ask, args=[service], daemon=True)
    asking.start()
    wait(service.holds_store, rng)
    held = service.kill() if all_of_it else strike(service.children(), service)
    asking.join(30)
    assert not asking.is_alive()
    return held


def without_it(service: Service, rng: random.Random) -> bool:
    """Kill `assay replay`, which does it itself."""
    with service.begin_command("replay", "d", "--contract", "2") as command:
        wait(lambda: has_open(command.pid, service.store), rng)
        held = strike([command.pid], service)
        command.wait()
    return held


@pytest.mark.timeout(120 + 20 * KILLS)
def test_each_event_once_however_often_a_replay_is_killed(service: Service) -> None:
    rng = random.Random(SEED)
    say(f"ASSAY_KILL_SEED={SEED} ASSAY_REPLAY_KILLS={KILLS}")
    service.enforce("d", schema(10))
    service.add("d", schema(100))
    refused = Refused(service)
    half_way = in_the_store = 0
    for number in range(KILLS):
        # Two lives of the service for each ten kills: what is refused in one is replayed by the command, in the other by it.
        turn = number % 10
        if turn in {0, 4}:
            service.start()
            for _ in range(6):
                refused.more()
            service.flush(180)
        if turn == 0:
            assert service.terminate() == 0
        before = moved(service)
        in_the_store += without_it(service, rng) if turn < 4 else through_the_service(service, rng, all_of_it=turn == 9)
        half_way += before < moved(service) < len(refused.passing)
    service.kill()
    service.start()
    with service.client(timeout_s=300) as client:
        assert client.ask("POST", "/replay/d?contract=2", b"").status == 200
        again = client.ask("POST", "/replay/d?contract=2", b"").document
    assert (again["accepted"], again["refused"]) == (0, len(refused.others))
    say(
        f"{len(refused.passing):,} events to be moved, {len(refused.others):,} to stay; of {KILLS} kills {in_the_store} fell "
        f"on an open store, and {half_way} left a replay half way"
    )
    table = Counter(name for (name,) in service.rows("SELECT id FROM d"))
    assert [name for name, times in table.items() if times > 1] == []
    assert table.keys() == refused.passing
    rows = service.rows("SELECT body, replayed_at IS NULL FROM _quarantine")
    assert Counter(json.loads(body)["id"] for body, _ in rows).keys() == refused.passing | refused.others
    assert len(rows) == len(refused.passing) + len(refused.others)
    assert {json.loads(body)["id"] for body, waits in rows if waits} == refused.others
    assert service.terminate() == 0


def moved(service: Service) -> int:
    ((count,),) = service.rows("SELECT count(*) FROM _quarantine WHERE replayed_at IS NOT NULL")
    return int(count)
