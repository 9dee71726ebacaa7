"""CloudEvents to an outcome, the records that make it durable, and the keys that make a repetition safe. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from assay.contract.violation import Violation
from assay.errors import BadBody
from assay.ingest.cloudevents import KEY_REUSED, CloudEvent, Opened
from assay.ingest.decode import Decoded
from assay.ingest.intake import Intake, judged
from assay.ingest.keys import Kept, Slot
from assay.ingest.outcome import Outcome, Rejected
from assay.ingest.payload import LoggedCloudEvent
from assay.ingest.record import Record
from assay.ingest.validate import Judge, violations_json

__all__ = ["Taken", "take_cloudevents"]

_REUSED: Final = Violation(
    ("id",), KEY_REUSED, "another event with this source and id was accepted before; each needs an id of its own"
)
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Taken:
    """What to answer, what to log first, and the keys to log with it."""

    outcome: Outcome
    records: Sequence[Record]
    keys: Sequence[Kept]


def take_cloudevents(
    opened: Opened | BadBody,
    body: bytes,
    *,
    dataset: str,
    judge: Judge | None,
    source: str,
    content_type: str,
    received_us: int,
    atomic: bool,
    keep_unknown: bool,
    remembered: Callable[[Slot], Kept | None],
) -> Taken:
    """Judge a body of CloudEvents, each known by its source and id. Of those that came before, the first answer counts.

    `content_type` is the request's, for a body that could not be opened.
    """
    outcome = Outcome(dataset, source, judge, atomic=atomic)
    intake = Intake(outcome, keep_unknown=keep_unknown)
    if isinstance(opened, BadBody):
        outcome.bad_body = opened
        intake.refuse_body(body, opened)
        return Taken(outcome, intake.records(content_type, received_us), ())
    outcome.single = opened.single
    fresh: dict[Slot, Kept] = {}
    for event in opened.events:
        slot = None if event.key is None else Slot(dataset, source, event.key)
        known = None if slot is None else fresh.get(slot) or remembered(slot)
        if known is not None and known.digest == event.digest:
            _repeat(outcome, intake.index, known)
        else:
            reused = known is not None and not known.rejected
            status, rejected, answer = _take(intake, event, reused=reused)
            if slot is not None and not reused:
                fresh[slot] = Kept(slot, event.digest, received_us, rejected, status, answer)
        intake.index += 1
    records = intake.records(opened.content_type, received_us)
    undone = outcome.atomic and not outcome.ok
    return Taken(outcome, records, [kept for kept in fresh.values() if kept.rejected or not undone])


def _take(intake: Intake, event: CloudEvent, *, reused: bool) -> tuple[int, bool, bytes]:
    """Judge one event. What its key is to remember: status, whether it was rejected, and what is needed to say so again."""
    outcome, judge = intake.outcome, intake.outcome.judge
    if isinstance(event.value, dict):
        outcome.values.append(event.value)
    found = event.found
    if not found:
        found = (_REUSED,) if reused else judged(Decoded(event.data, event.value), judge)
    if reused or event.found or (found and (judge is None or judge.rejects(found))):
        rejected = intake.refuse(Decoded(event.raw), found)
        errors = [violation.to_document() for violation in found]
        return 422, True, json.dumps({"id": rejected.quarantine_id, "errors": errors}, default=str).encode()
    noted = violations_json(found) if found else None
    outcome.flags += found
    intake.enveloped.append(LoggedCloudEvent(event.data, noted, _encode(event.attributes).decode()))
    return 200, False, b'{"flagged":true}' if found else b""


def _repeat(outcome: Outcome, index: int, known: Kept) -> None:
    """Answer as the first time."""
    said: dict[str, Any] = json.loads(known.answer) if known.answer else {}
    if known.rejected:
        found = [Violation(tuple(each.pop("loc")), **each) for each in said["errors"]]
        outcome.repeated_rejected.append(Rejected(index, said["id"], found))
    else:
        outcome.repeated += 1
        outcome.repeated_flagged += "flagged" in said
