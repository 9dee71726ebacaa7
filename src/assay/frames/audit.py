"""What is stored of a dataset, gone through by the alerting rules of a contract: which alarms they would have raised."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.frames.history import History
from assay.monitor.audit import Alarm, audit
from assay.monitor.rule_settings import RuleSettings

if TYPE_CHECKING:
    import duckdb

    from assay.profile.batch import Progress

__all__ = ["Audited", "audit_stored", "moment"]


@dataclass(frozen=True, slots=True)
class Audited:
    """The alarms of one contract's rules over the `events` that came from `begin` until `end` (Unix times)."""

    contract: Contract
    begin_s: float
    end_s: float
    events: int
    alarms: tuple[Alarm, ...]

    @property
    def raised(self) -> tuple[Alarm, ...]:
        """Those that no exception holds back."""
        return tuple(alarm for alarm in self.alarms if alarm.held_back is None)

    def to_document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "dataset": self.contract.dataset,
            "contract": self.contract.version,
            "from": moment(self.begin_s),
            "until": moment(self.end_s),
            "events": self.events,
            "alarms": [_document(alarm) for alarm in self.alarms],
        }


def audit_stored(
    con: duckdb.DuckDBPyConnection,
    contract: Contract,
    active: Active | None,
    settings: RuleSettings,
    *,
    begin_s: float,
    end_s: float,
    progress: Progress | None = None,
) -> Audited:
    """Go through what is stored of the contract's dataset; `active` is how it is enforced, None: all of it."""
    history = History(con, contract, active, step_s=settings.scrape_interval_s)
    alarms, events = audit(contract, settings, history.counted, begin_s, end_s, progress=progress)
    return Audited(contract, begin_s, end_s, events, tuple(alarms))


def moment(unix_s: float) -> str:
    """A time in UTC, RFC 3339."""
    return datetime.fromtimestamp(round(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _document(alarm: Alarm) -> dict[str, Any]:
    document = alarm.to_document()
    begin_s, end_s = document.pop("from_s"), document.pop("until_s")
    return document | {"from": moment(begin_s), "until": None if end_s is None else moment(end_s)}
