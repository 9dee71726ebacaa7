"""What changes when one contract takes another's place: by the events that each accepts, field by field, with an example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from pydantic import ValidationError

from assay.contract.document import JSON, Contract, Field
from assay.contract.models import Reasons, live_model
from assay.contract.outside import ANYTHING, Undecided, child_of, outside, some_value
from assay.contract.violation import field_label
from assay.contract.words import rule_in_words

__all__ = ["Diff", "Example", "FieldDiff", "Verdict", "diff", "is_at_least"]

Verdict: TypeAlias = Literal["same", "narrows", "widens", "incomparable"]

_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Example:
    """An event that one of the contracts accepts and the other refuses, verified against both; why it is refused."""

    event: dict[str, Any]
    refused_by: Literal["old", "new"]
    field: str
    type: str
    msg: str


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """One field whose rules differ: `before` and `after` in words, None where the field is not described.

    `lost` is a value, as JSON or "missing", that was taken here and is refused now, and `gained` the other way round.
    """

    label: str
    verdict: Verdict
    before: str | None
    after: str | None
    lost: str | None = None
    gained: str | None = None

    @property
    def producers(self) -> str:
        """What it means for who sends."""
        if self.verdict in {"same", "widens"}:
            return "nothing that was accepted is refused"
        return f"{self.lost or 'something'} was accepted and is refused now"

    @property
    def readers(self) -> str:
        """What it means for who reads."""
        if self.verdict in {"same", "narrows"}:
            return "nothing new can appear"
        return f"{self.gained or 'something'} could not appear and can now"


@dataclass(frozen=True, slots=True)
class Diff:
    """Two contracts compared by the sets of events that they accept.

    `lost` is an event that the old one accepts and the new one refuses, `gained` the other way round. `undecided` says why
    where neither an example nor a proof was found: the verdict then takes it that there may be such events.
    """

    old: Contract
    new: Contract
    verdict: Verdict
    fields: tuple[FieldDiff, ...]
    lost: Example | None
    gained: Example | None
    undecided: tuple[str, ...] = ()

    @property
    def example(self) -> Example | None:
        """An event that tells the two apart, one that is refused now before one that was refused."""
        return self.lost or self.gained

    def to_document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "verdict": self.verdict,
            "fields": [
                {
                    "field": each.label,
                    "verdict": each.verdict,
                    "before": each.before,
                    "after": each.after,
                    "lost": each.lost,
                    "gained": each.gained,
                    "producers": each.producers,
                    "readers": each.readers,
                }
                for each in self.fields
            ],
            "lost": _document(self.lost),
            "gained": _document(self.gained),
            "undecided": list(self.undecided),
        }


def diff(old: Contract, new: Contract) -> Diff:
    """Compare two contracts: what `new` accepts beside what `old` does.

    Same: the same events. Narrows: fewer. Widens: more. Incomparable: some more and some fewer. Evidence, titles and other
    words of a document say nothing about events, and make no difference.
    """
    lost, why_lost = _example(old, new, "new")
    gained, why_gained = _example(new, old, "old")
    undecided = tuple(dict.fromkeys(why for why in (why_lost, why_gained) if why is not None))
    verdict = _verdict(bool(lost or why_lost), bool(gained or why_gained))
    return Diff(old, new, verdict, tuple(_objects("", old.root, new.root)), lost, gained, undecided)


def is_at_least(verdict: Verdict, gate: Verdict) -> bool:
    """Whether a change is of the kind that a gate stops: an incomparable one both narrows and widens."""
    return verdict == gate or (verdict == "incomparable" and gate in {"narrows", "widens"})


def _verdict(loses: bool, gains: bool) -> Verdict:  # noqa: FBT001 - two sides of one question
    if loses:
        return "incomparable" if gains else "narrows"
    return "widens" if gains else "same"


def _example(
    accepting: Contract, refusing: Contract, refused_by: Literal["old", "new"]
) -> tuple[Example | None, str | None]:
    """An event that one accepts and the other refuses, if there is one; why it could not be said."""
    try:
        found = outside(accepting.root, refusing.root)
    except Undecided as error:
        return None, str(error)
    if not found:
        return None, None
    event = found[0]
    assert isinstance(event, dict)
    try:
        live_model(accepting).model_validate(event)
    except ValidationError:
        return None, "the example that was made up did not pass"
    try:
        live_model(refusing).model_validate(event)
    except ValidationError as error:
        reason = Reasons(refusing).of(error)[0]
        return Example(event, refused_by, field_label(reason.loc), reason.type, reason.msg), None
    return None, "the example that was made up was not refused"


# ---- field by field


def _objects(prefix: str, old: Field, new: Field) -> Iterator[FieldDiff]:
    """The fields of two objects that differ, and what differs about the objects themselves, first."""
    if not prefix and (found := _place(prefix or "the event", old, new)) is not None:
        yield found
    for name in dict.fromkeys(child.name for child in (*new.properties, *old.properties)):
        before, after = child_of(old, name), child_of(new, name)
        label = f"{prefix}.{name}" if prefix else name
        yield from _below(label, before, after, described=(_describes(old, name), _describes(new, name)))


def _below(
    label: str, old: Field | None, new: Field | None, *, described: tuple[bool, bool] = (True, True)
) -> Iterator[FieldDiff]:
    """What differs under one label, and below it."""
    found = _place(label, old, new, described)
    if found is not None:
        yield found
    if not all(described) or old is None or new is None or old.enum is not None or new.enum is not None:
        return
    if old.properties or new.properties:
        yield from _objects(label, old, new)
    if old.items is not None or new.items is not None:
        yield from _below(f"{label}[]", old.items or ANYTHING, new.items or ANYTHING)


def _place(
    label: str, old: Field | None, new: Field | None, described: tuple[bool, bool] = (True, True)
) -> FieldDiff | None:
    """What differs about one field itself, what is below it apart."""
    apart = all(described) and old is not None and new is not None
    before, after = (_itself(old), _itself(new)) if apart else (old, new)
    if before == after:
        return None
    lost, gained = _taken(before, after), _taken(after, before)
    return FieldDiff(
        label,
        _verdict(lost is not None, gained is not None),
        _in_words(label, old) if described[0] else None,
        _in_words(label, new) if described[1] else None,
        lost or None,
        gained or None,
    )


def _itself(field: Field | None) -> Field | None:
    """A field without what is below it, and without what says nothing about an event."""
    if field is None:
        return None
    return replace(field, properties=(), items=None, name="", title=None, description=None, bins=None, evidence={})


def _taken(a: Field | None, b: Field | None) -> str | None:
    """What may stand in one place and not in another, as JSON, or "missing"; "" where that is not known."""
    if (a is None or not a.required) and b is not None and b.required:
        return "missing"
    if a is None:
        return None
    try:
        found = some_value(a) if b is None else outside(a, b)
    except Undecided:
        return ""
    return _shown(found[0]) if found else None


def _shown(value: JSON) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _in_words(label: str, field: Field | None) -> str | None:
    if field is None:
        return None
    words = rule_in_words(field)
    return words.removesuffix("; may be missing") if label == "the event" or label.endswith("[]") else words


def _describes(field: Field, name: str) -> bool:
    return any(child.name == name for child in field.properties)


def _document(example: Example | None) -> dict[str, Any] | None:
    if example is None:
        return None
    return {
        "event": example.event,
        "refused_by": example.refused_by,
        "field": example.field,
        "type": example.type,
        "msg": example.msg,
    }
