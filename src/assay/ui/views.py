"""What each page shows, worked out before it is drawn: plain values, no HTML."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from assay.contract.document import Contract, Field
from assay.contract.versions import Active, tops
from assay.contract.violation import field_label
from assay.contract.words import rule_in_words
from assay.ingest.validate import Judge
from assay.monitor.bins import binned_fields
from assay.monitor.drift import Drift, drift
from assay.monitor.metrics import LEARNING
from assay.ui.charts import BinRow, bin_rows
from assay.ui.history import Bar, History
from assay.ui.prometheus import Alerts, Firing

__all__ = [
    "DatasetRow",
    "FieldCard",
    "Group",
    "Piece",
    "ago",
    "dataset_row",
    "field_cards",
    "groups",
    "marked",
    "moment",
]

#: Under this, in seconds, a dataset counts as sending.
_QUIET_S: Final = 60.0
_LONGEST_BODY: Final = 4_000

State: TypeAlias = Literal["good", "warn", "bad", "idle"]


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset on the overview. Counts and the share are of the last minutes that `History.bars` gave."""

    name: str
    version: int | None
    mode: str
    modes: str
    state: State
    says: str
    rate: float
    accepted: int
    flagged: int
    rejected: int
    bars: Sequence[Bar]
    last: str
    alerts: Sequence[Firing] = ()

    @property
    def refused_share(self) -> float:
        """Of all that came, in [0, 1]."""
        return self.rejected / max(self.accepted + self.flagged + self.rejected, 1)


def dataset_row(
    name: str, judge: Judge | None, history: History, alerts: Alerts, now_s: float, *, bars: int, every_s: float
) -> DatasetRow:
    """How a dataset is doing: what fires first, then what its own figures say."""
    label = name if judge is not None else LEARNING
    recent = history.bars(label, bars=bars, every_s=every_s)
    accepted, flagged = sum(bar.accepted for bar in recent), sum(bar.flagged for bar in recent)
    rejected = sum(bar.rejected for bar in recent)
    last_s = history.figures.last.get(label)
    firing = alerts.of(name)
    rate = history.rate(label)
    quiet_s = None if last_s is None else now_s - last_s
    state, says = _state(judge, firing, (rejected, accepted + flagged + rejected), rate, quiet_s)
    return DatasetRow(
        name=name,
        version=None if judge is None else judge.contract.version,
        mode="learning" if judge is None else judge.active.mode,
        modes="" if judge is None else _modes(judge.active),
        state=state,
        says=says,
        rate=rate,
        accepted=accepted,
        flagged=flagged,
        rejected=rejected,
        bars=recent,
        last="never" if last_s is None else ago(now_s - last_s),
        alerts=firing,
    )


def _modes(active: Active) -> str:
    """What a contract does not refuse, in words; nothing where it refuses all that breaks it."""
    apart = sorted(label for label, mode in active.fields.items() if mode != active.mode)
    names = apart[0] if len(apart) == 1 else f"{len(apart)} fields"
    if active.mode == "enforce":
        return f"{names} only observed" if apart else ""
    return f"observed, but for {names}" if apart else "observe: nothing is refused"


def _state(
    judge: Judge | None, firing: Sequence[Firing], refused_of: tuple[int, int], rate: float, quiet_s: float | None
) -> tuple[State, str]:
    rejected, events = refused_of
    if firing:
        names = list(dict.fromkeys(each.name for each in firing))
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        state: State = "bad" if any(each.severity == "page" for each in firing) else "warn"
        return state, f"alert: {', '.join(names[:2])}{more}"
    if judge is None:
        return "idle", "learning: it has no contract yet"
    if rejected:
        return "warn", f"{rejected:,} of {events:,} events refused"
    if quiet_s is None:
        return "idle", "nothing has come yet"
    if not rate and quiet_s > _QUIET_S:
        return "idle", f"quiet, the last event came {ago(quiet_s)}"
    return "good", "as expected"


