"""Exceptions from the alerts that a person has declared: one is muted, or its limit widened, for a reason and a while.

The expiry stands in the rules themselves, so an alert comes back into force on its day, whether somebody writes the
rules anew or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from assay.contract.document import Contract
from assay.errors import UsageError
from assay.monitor.promql import by, quoted

__all__ = ["ALERT_LABELS", "AlertException", "exception_records", "exception_remarks", "muted", "widened"]

#: The alerts that can have exceptions, and the labels, beside the dataset, that can narrow one down.
ALERT_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "FieldDrift": ("field",),
    "FieldRareBin": ("field",),
    "FieldViolations": ("field",),
    "RejectRate": (),
    "SourceRejectRate": ("source",),
    "Silence": (),
    "VolumeDrop": (),
    "VolumeSurge": (),
    "NotStorable": (),
    "ContractsDiffer": (),
}
#: Those without a limit that could be wider.
_MUTED_ONLY: Final = frozenset(("Silence", "NotStorable", "ContractsDiffer"))
_NARROWING: Final = ("field", "source")
#: promtool's tests begin at time 0 and are over by then: they try the rules themselves.
_BEGIN_S: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class AlertException:
    """One exception. `widen`: by how much the limit is multiplied; None: the alert is muted.

    It covers a whole dataset, or one `field` or `source` of it. It is in force up to the end of the day `until`, in UTC.
    """

    alert: str
    dataset: str
    reason: str
    until: date
    field: str = ""
    source: str = ""
    widen: float | None = None

    def __post_init__(self) -> None:
        """Refuse what could not work, or would say nothing.

        Raises:
            UsageError: no such alert, no reason, labels that the alert does not have, or a limit that is not widened.
        """
        what = f"alert_exceptions: {self.name}"
        if self.alert not in ALERT_LABELS:
            raise UsageError(f"{what}: there is no such alert; take one of {', '.join(ALERT_LABELS)}")
        if not self.reason.strip():
            raise UsageError(f"{what}: say why, in `reason`: whoever reads this next will want to know")
        for label in _NARROWING:
            if getattr(self, label) and label not in ALERT_LABELS[self.alert]:
                raise UsageError(f"{what}: {self.alert} has no label {label}; take it out")
        if self.widen is not None and not 1 < self.widen <= 1000:
            raise UsageError(f"{what}: widen = {self.widen:g}; a factor above 1, at most 1000, is expected")
        if self.widen is not None and self.alert in _MUTED_ONLY:
            raise UsageError(f"{what}: it has no limit to widen; take `mute = true`")

    @property
    def name(self) -> str:
        """For messages: `FieldDrift of agrawal.salary`."""
        of = self.dataset + "".join(f".{value}" for value in (self.field, self.source) if value)
        return f"{self.alert} of {of}"

    @property
    def ends_s(self) -> float:
        """When it ends, Unix time."""
        return (datetime.combine(self.until, time(), UTC) + timedelta(days=1)).timestamp()

    @property
    def labels(self) -> dict[str, str]:
        """Which series it is about."""
        narrowed = {label: getattr(self, label) for label in _NARROWING if getattr(self, label)}
        return {"dataset": self.dataset, **narrowed}


def exception_records(exceptions: Sequence[AlertException]) -> list[tuple[str, str, dict[str, str]]]:
    """The series `assay:widened` and `assay:muted`: name, expression, labels. They end when the exceptions do.

    Raises:
        UsageError: two exceptions are about the same.
    """
    seen: set[tuple[str, ...]] = set()
    records = []
    for each in sorted(exceptions, key=lambda each: (each.alert, each.dataset, each.field, each.source)):
        if (key := (each.alert, each.dataset, each.field, each.source)) in seen:
            raise UsageError(f"alert_exceptions: {each.name} is there twice; keep one of them")
        seen.add(key)
        name, value = ("assay:muted", 1.0) if each.widen is None else ("assay:widened", each.widen)
        expr = f"vector({value:g}) and on () (({_BEGIN_S} < vector(time())) < {each.ends_s:.0f})"
        records.append((name, expr, {"alert": each.alert, **each.labels}))
    return records


def exception_remarks(exceptions: Sequence[AlertException], contracts: Sequence[Contract], *, today: date) -> list[str]:
    """A sentence for each exception that is over, or that is about what no active contract has."""
    fields = {contract.dataset: {label for label, _ in contract.root.walk()} for contract in contracts}
    remarks = []
    for each in exceptions:
        if each.until < today:
            remarks.append(
                f"{each.name}: the exception ended on {each.until}; the alert is in force again. Take it out"
            )
        elif each.dataset not in fields:
            remarks.append(f"{each.name}: no contract of that dataset is active, so the exception means nothing")
        elif each.field and each.field not in fields[each.dataset]:
            remarks.append(f"{each.name}: the active contract has no such field, so the exception means nothing")
    return remarks


def widened(exceptions: Sequence[AlertException], alert: str, limit: str, *, lower: bool = False) -> str:
    """The limit of an alert, wider where an exception says so; `lower`: what falls below it alerts."""
    for key in _keys(exceptions, alert, muted=False):
        factor = f"{'/' if lower else '*'} on {by(key)} group_left () {_selector('assay:widened', alert, key)}"
        limit = f"({limit}) {factor}\nor\n({limit})"
    return limit


def muted(exceptions: Sequence[AlertException], alert: str, expr: str) -> str:
    """The condition of an alert, without what an exception mutes."""
    for key in _keys(exceptions, alert, muted=True):
        expr = f"({expr})\nunless on {by(key)} {_selector('assay:muted', alert, key)}"
    return expr


def _keys(exceptions: Sequence[AlertException], alert: str, *, muted: bool) -> list[tuple[str, ...]]:
    """The sets of labels that the exceptions of an alert have, each once."""
    own = [each for each in exceptions if each.alert == alert and (each.widen is None) is muted]
    return sorted({tuple(each.labels) for each in own})


def _selector(name: str, alert: str, key: tuple[str, ...]) -> str:
    """The exceptions of an alert that have just these labels."""
    others = "".join(f',{label}=""' for label in _NARROWING if label not in key)
    return f"{name}{{alert={quoted(alert)}{others}}}"
