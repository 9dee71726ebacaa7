"""A contract is changed under load, back and forth: no request fails, and none sees half of each."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import pytest

from assay.contract.versions import Active
from tests.e2e.harness import NDJSON, Client, Load, Service, lines, say, until

pytestmark = pytest.mark.e2e

SWITCHES = 100
CLIENTS = 64
#: Of all clients together: what leaves a machine of two cores some time for the service.
PER_SECOND = 600


def schema(x: int, y: int) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {"x": {"type": "integer", "maximum": x}, "y": {"type": "integer", "maximum": y}},
        "required": ["x", "y"],
    }


# Version 1 refuses a large x, version 2 a large y: which one judged an event can be told from the verdict.
LARGE_X, LARGE_Y, BOTH = {"x": 50, "y": 5}, {"x": 5, "y": 50}, {"x": 50, "y": 50}
REFUSES = {1: "x", 2: "y"}


@dataclass(frozen=True)
class Seen:
    """An answer: when its request began and ended, and the version that judged."""

    began: float
    ended: float
    version: int


class Sender:
    def __init__(self, service: Service) -> None:
        self._client: Client = service.client()
        self._turn = 0
        self.seen: list[Seen] = []
        self.odd: list[str] = []
        self.accepted = 0

    def step(self) -> None:
        self._turn += 1
        began = time.monotonic()
        version = (self._single, self._batch)[self._turn % 2]()
        if version is not None:
            self.seen.append(Seen(began, time.monotonic(), version))

    def _single(self) -> int | None:
        event = (LARGE_X, LARGE_Y, BOTH)[self._turn // 2 % 3]
        answer = self._client.try_post("/collect/d", json.dumps(event).encode())
        if answer is not None and answer.status == 200 and event is not BOTH:
            self.accepted += 1
            return 2 if event is LARGE_X else 1
        if answer is not None and answer.status == 422:
            version = answer.document["contract"]
            fields = [error["loc"] for error in answer.document["errors"]]
            if event[REFUSES[version]] == 50 and fields == [[REFUSES[version]]]:
                return int(version)
        self.odd.append(f"{event}: {answer}")
        return None

    def _batch(self) -> int | None:
        events = [LARGE_X, LARGE_Y] * 40
        answer = self._client.try_post("/collect/d", lines(events), NDJSON)
        if answer is not None and answer.status == 200:
            document = answer.document
            refused = {(each["index"] % 2, *each["loc"]) for each in document["errors"]}
            if (document["accepted"], document["rejected"], len(document["errors"])) == (40, 40, 40):
                self.accepted += 40
                if refused == {(0, "x")}:
                    return 1
                if refused == {(1, "y")}:
                    return 2
        self.odd.append(f"a batch: {answer}")
        return None

    def close(self) -> None:
        self._client.__exit__()


def edit(service: Service, version: int) -> None:
    """Put a version in force as an editor would, and wait until it is."""
    service.versions.activate("d", Active(version))
    assert until(lambda: service.enforced("d") == version, 30, every_s=0.02), service.said[-2000:]


def ask(service: Service, version: int) -> None:
    """Ask the service to do it: when it answers, it is done."""
    answer = service.post("/contracts/d/activate", json.dumps({"contract": version}).encode())
    assert (answer.status, service.enforced("d")) == (200, version)


@pytest.mark.timeout(240)
def test_a_change_takes_effect_within_2_s_and_no_request_fails(service: Service) -> None:
    service.enforce("d", schema(10, 100))
    service.add("d", schema(100, 10))
    service.start()
    senders = [Sender(service) for _ in range(CLIENTS)]
    switched: list[tuple[float, float, int]] = []  # when a version was written, and when it was known to be in force
    took: list[float] = []
    with Load(CLIENTS, lambda number: senders[number].step(), per_second=PER_SECOND):
        time.sleep(0.5)
        for turn in range(SWITCHES):
            version = 2 - turn % 2
            began = time.monotonic()
            if turn % 33 == 32:
                ask(service, version)
            else:
                edit(service, version)
                took.append(time.monotonic() - began)
            switched.append((began, time.monotonic(), version))
            time.sleep(0.05)
    for sender in senders:
        sender.close()
    seen = sorted((each for sender in senders for each in sender.seen), key=lambda each: each.began)
    say(
        f"{len(seen):,} requests, {SWITCHES} changes; taken up after {max(took):.2f} s at most, "
        f"{sum(took) / len(took):.2f} s on average"
    )
    assert [each for sender in senders for each in sender.odd] == []
    # A machine that is shared stands still now and then.
    assert sorted(took)[-3] < 2
    # What began after a change was taken up, and ended before the next was written, was judged by that version.
    told_apart = 0
    for (_, known, version), until_then in zip(
        switched, [*(began for began, _, _ in switched[1:]), float("inf")], strict=True
    ):
        between = {each.version for each in seen if each.began > known and each.ended < until_then}
        assert between <= {version}
        told_apart += len(between)
    assert told_apart > SWITCHES // 5
    service.flush()
    # The table says the same as the answers: each row under the version that lets it pass.
    rows = service.rows("SELECT _contract, x, y, count(*) FROM d GROUP BY ALL ORDER BY ALL")
    assert [row[:3] for row in rows] == [(1, 5, 50), (2, 50, 5)]
    assert sum(row[3] for row in rows) == sum(sender.accepted for sender in senders)
    kept = service.rows("SELECT DISTINCT contract, violations->'$[0].loc[0]' FROM _quarantine ORDER BY ALL")
    assert kept == [(1, '"x"'), (2, '"y"')]
    assert service.terminate() == 0


@pytest.mark.timeout(60)
def test_what_cannot_be_enforced_leaves_what_was(service: Service) -> None:
    service.enforce("d", schema(10, 100))
    service.start()
    active = service.versions.active_path("d")
    good = active.read_text()
    for broken in ("", "{", '{"contract": 7}', '{"contract": 1, "mode": "perhaps"}', "\0"):
        said = len(service.said)
        active.write_text(broken)
        assert until(lambda said=said: "contract not taken up" in service.said[said:], 2), broken  # type: ignore[misc]
        refused = service.post("/collect/d", json.dumps(LARGE_X).encode())
        assert (refused.status, refused.document["contract"]) == (422, 1)
    # The file that is named may come later than the file that names it.
    said = len(service.said)
    active.write_text(good.replace("1", "2"))
    assert until(lambda: "contract not taken up" in service.said[said:], 2)
    service.add("d", schema(100, 10))
    assert until(lambda: service.post("/collect/d", json.dumps(LARGE_X).encode()).status == 200, 2)
    assert service.terminate() == 0