@dataclass(frozen=True, slots=True)
class FieldCard:
    """A field on its dataset's page. `counts` are its live values by bin, where it has bins and some came.

    `since` is the moment (RFC 3339) when it got its own mode, where it has one.
    """

    label: str
    field: Field
    rule: str
    observed: bool
    counts: Sequence[int] | None
    rows: Sequence[BinRow]
    drift: Drift | None
    broken: Sequence[tuple[str, int]]
    alerts: Sequence[Firing] = ()
    asked: bool = False
    since: str = ""

    @property
    def state(self) -> State:
        """Whether somebody should look at it."""
        if self.alerts or (self.drift is not None and self.drift.is_over):
            return "bad"
        return "warn" if self.broken else "good"

    @property
    def rare(self) -> list[BinRow]:
        """The bins that clean data hardly reaches, where something is in them."""
        shown = [row for row in self.rows if row.special and (row.live or row.expected)]
        return shown if self.has_distribution else [row for row in shown if row.label != "_other"]

    @property
    def has_distribution(self) -> bool:
        """Whether it has bins of its own, beside the special ones."""
        return any(not row.special for row in self.rows)


def field_cards(
    judge: Judge,
    history: History,
    alerts: Sequence[Firing],
    asked: str = "",
    since: Mapping[str, str] = MappingProxyType({}),
) -> list[FieldCard]:
    """Every field of the active contract: first the one that was asked for, then those that somebody should look at.

    `since` is the moment of each field that has a mode of its own.
    """
    contract = judge.contract
    live = history.live(contract.dataset)
    counts: Mapping[str, Sequence[int]] = {}
    if live is not None and live.contract is contract:
        counts = live.counts
    binned = dict(binned_fields(contract))
    broken: dict[str, list[tuple[str, int]]] = {}
    for (label, kind), count in history.violations(contract.dataset).items():
        broken.setdefault(label, []).append((kind, count))
    cards, top = [], tops(contract)
    for label, field in contract.root.walk():
        own = counts.get(label) if label in binned else None
        seen = own if own is not None and any(own) else None
        bins = field.bins
        cards.append(
            FieldCard(
                label=label,
                field=field,
                rule=rule_in_words(field),
                observed=judge.active.mode_of(label, top[label]) == "observe",
                counts=seen,
                rows=[] if bins is None else bin_rows(bins, seen),
                drift=None if bins is None or seen is None else drift(bins, seen),
                broken=broken.get(label, []),
                alerts=[each for each in alerts if each.field == label],
                asked=label == asked,
                since=since.get(label, ""),
            )
        )
    order = {"bad": 0, "warn": 1, "good": 2, "idle": 3}
    return sorted(cards, key=lambda card: (not card.asked, order[card.state]))


