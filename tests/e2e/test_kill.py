"""`kill -9`, again and again, under load: what was acknowledged is there once, and nothing is there twice."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from tests.e2e.harness import NDJSON, Answer, Client, Load, Service, holding, say, until

pytestmark = pytest.mark.e2e

ROUNDS = int(os.environ.get("ASSAY_KILL_ROUNDS", "20"))  # 200 by hand, now and then
SEED = int(os.environ.get("ASSAY_KILL_SEED") or random.SystemRandom().randrange(2**32))
THREADS = 4
LEARNERS = ("wild_a", "wild_b", "wild_c")
DATASETS = ("orders", *LEARNERS)
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "x": {"type": "number", "minimum": 0, "maximum": 100},
        "note": {"type": "string"},
    },
    "required": ["id", "x"],
}
#: Of a body that is judged and logged in pieces: with notes of this length more than the 4 MiB that are taken whole.
LARGE = 20_000
NOTE = "n" * 200


@dataclass(frozen=True)
class Request:
    """One body on its way. With a key it is sent again until it is answered."""

    path: str
    body: bytes
    content_type: str
    key: str | None
    ids: tuple[str, ...]

    @property
    def is_single(self) -> bool:
        return self.body[:1] == b"{" and self.content_type != NDJSON


@dataclass
class Ledger:
    """What was sent, and what was answered. Ids are never used twice."""

    sent: dict[str, tuple[str, bool]] = field(default_factory=dict)  # id -> dataset, whether it keeps the contract
    accepted: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)  # quarantine id -> the event's id
    turned_away: list[Request] = field(default_factory=list)  # 503: nothing of them is stored, then or later
    unanswered: list[Request] = field(default_factory=list)  # all of it may be there, or nothing
    odd: list[str] = field(default_factory=list)  # answers that should not be
    sent_again: int = 0
    large: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note_answer(self, request: Request, answer: Answer | None) -> None:
        with self.lock:
            if answer is None:
                self.unanswered.append(request)
                return
            document = answer.document
            if answer.status == 200:
                refused = {each["index"]: each["quarantine_id"] for each in document.get("errors", ())}
                if document["accepted"] + document.get("rejected", 0) != len(request.ids):
                    self.odd.append(f"{len(request.ids)} sent: {document}")
                self.rejected |= {kept: request.ids[index] for index, kept in refused.items()}
                self.accepted |= {each for index, each in enumerate(request.ids) if index not in refused}
                self.large += len(request.ids) == LARGE
            elif answer.status == 422 and request.is_single:
                self.rejected[document["quarantine_id"]] = request.ids[0]
            elif answer.status == 503:
                self.turned_away.append(request)
            else:
                self.odd.append(f"{answer.status} {document}")


class Sender:
    """A client's thread: events of all kinds, each in its own shape, some of the bodies with a key."""

    def __init__(self, ledger: Ledger, port: int, number: int, *, timeout_s: float = 10) -> None:
        self._ledger = ledger
        self._rng = random.Random(f"{SEED} {number}")
        self._numbers = itertools.count()
        self._name = number
        self._client = Client(port, source=f"client-{number}", timeout_s=timeout_s)
        self._waiting: Request | None = None

    def step(self) -> None:
        """Send one body: a new one, or again what had a key and got no answer."""
        request = self._waiting or self._request()
        self._ledger.sent_again += request is self._waiting
        answer = self._client.try_post(request.path, request.body, request.content_type, key=request.key)
        if request.key is not None and (answer is None or answer.status == 503):
            self._waiting = request
        else:
            self._waiting = None
            self._ledger.note_answer(request, answer)
        if answer is None:
            time.sleep(0.05)  # there is nobody just now

    def settle(self) -> None:
        """What waits for its answer gets it, from a service that runs."""
        if self._waiting is not None:
            self.step()
        assert self._waiting is None
        self._client.__exit__()

    def _request(self) -> Request:
        rng = self._rng
        shape = rng.choices(["single", "array", "ndjson", "large"], [600, 200, 200, 10])[0]
        dataset = rng.choices(DATASETS, [4, 2, 2, 2])[0]
        count = {"single": 1, "large": LARGE}.get(shape) or rng.choice([2, 20, 90, 300])
        events = [self._event(dataset, bad=0.1 if count < LARGE else 0.001) for _ in range(count)]
        if shape == "large":
            body = b"\n".join(json.dumps(event | {"note": NOTE}).encode() for event in events)
            assert len(body) > 4 << 20
        elif shape == "ndjson":
            body = b"\n".join(json.dumps(event).encode() for event in events)
        else:
            body = json.dumps(events[0] if shape == "single" else events).encode()
        content_type = NDJSON if shape in ("ndjson", "large") else "application/json"
        key = f"{self._name}-{next(self._numbers)}" if rng.random() < 0.3 else None
        return Request(f"/collect/{dataset}", body, content_type, key, tuple(event["id"] for event in events))

    def _event(self, dataset: str, *, bad: float) -> dict[str, Any]:
        # A batch has fewer than 100 bad ones: the answer names no more.
        is_good = self._rng.random() > bad
        event: dict[str, Any] = {
            "id": f"{self._name}-{next(self._numbers)}",
            "x": self._rng.choice([0, 1.5, 99] if is_good else [-1, "1", 101]),
        }
        self._ledger.sent[event["id"]] = (dataset, is_good)
        return event


