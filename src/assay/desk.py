"""What the pages may ask and do, of a running service and its workspace. See `ui.desk`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from assay.contract.document import Contract
from assay.contract.versions import Mode, Versions
from assay.errors import AssayError
from assay.refused import propose
from assay.ui.desk import Health, Suggested, WhatIf
from assay.workspace import Workspace

if TYPE_CHECKING:
    from assay.ingest.validate import Judge
    from assay.monitor.metrics import Figures
    from assay.service.errands import Errands
    from assay.service.office import Office
    from assay.settings import Settings

__all__ = ["WorkspaceDesk"]

#: How many of the newest refused events a page looks at: 30 ms of them.
_NEWEST: Final = 200_000
_FLUSH_S: Final = 60.0
_DAY: Final = timedelta(hours=24)


_T = TypeVar("_T")


class WorkspaceDesk:
    """The `ui.desk.Desk` of one service."""

    def __init__(self, office: Office, errands: Errands, settings: Settings) -> None:
        """Made where the service's event loop runs."""
        self._office = office
        self._errands = errands
        self._loop = asyncio.get_running_loop()
        self._workspace = Workspace(settings, is_flushed=True)
        self.url = settings.url
        self.versions: Versions = self._workspace.versions

    def figures(self) -> Figures:
        """See `Desk.figures`."""
        return self._office.metrics.figures()

    def judges(self) -> Mapping[str, Judge]:
        """See `Desk.judges`."""
        return self._office.enforced.judges

    def learning(self) -> Mapping[str, int]:
        """See `Desk.learning`."""
        return self._office.learning

    def health(self) -> Health:
        """See `Desk.health`."""
        failure = self._office.failure
        try:
            gauges = self._office.gauges()
        except (OSError, AssayError):  # a store that cannot be read must not hide the rest
            gauges = {}
        return Health(None if failure is None else str(failure), self._office.note, gauges)

    def rejects(self, dataset: str, *, limit: int, group: bool, timeout_s: float) -> Mapping[str, Any]:
        """See `Desk.rejects`."""
        return self._office.store.rejects(dataset, limit=limit, group=group, newest=_NEWEST, timeout_s=timeout_s)

    def activate(
        self, dataset: str, number: int, mode: Mode, *, fields: Mapping[str, Mode] | None = None, by: str | None
    ) -> None:
        """See `Desk.activate`."""
        self.versions.load(dataset, number)
        what = {
            "do": "activate",
            "dataset": dataset,
            "contract": number,
            "mode": mode,
            "fields": fields or {},
            "by": by or "the page",
        }
        self._wait(self._errands.run(what))
        self._wait(self._office.look())

    def learn(self, dataset: str, tell: Callable[[float], object]) -> Contract:
        """See `Desk.learn`."""
        self._office.flush_now(_FLUSH_S)
        learned = self._wait(self._errands.run({"do": "learn", "dataset": dataset, "budget": None}, tell))
        return self.versions.load(dataset, learned["contract"])

    def try_out(self, dataset: str, number: int, tell: Callable[[float], object]) -> WhatIf:
        """See `Desk.try_out`."""
        contract = self.versions.load(dataset, number)
        self._office.flush_now(_FLUSH_S)
        report = self._workspace.check(dataset, contract, since=datetime.now(UTC) - _DAY, progress=tell)
        return WhatIf(
            number,
            report.rows_seen,
            report.bad,
            [(each.field, each.type, each.msg, each.count) for each in report.violations],
            dict(report.sources.most_common()),
        )

    def suggest(self, dataset: str, fingerprint: str, tell: Callable[[float], object]) -> Suggested:
        """See `Desk.suggest`."""
        self._office.flush_now(_FLUSH_S)
        proposal = propose(self._workspace, dataset, fingerprints=[fingerprint], progress=tell)
        (group,) = proposal.groups
        tried = group.suggestion
        return Suggested(
            proposal.base,
            proposal.written,
            tried.events,
            tried.accepted,
            tried.passed,
            dict(tried.left_out.most_common()),
        )

    def replay(self, dataset: str, number: int | None, *, dry_run: bool) -> Mapping[str, Any]:
        """See `Desk.replay`."""
        return self._wait(self._office.replay(dataset, number, dry_run=dry_run))

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of what runs where the service does."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