# ---- the quarantine


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an event's text; `why` says what is wrong with it, where something is."""

    text: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Refused events of one kind."""

    fingerprint: str
    count: int
    first: str
    last: str
    sources: Sequence[str]
    reasons: Sequence[tuple[str, str, str]]
    pieces: Sequence[Piece]
    cut: bool = False


def groups(document: Mapping[str, Any]) -> list[Group]:
    """The groups of a quarantine, as `store.quarantine.groups` gives them."""
    return [
        Group(
            fingerprint=each["fingerprint"],
            count=each["count"],
            first=each["first_seen"],
            last=each["last_seen"],
            sources=each["sources"],
            reasons=reasons(each["sample"]["errors"]),
            pieces=marked(each["sample"]),
            cut=len(each["sample"].get("body", "")) > _LONGEST_BODY,
        )
        for each in document["items"]
    ]


def reasons(errors: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """(field label, type, message) of each violation; each of them once."""
    found = [(field_label(tuple(error["loc"])) or "the event", error["type"], error["msg"]) for error in errors]
    return list(dict.fromkeys(found))


def marked(reject: Mapping[str, Any]) -> list[Piece]:
    """A refused body, one field a line, with the values marked that broke the contract.

    What is no JSON object stands as it came: text as text, other bytes by their number.
    """
    body = reject.get("body")
    if body is None:
        return [Piece(f"{len(reject.get('body_base64', '')) * 3 // 4:,} bytes that are no text")]
    try:
        event = json.loads(body) if len(body) <= _LONGEST_BODY else None
    except (ValueError, RecursionError):
        event = None
    why: dict[tuple[str | int, ...], str] = {tuple(error["loc"]): error["msg"] for error in reject["errors"]}
    if not isinstance(event, dict):
        shown = body if len(body) <= _LONGEST_BODY else f"{body[:_LONGEST_BODY]}…"
        return [Piece(shown, "; ".join(dict.fromkeys(why.values())))]
    pieces: list[Piece] = []
    _write(event, (), why, pieces, "")
    for loc, reason in why.items():
        if len(loc) == 1 and loc[0] not in event:
            pieces.append(Piece(f"\n  {json.dumps(loc[0], ensure_ascii=False)} is not there", reason))
    if () in why:
        pieces.append(Piece("\n", why[()]))
    return pieces


def _write(
    value: Any, loc: tuple[str | int, ...], why: Mapping[tuple[str | int, ...], str], pieces: list[Piece], indent: str
) -> None:
    """JSON, indented, cut into pieces where something is wrong."""
    if loc and loc in why:
        pieces.append(Piece(json.dumps(value, ensure_ascii=False), why[loc]))
    elif isinstance(value, dict | list) and value:
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        opened, closed = ("{", "}") if isinstance(value, dict) else ("[", "]")
        pieces.append(Piece(opened))
        for place, (key, child) in enumerate(items):
            name = f"{json.dumps(key, ensure_ascii=False)}: " if isinstance(value, dict) else ""
            pieces.append(Piece(f"\n{indent}  {name}"))
            _write(child, (*loc, key), why, pieces, f"{indent}  ")
            if place < len(items) - 1:
                pieces.append(Piece(","))
        pieces.append(Piece(f"\n{indent}{closed}"))
    else:
        pieces.append(Piece(json.dumps(value, ensure_ascii=False)))


# ---- two documents side by side


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document beside the other's: `same`, `gone` (left alone), `new` (right alone), `changed`."""

    kind: Literal["same", "gone", "new", "changed", "skipped"]
    left: str = ""
    right: str = ""


def side_by_side(old: Contract, new: Contract) -> list[Line]:
    """Two documents line by line, without their evidence; long stretches that are alike are left out."""
    left, right = (_lines(contract) for contract in (old, new))
    lines: list[Line] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            same = [Line("same", text, text) for text in left[a:b]]
            lines += (
                same if len(same) <= 8 else [*same[:3], Line("skipped", f"{len(same) - 6} lines alike"), *same[-3:]]
            )
        else:
            for place in range(max(b - a, d - c)):
                one = left[a + place] if place < b - a else None
                two = right[c + place] if place < d - c else None
                kind: Any = "new" if one is None else "gone" if two is None else "changed"
                lines.append(Line(kind, one or "", two or ""))
    return lines


def _lines(contract: Contract) -> list[str]:
    return json.dumps(_without_evidence(contract.schema), indent=2, ensure_ascii=False).splitlines()


def _without_evidence(schema: Any) -> Any:
    """What a document says of an event, without what it remembers of the data."""
    if isinstance(schema, dict):
        return {key: _without_evidence(value) for key, value in schema.items() if key != "x-assay"}
    return [_without_evidence(each) for each in schema] if isinstance(schema, list) else schema


# ---- times


def ago(seconds: float) -> str:
    """How long ago, in words."""
    if seconds < 2:
        return "now"
    for unit_s, name, most in ((1, "s", 120), (60, "min", 120), (3600, "h", 48), (86400, "days", math.inf)):
        if seconds < most * unit_s:
            return f"{seconds / unit_s:.0f} {name} ago"
    raise AssertionError


def moment(rfc3339: str) -> datetime | None:
    """A moment as the store and Prometheus write it; None where it is none."""
    try:
        return datetime.fromisoformat(rfc3339).astimezone(UTC)
    except ValueError:
        return None
