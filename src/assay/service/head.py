"""The head of several workers: it answers all but the events, which they take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from assay.errors import AssayError, ServiceError
from assay.ingest.apart import OnApplied, OnTrouble
from assay.ingest.apply import Applied
from assay.ingest.enforced import Change, Enforced
from assay.ingest.worker import AnyWorker
from assay.monitor.metrics import Metrics
from assay.service.crew import Crew
from assay.service.following import Following
from assay.service.office import Office
from assay.service.rendered import RenderedModels
from assay.store.protocol import Store

__all__ = ["Head"]


class Head(Office):
    """An office whose events are taken by a crew."""

    def __init__(
        self,
        crew: Crew,
        *,
        store: Store,
        enforced: Enforced,
        metrics: Metrics,
        make_worker: Callable[[OnApplied, OnTrouble], AnyWorker],
        rendered: RenderedModels | None = None,
        following: Following | None = None,
    ) -> None:
        self._crew = crew
        super().__init__(
            store=store,
            enforced=enforced,
            metrics=metrics,
            make_worker=make_worker,
            rendered=rendered,
            following=following,
        )

    async def start(self) -> None:
        """Begin, once the workers take events: their logs are there then."""
        await asyncio.get_running_loop().run_in_executor(None, self._crew.start)
        await super().start()

    async def drain(self, timeout_s: float) -> None:
        """Have the workers take no more; what they ask of the head meanwhile is still answered."""
        await asyncio.get_running_loop().run_in_executor(None, self._crew.drain, timeout_s)

    @property
    def failure(self) -> AssayError | None:
        """See `Office.failure`."""
        text = self._crew.failure
        return None if text is None else ServiceError(text)

    @property
    def learning(self) -> Mapping[str, int]:
        """See `Office.learning`."""
        return self._crew.learning

    def gauges(self) -> dict[str, float]:
        """See `Office.gauges`."""
        return self._crew.gauges() | {
            "quarantine_events": self._worker.status.in_quarantine,
            "store_bytes": self.store.size_bytes(),
        }

    def _taking_up(self, change: Change) -> None:
        """Every worker has it first: what is said here to be in force is so everywhere."""
        if change.activated or change.deactivated:
            self._crew.look()

    def _applied(self, applied: Applied, took_s: float) -> None:
        self._crew.moved([applied.through, *applied.others])
        super()._applied(applied, took_s)

    def _stop(self) -> None:
        self._worker.stop()
        status = self._worker.status
        self._crew.end([status.through, *status.others])
