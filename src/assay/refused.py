"""What a person does with refused events: judge them again, and find the contract that would let them in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.errors import UsageError
from assay.ingest.replay import Portion, Replayed, Replayer
from assay.ingest.suggest import Suggestion, suggest
from assay.store.opening import open_store
from assay.store.protocol import Reject
from assay.store.quarantine import last_waiting, waiting
from assay.workspace import Workspace, check_name, patiently

__all__ = ["Group", "Proposal", "propose", "replay"]

_REPLAY_S: Final = 3600.0
_AT_ONCE: Final = 5_000
_AT_ONCE_BYTES: Final = 16 << 20


def replay(workspace: Workspace, dataset: str, *, number: int | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Judge what is in quarantine again, by a version of the contract, else the active one; move what passes.

    The running service does it; where none runs, it is done here.

    Raises:
        UnknownDataset, UsageError, NotASchema: there is no such contract, or no store yet.
        ServiceError: the store is held, or fails. What was moved until then stays so: doing it again goes on.
    """
    settings, versions = workspace.settings, workspace.versions
    contract = workspace.candidate(dataset, None if number is None else str(number))
    assert contract.version is not None
    query = f"?contract={contract.version}&dry_run={'true' if dry_run else 'false'}"
    answer = workspace.ask("POST", f"/replay/{dataset}{query}", _REPLAY_S)
    if answer is not None:
        return dict(answer)
    workspace.flush()
    with workspace.connection():
        pass  # there is a store, and nobody holds it
    log = settings.log_path if settings.log_path.exists() else None
    store = open_store(settings.where, memory_limit=settings.memory_limit)
    replayer = Replayer(store, versions, log=log, keep_unknown=settings.extra != "ignore")
    portion = Portion.of(dataset, contract.version, versions.active(dataset), dry=dry_run)
    total = Replayed()
    try:
        while True:
            done = patiently(partial(replayer.replay, portion))
            total.add(done)
            if not done.more:
                return total.to_document(portion)
            portion = portion.next(done)
    finally:
        replayer.close()


@dataclass(frozen=True, slots=True)
class Group:
    """Refused events of one kind, as the quarantine lists them, and what would let them in."""

    listed: dict[str, Any]
    suggestion: Suggestion

    @property
    def fingerprint(self) -> str:
        """What they share."""
        return str(self.listed["fingerprint"])


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would let refused events in: `groups` of them, each with its own change of `base`.

    `written` is the version that lets `let_in` in, those groups together; None where no contract does, or `base` does by now.
    `is_new`: it was not there before.
    """

    base: Contract
    groups: Sequence[Group]
    let_in: Sequence[str]
    written: Contract | None
    is_new: bool = False


def propose(
    workspace: Workspace,
    dataset: str,
    *,
    fingerprints: Sequence[str] = (),
    limit: int = 20,
    progress: Callable[[float], object] = lambda _: None,
) -> Proposal:
    """Write the version of a contract that lets refused events in by the smallest change. It is not active yet.

    They are those with the `fingerprints`; by default of the most frequent kind that a contract can let in.

    Raises:
        UnknownDataset: there is no store yet, or that is no name of a dataset.
        UsageError: it has no active contract; or nothing in quarantine has such a fingerprint.
        ServiceError: the store cannot be read.
    """
    check_name(dataset)
    active = workspace.versions.active(dataset)
    if active is None:
        raise UsageError(f"{dataset} has no active contract: what waits is judged once it has one")
    base = workspace.versions.load(dataset, active.contract)
    listed = workspace.quarantine(dataset, limit=1_000_000 if fingerprints else limit, group=True)["items"]
    unknown = set(fingerprints) - {each["fingerprint"] for each in listed}
    if unknown:
        raise UsageError(f"nothing of {dataset} waits in quarantine with the fingerprint {min(unknown)}")
    wanted = [each for each in listed if each["fingerprint"] in fingerprints] if fingerprints else listed
    trial = _Trial(workspace, dataset, active, sum(each["count"] for each in wanted), progress)
    groups = [Group(each, trial.of(base, each["fingerprint"])) for each in wanted]
    helped = [group.fingerprint for group in groups if group.suggestion.accepted > group.suggestion.passed]
    let_in = helped if fingerprints else helped[:1]
    together = base
    for mark in let_in:
        together = trial.of(together, mark).contract
    if together.schema == base.schema:
        return Proposal(base, groups, let_in, None)
    made = _signed(together, base, let_in)
    known = next((each for each in _later(workspace, base) if each == made), None)
    written = known or workspace.add(made)
    return Proposal(base, groups, let_in, written, is_new=known is None)


class _Trial:
    """Tries contracts on the groups of a dataset's quarantine."""

    def __init__(
        self, workspace: Workspace, dataset: str, active: Active, events: int, progress: Callable[[float], object]
    ) -> None:
        self._workspace = workspace
        self._dataset = dataset
        self._active = active
        self._left = 4 * events  # each is read twice, for its own change and mostly for that of all together
        self._whole = max(self._left, 1)
        self._progress = progress
        with workspace.connection() as con:
            self._through = last_waiting(con, dataset)

    def of(self, base: Contract, fingerprint: str) -> Suggestion:
        """The smallest change of `base` for one group."""
        return suggest(base, self._active, partial(self._read, fingerprint), self._note)

    def _read(self, fingerprint: str, after: str) -> list[Reject]:
        with self._workspace.connection() as con:  # not for long: the service waits for it
            return waiting(
                con,
                self._dataset,
                after=after,
                through=self._through,
                fingerprint=fingerprint,
                limit=_AT_ONCE,
                max_bytes=_AT_ONCE_BYTES,
            )

    def _note(self, count: int) -> None:
        self._left -= count
        self._progress(1 - max(self._left, 0) / self._whole)


def _signed(made: Contract, base: Contract, fingerprints: Sequence[str]) -> Contract:
    """The same document, with what it was made from in its `x-assay`."""
    schema = copy.deepcopy(dict(made.schema))
    schema["x-assay"] = dict(schema.get("x-assay", {})) | {
        "widened": {"from": base.version, "fingerprints": list(fingerprints)}
    }
    return Contract.parse(schema, dataset=base.dataset)


def _later(workspace: Workspace, base: Contract) -> Iterator[Contract]:
    """The versions after one."""
    for number in workspace.versions.numbers(base.dataset):
        if number > (base.version or 0):
            yield workspace.versions.load(base.dataset, number)