def moments(rng: random.Random) -> list[str]:
    """Which part of its life each kill is to fall on."""
    eighth = ROUNDS // 8
    chosen = ["start"] * 2 * eighth + ["apply"] * 2 * eighth + ["held"] * eighth
    chosen += ["any"] * (ROUNDS - len(chosen))
    rng.shuffle(chosen)
    return chosen


def live(service: Service, moment: str, rng: random.Random) -> None:
    """A short life of the service, up to the moment that it is killed at."""
    if moment == "start":
        service.begin()
        time.sleep(0.05 + 1.45 * rng.random())
        return
    service.start()
    time.sleep(rng.choice([0.0, 0.1, 0.5, 1.0, 2.0]) * rng.random())
    if moment == "apply":
        until(service.holds_store, 2, every_s=0.001)
        time.sleep(0.04 * rng.random())


@pytest.mark.timeout(120 + 8 * ROUNDS)
def test_what_was_acknowledged_is_there_once_whatever_is_killed_when(service: Service) -> None:
    rng = random.Random(SEED)
    say(f"ASSAY_KILL_SEED={SEED} ASSAY_KILL_ROUNDS={ROUNDS}")
    ledger = Ledger()
    service.enforce("orders", SCHEMA)
    activate_at = {ROUNDS * (i + 1) // (len(LEARNERS) + 1): name for i, name in enumerate(LEARNERS[:-1])}
    in_apply = 0
    senders = [Sender(ledger, service.port, number) for number in range(THREADS)]
    with Load(THREADS, lambda number: senders[number].step()):
        for number, moment in enumerate(moments(rng)):
            if number in activate_at:
                service.enforce(activate_at[number], SCHEMA)  # killed while it is moved, or soon after
            # While another program holds the store, all that is sent stays in the log over the kill.
            with holding(service.store) if moment == "held" else contextlib.nullcontext():
                live(service, moment, rng)
                # Every third time the process that applies is left alone, and must end by itself.
                in_apply += service.kill(all_of_it=number % 3 != 2)
            if moment == "apply" and service.store.exists():
                service.rows("SELECT count(*) FROM _quarantine")  # it can be read as it was left
    service.enforce(LEARNERS[-1], SCHEMA)
    for _ in range(5):  # the last learner's events are moved now: killed as they are
        live(service, "apply", rng)
        in_apply += service.kill()
    service.start()
    for sender in senders:
        sender.settle()
    service.flush(120 + 3 * ROUNDS)
    say(
        f"{len(ledger.sent):,} events sent, {len(ledger.accepted):,} accepted, {len(ledger.rejected):,} rejected, "
        f"{ledger.large} large bodies among them; {len(ledger.unanswered):,} requests unanswered, "
        f"{ledger.sent_again:,} sent again with their key, {len(ledger.turned_away)} turned away; "
        f"{in_apply} of {ROUNDS + 5} kills fell into a write to the store; ready within {max(service.starts):.1f} s"
    )
    check(service, ledger)
    assert service.terminate() == 0


class Asked(Protocol):
    """What can be asked of a store."""

    def rows(self, query: str) -> list[tuple[Any, ...]]: ...


def check(service: Asked, ledger: Ledger) -> None:
    """Hold the store to what was answered."""
    assert ledger.odd == []
    assert ledger.accepted
    assert ledger.rejected
    assert service.rows("SELECT count(*) FROM _learning") == [(0,)]
    assert service.rows("SELECT count(*) FROM _gaps") == [(0,)]
    in_table = {name: Counter(row[0] for row in service.rows(f"SELECT id FROM {name}")) for name in DATASETS}
    kept = service.rows("SELECT CAST(id AS VARCHAR), dataset, body FROM _quarantine")
    in_quarantine = Counter(json.loads(body)["id"] for _, _, body in kept)
    kept_as = Counter(row[0] for row in kept)

    stored = sum(in_table.values(), in_quarantine.copy())
    assert [each for each, times in stored.items() if times > 1] == []
    assert stored.keys() <= ledger.sent.keys()
    # Each is where it belongs: by its dataset and by whether it keeps the contract.
    assert [(name, each) for name, ids in in_table.items() for each in ids if ledger.sent[each] != (name, True)] == []
    assert [each for _, name, body in kept if ledger.sent[each := json.loads(body)["id"]] != (name, False)] == []
    # A body is there whole or not at all.
    assert [each.path for each in ledger.turned_away if not stored.keys().isdisjoint(each.ids)] == []
    in_part = [each for each in ledger.unanswered if 0 < len(stored.keys() & set(each.ids)) < len(each.ids)]
    assert [(each.path, len(each.ids)) for each in in_part] == []
    # Every answer was kept.
    assert ledger.accepted - stored.keys() == set()
    assert ledger.rejected.keys() - kept_as.keys() == set()
    assert [each for each, times in kept_as.items() if times > 1] == []
    where = {kept_id: json.loads(body)["id"] for kept_id, _, body in kept}
    assert [kept_id for kept_id, event in ledger.rejected.items() if where[kept_id] != event] == []
