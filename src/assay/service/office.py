"""What a service does beside taking events: contracts taken up, the log applied, the quarantine read and replayed."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import structlog

from assay.contract.versions import is_dataset_name
from assay.errors import AssayError, ServiceError, StoreLocked, UnknownDataset
from assay.ingest.apart import OnApplied, OnTrouble
from assay.ingest.apply import Applied
from assay.ingest.enforced import Change, Enforced
from assay.ingest.replay import Portion, Replayed
from assay.ingest.worker import AnyWorker
from assay.monitor.metrics import Metrics
from assay.service.following import Following
from assay.service.rendered import RenderedModels
from assay.store.protocol import Store

__all__ = ["Office"]

_log = structlog.get_logger("assay")

_LOOK_AT_CONTRACTS_S: Final = 0.5
#: How long a portion of a replay waits for a store that another program holds.
_REPLAY_S: Final = 5.0


class Office(ABC):
    """What answers all but the events themselves. Made once, started and stopped once."""

    def __init__(
        self,
        *,
        store: Store,
        enforced: Enforced,
        metrics: Metrics,
        make_worker: Callable[[OnApplied, OnTrouble], AnyWorker],
        rendered: RenderedModels | None = None,
        following: Following | None = None,
        is_quiet: bool = False,
    ) -> None:
        """`make_worker` makes what applies the log to the store, given whom to tell of rounds and of trouble.

        `rendered` looks after the file of models that follows from the contracts, `following` has the folder of contracts
        follow a lake. `is_quiet`: another process, which does the same, says what there is to say.
        """
        self._following = following
        self._rendered = rendered
        self._is_quiet = is_quiet
        self.metrics: Final = metrics
        self.enforced: Final = enforced
        self.store: Final = store
        self._worker = make_worker(self._applied, self._trouble)
        self._watching: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()

    async def start(self) -> None:
        """Begin: the contracts are in force when this returns."""
        self.metrics.gauges(self.gauges)
        if self._following is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._following.start)
        self._look()
        self._worker.start()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Move what the store will have, and let go of everything."""
        if self._watching is not None:
            self._watching.cancel()
        if self._following is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._following.stop)
        await asyncio.get_running_loop().run_in_executor(None, self._stop)

    @abstractmethod
    def _stop(self) -> None:
        """The same, for who may block."""

    @property
    @abstractmethod
    def failure(self) -> AssayError | None:
        """Why no event can be acknowledged now; None when all can."""

    @property
    @abstractmethod
    def learning(self) -> Mapping[str, int]:
        """The datasets without a contract, and how many bytes each has sent."""

    @abstractmethod
    def gauges(self) -> dict[str, float]:
        """What the gauges of the metrics show, without their prefix."""

    @property
    def trouble(self) -> ServiceError | None:
        """What keeps acknowledged events from their tables; None when nothing does."""
        return self._worker.status.trouble

    @property
    def note(self) -> str | None:
        """What a person should know of it, though every event can be acknowledged."""
        trouble = self.trouble
        until = " until then" if isinstance(trouble, StoreLocked) else ""
        notes = [] if trouble is None else [f"{trouble}; events wait in the log{until}"]
        behind = None if self._following is None else self._following.trouble
        if behind is not None:
            notes.append(f"{behind}; the contracts in force stay, and none can be activated until then")
        return "; ".join(notes) or None

    async def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until everything acknowledged so far is in its table.

        Raises:
            ServiceError: it is not, after `timeout_s` seconds.
        """
        await asyncio.get_running_loop().run_in_executor(None, self.flush_now, timeout_s)

    def flush_now(self, timeout_s: float) -> None:
        """The same, for who may block."""
        self._worker.flush(timeout_s)

    async def rejects(self, dataset: str, *, limit: int, before: str | None, group: bool) -> dict[str, Any]:
        """The quarantine of a dataset as a document; see `Store.rejects`."""
        ask = partial(self.store.rejects, dataset, limit=limit, before=before, group=group)
        return await asyncio.get_running_loop().run_in_executor(None, ask)

    async def replay(self, dataset: str, number: int | None, *, dry_run: bool) -> dict[str, Any]:
        """Judge what is in quarantine of a dataset again, by a version of its contract, else the active one; move what passes.

        Raises:
            UnknownDataset: there is no such contract.
            ServiceError: the store is held, or fails. What was moved until then stays so: asking again goes on.
        """
        loop = asyncio.get_running_loop()
        portion = await loop.run_in_executor(None, self._portion, dataset, number, dry_run)
        await self.flush()
        total = Replayed()
        while True:
            done = await loop.run_in_executor(None, self._replay, portion)
            total.add(done)
            if not done.more:
                break
            portion = portion.next(done)
        if not dry_run:
            _log.info(
                "refused events replayed",
                dataset=dataset,
                contract=portion.contract,
                accepted=total.accepted.events,
                refused=total.refused.events,
            )
        return total.to_document(portion)

    def _portion(self, dataset: str, number: int | None, dry_run: bool) -> Portion:  # noqa: FBT001  run_in_executor takes no names
        """All of a dataset's quarantine, as it is to be judged."""
        if not is_dataset_name(dataset):
            raise UnknownDataset(dataset, "a name is a-z, then a-z, 0-9 and _, at most 63")
        judge = self.enforced.get(dataset)
        active = None if judge is None else judge.active
        if number is None:
            if active is None:
                raise UnknownDataset(dataset, "it has no active contract: name a version of it")
            number = active.contract
        elif number not in self.enforced.versions.numbers(dataset):
            raise UnknownDataset(f"{dataset}@{number}", "GET /contracts lists those that are")
        self.enforced.versions.load(dataset, number)
        return Portion.of(dataset, number, active, dry=dry_run)

    def _replay(self, portion: Portion) -> Replayed:
        """One portion, counted whether anybody still waits for it or not."""
        done = self._worker.replay(portion, _REPLAY_S)
        if not portion.dry:
            self.metrics.count_replayed(portion.dataset, done.accepted.events)
        return done

    def look_at_contracts(self) -> Change:
        """Take up what changed in the folder of contracts."""
        change = self.enforced.refresh()
        for judge in change.activated:
            # Its series stand at zero before the first event can count.
            self.metrics.watch(judge.contract, judge.active.mode, judge.kinds())
        self._taking_up(change)
        self.enforced.adopt(change)
        for dataset in change.deactivated:
            self.metrics.unwatch(dataset)
        self._adopted(change)
        if not self._is_quiet:
            _say(change)
        if change.activated:
            self._worker.contracts_changed()
        return change

    def _taking_up(self, change: Change) -> None:  # noqa: B027  for who has others to tell
        """Contracts are about to be in force here."""

    def _adopted(self, change: Change) -> None:  # noqa: B027  for who has to do something then
        """Contracts were taken up."""

    def _applied(self, applied: Applied, took_s: float) -> None:
        self.metrics.apply_seconds.observe(took_s)
        for gap in applied.gaps:
            _log.error(
                "the store lacks records of this log: it is an older copy, or another store, or the log was emptied",
                first=gap.first,
                last=gap.last,
                store=self.store.name,
            )
        for dataset, count in applied.expired.items():
            self.metrics.count_expired(dataset, count)
            _log.info("refused events deleted: too old, or too many", dataset=dataset, events=count)
        for dataset, count in applied.not_storable.items():
            self.metrics.count_not_storable(dataset, count)
            _log.error("events kept in quarantine: the store refused them", dataset=dataset, events=count)

    def _trouble(self, trouble: ServiceError | None) -> None:
        if trouble is None:
            _log.info("the store takes events again", store=self.store.name)
        else:
            _log.warning("events wait in the log", reason=str(trouble))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AT_CONTRACTS_S)
            await self.look()

    async def look(self) -> None:
        """Take up at once what changed in the folder of contracts, whoever changed it."""
        async with self._looking:
            await asyncio.get_running_loop().run_in_executor(None, self._look)

    def _look(self) -> None:
        """Look at the contracts; whatever is wrong with them, those in force stay."""
        try:
            self.look_at_contracts()
            versions = {name: judge.contract.version or 0 for name, judge in self.enforced.judges.items()}
            remark = self._rendered.remark(versions) if self._rendered is not None else None
            if remark is not None:
                _log.warning(remark)
        except OSError as error:
            _log.error("the folder of contracts cannot be read", problem=str(error))
        except Exception:  # noqa: BLE001  the next look may go well
            _log.exception("the folder of contracts could not be taken up")


def _say(change: Change) -> None:
    for dataset in change.deactivated:
        _log.info("no contract is active any more", dataset=dataset)
    for judge in change.activated:
        contract = judge.contract
        _log.info("contract active", dataset=contract.dataset, contract=contract.version, mode=judge.active.mode)
    for dataset, problem in change.problems.items():
        _log.error("contract not taken up; the one before stays", dataset=dataset, problem=str(problem))
