"""A refused body, judged again: what the contract says of it now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from assay.contract.violation import Violation
from assay.errors import BadBody, TooLarge, UnsupportedType
from assay.ingest.arrow import one_event
from assay.ingest.cloudevents import BATCH, ENVELOPE, KEY_REUSED, STRUCTURED, CloudEvent, open_structured
from assay.ingest.decode import Decoded, decode_event
from assay.ingest.inflate import MEDIA_TYPES
from assay.ingest.intake import judged
from assay.ingest.keys import Slot
from assay.ingest.validate import Judge, violations_json
from assay.ingest.work import Event
from assay.store.protocol import Reject

__all__ = ["Again", "Superseded", "is_unopened", "judge_again", "reasons_of"]

#: Whether a CloudEvent's key, given with the event's digest, stands for another event by now.
Superseded: TypeAlias = Callable[[Slot, bytes], bool]

_ARROW: Final = "application/vnd.apache.arrow.stream"
#: What no contract can mend: the envelope was at fault.
_UNMENDABLE: Final = frozenset({ENVELOPE, KEY_REUSED})
#: A batch that was none is kept under its request's type, the events of others have their own; and what could not be unpacked.
_UNOPENED: Final = frozenset({BATCH, *MEDIA_TYPES.values()})
_REUSED: Final = Violation(("id",), KEY_REUSED, "another event with this source and id came after it")

_reasons: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode


@dataclass(frozen=True, slots=True)
class Again:
    """A refused body, and what became of it: the `event` where it is accepted now. `found` is what is wrong, or flagged.

    `value` is what the body says, None where it says nothing that could be an event.
    """

    reject: Reject
    event: Event | None
    found: tuple[Violation, ...]
    value: Any = None


def judge_again(reject: Reject, judge: Judge, superseded: Superseded = lambda _slot, _digest: False) -> Again:
    """Judge a refused body by a contract as if it came now.

    What was refused for its envelope stays refused: in binary mode the envelope is not kept, and no contract is about it. So
    does a body that could not be opened: no events were found in it.
    """
    before = reasons_of(reject)
    if is_unopened(reject.content_type) or any(each.type in _UNMENDABLE for each in before):
        return Again(reject, None, before)
    kind = _kind(reject.content_type)
    envelope: Mapping[str, Any] | None = None
    try:
        if kind == STRUCTURED:
            (cloudevent,) = open_structured(reject.body).events
            found = _of_envelope(cloudevent, reject, superseded)
            if found:
                return Again(reject, None, found)
            event, envelope = Decoded(cloudevent.data, cloudevent.value), cloudevent.attributes
        elif kind == _ARROW:
            event = Decoded(reject.body, one_event(reject.body, judge.contract.root))
        else:
            event = decode_event(reject.body)
    except (TooLarge, UnsupportedType) as error:
        event = Decoded(reject.body, error=BadBody(str(error)))
    except BadBody as error:
        event = Decoded(reject.body, error=error)
    found = judged(event, judge)
    if found and (event.error is not None or judge.rejects(found)):
        return Again(reject, None, found, event.value)
    noted = violations_json(found) if found else None
    accepted = Event(
        judge.contract,
        event.value,
        reject.received_at,
        reject.source,
        noted,
        lambda: reject.body,
        reject.content_type,
        envelope,
    )
    return Again(reject, accepted, found, event.value)


def is_unopened(content_type: str) -> bool:
    """Whether what is in quarantine under this type is a body that could not be opened, whatever else it may read as."""
    return _kind(content_type) in _UNOPENED


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def reasons_of(reject: Reject) -> tuple[Violation, ...]:
    """Why it was refused, as the quarantine says; nothing where somebody has made that unreadable."""
    try:
        return tuple(
            Violation(
                tuple(each.get("loc", ())), str(each.get("type", "")), str(each.get("msg", "")), each.get("input")
            )
            for each in _reasons(reject.violations)
        )
    except (msgspec.DecodeError, TypeError):
        return ()


def _of_envelope(event: CloudEvent, reject: Reject, superseded: Superseded) -> tuple[Violation, ...]:
    if event.found or event.key is None:
        return event.found
    slot = Slot(reject.dataset, reject.source, event.key)
    return (_REUSED,) if superseded(slot, event.digest) else ()
