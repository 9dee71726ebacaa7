"""The folder of contracts of one machine, kept in step with the registry of a lake, so that all who read the folder read that.

Who adds or activates does so in the registry first, and then here. What of the folder differs gives way, but for three
things: a version whose number the registry does not have stays, as a draft; a dataset that the registry knows nothing of
is brought in, with its versions and its history, once it has an `active.json`; and an `active.json` that is edited while
nothing newer came is an activation, as it is without a registry.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from assay.contract.document import Contract
from assay.contract.history import EDITED, Activation, history, history_path
from assay.contract.versions import Active, Versions
from assay.errors import AssayError, NotASchema, UsageError
from assay.files import write_atomic
from assay.store.registry import Entries, Registry, State, Version, digest

if TYPE_CHECKING:
    from assay.store.address import Lake

__all__ = ["Mirror"]

#: One process at a time reads the registry and writes the folder: what was read last is written last.
_LOCK: Final = ".registry.lock"


_Stamp: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Fetched:
    """The registry, and the documents that the folder lacks."""

    state: State
    documents: dict[Version, tuple[bytes, bytes | None]]


class Mirror:
    """Keeps a folder in step. For one thread."""

    def __init__(
        self,
        lake: Lake,
        versions: Versions,
        *,
        memory_limit: str = "1GB",
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`tell` is told what a person should know of that was changed in the folder."""
        self._registry = Registry(lake, memory_limit=memory_limit)
        self._versions = versions
        self._tell = tell
        self._number: int | None = None
        #: Each `active.json` as it was when it was read or written here last.
        self._stamps: dict[str, _Stamp] = {}
        #: Which activation of each dataset the folder had last, as far as is known here.
        self._had: dict[str, int] = {}
        #: Versions that are the same in both.
        self._same: set[Version] = set()

    def close(self) -> None:
        """Let go of the lake."""
        self._registry.close()

    def look(self) -> None:
        """Bring both in step if either was changed since the last time. Costs next to nothing if not.

        Raises:
            StoreFailed: the lake is out of reach.
            OSError: the folder cannot be written.
        """
        if self._number != self._registry.transact(Entries.number) or self._stamps != self._look_at_stamps():
            self.bring()

    def bring(self, meant: Version | None = None) -> None:
        """Bring both in step. Raises what `look` does.

        Raises:
            UsageError: the version that is meant is another contract in the registry. The folder has that one then.
        """
        with self._alone():
            self._bring(meant)

    def add(self, contract: Contract, profile: bytes | None = None) -> Contract:
        """Enter a contract as the next version of its dataset, with its evidence; the contract with its number.

        Raises what `look` does; nothing is added then.
        """
        document, dataset = contract.to_json().encode(), contract.dataset

        def add(entries: Entries) -> int:
            number = max([0, *self._versions.numbers(dataset), *entries.state().numbers(dataset)]) + 1
            entries.add((dataset, number), document, profile)
            return number

        with self._alone():
            self._bring()  # what the lake knows nothing of comes first, with its history
            number = self._registry.transact(add)
            self._bring()
        return Contract(dataset, number, contract.schema, contract.root)

    def activate(self, dataset: str, active: Active, *, by: str | None, how: str) -> None:
        """Make a version the enforced one, for all who share the lake. A draft is entered with it.

        Raises what `bring` does, and `Versions.activate`; nothing is in force then that was not.
        """

        def activate(entries: Entries) -> None:
            self._enter(entries, entries.state(), dataset, active.contract)
            entries.activate(dataset, Activation(datetime.now(UTC), by, how, active))

        with self._alone():
            self._bring((dataset, active.contract))
            self._versions.meant(dataset, active)
            self._registry.transact(activate)
            self._bring()

    # ---- what the registry gets

    def _bring(self, meant: Version | None = None) -> None:
        stamps = self._look_at_stamps()
        fetched = self._registry.transact(self._exchange)
        is_another = meant in fetched.documents and meant is not None and self._versions.schema_path(*meant).exists()
        self._write(fetched, stamps)
        self._number, self._stamps = fetched.state.number, stamps
        if meant is not None and is_another:
            raise _another(meant)

    def _exchange(self, entries: Entries) -> _Fetched:
        state = entries.state()
        for dataset in self._versions.datasets():
            self._offer(entries, state, dataset)
        if entries.is_changed:
            state = entries.state()
        lacking = [version for version, text in state.versions.items() if not self._has(version, text)]
        return _Fetched(state, {version: entries.document(version) for version in lacking})

    def _offer(self, entries: Entries, state: State, dataset: str) -> None:
        """Enter what the folder says is in force, where that is news."""
        try:
            active = self._versions.active(dataset)
            if active is None:
                return
            known = state.activations.get(dataset)
            if known and (known[-1][1].active == active or self._had.get(dataset) != known[-1][0]):
                return
            self._versions.meant(dataset, active)
        except AssayError:  # who enforces what is in the folder says so
            return
        if known or state.numbers(dataset):
            self._enter(entries, state, dataset, active.contract, is_edited=True)
            entries.activate(dataset, Activation(datetime.now(UTC), None, EDITED, active))
            return
        for number in self._versions.numbers(dataset):
            with contextlib.suppress(AssayError):  # one that is no contract is no version
                self._enter(entries, state, dataset, number)
        try:
            past = history(self._versions, dataset)
        except NotASchema:  # a line that somebody broke
            past = [Activation(datetime.now(UTC), None, EDITED, active)]
        for each in past:
            entries.activate(dataset, each)

    def _enter(self, entries: Entries, state: State, dataset: str, number: int, *, is_edited: bool = False) -> None:
        """Enter a version of the folder that the registry lacks.

        Raises:
            UsageError: it has another one of that number.
        """
        document = self._versions.schema_path(dataset, number).read_bytes()
        known = state.versions.get((dataset, number))
        if known is None:
            self._versions.load(dataset, number)
            entries.add((dataset, number), document, self._profile(dataset, number))
        elif known != digest(document) and not is_edited:
            raise _another((dataset, number))

    def _profile(self, dataset: str, number: int) -> bytes | None:
        try:
            profile = self._versions.profile_path(dataset, number).read_bytes()
            json.loads(profile)
        except (OSError, ValueError):
            return None
        return profile

    def _has(self, version: Version, text: str) -> bool:
        """Whether the folder has a version as the registry has it. They never change: it is looked at once."""
        if version not in self._same:
            path = self._versions.schema_path(*version)
            if not path.exists() or digest(path.read_bytes()) != text:
                return False
            self._same.add(version)
        return True

    # ---- what the folder gets

    def _write(self, fetched: _Fetched, stamps: dict[str, _Stamp]) -> None:
        for version, (document, profile) in fetched.documents.items():
            if profile is not None:
                write_atomic(self._versions.profile_path(*version), profile)
            path = self._versions.schema_path(*version)
            self._keep_aside(path)
            write_atomic(path, document)
            self._same.add(version)
        for dataset, activations in fetched.state.activations.items():
            number, last = activations[-1]
            self._write_history(dataset, [each for _, each in activations])
            anew = (dataset, last.active.contract) in fetched.documents
            if self._stamp(dataset) != stamps.get(dataset):
                continue  # edited since it was read: for the next look
            if self._write_active(dataset, number, last.active, anew=anew):
                self._had[dataset] = number
                stamp = self._stamp(dataset)
                if stamp is not None:
                    stamps[dataset] = stamp

    def _write_active(self, dataset: str, number: int, active: Active, *, anew: bool) -> bool:
        """Say in the folder what is in force; whether it says so now. `anew`: even if it does already, to have it read."""
        path = self._versions.active_path(dataset)
        try:
            own = self._versions.active(dataset)
        except NotASchema:
            own = None
            if self._had.get(dataset) == number and path.exists():
                return False  # an edit that is none yet: who enforces the folder says what is wrong with it
        if own != active or anew:
            if own is not None and own != active and dataset not in self._had:
                self._tell(
                    f"{path}: version {own.contract} ({own.mode}) gives way to what the lake says: {active.contract}"
                )
            write_atomic(path, active.to_json().encode())
        return True

    def _write_history(self, dataset: str, past: list[Activation]) -> None:
        path = history_path(self._versions, dataset)
        data = "".join(each.to_line() for each in past).encode()
        own = path.read_bytes() if path.exists() else b""
        if own != data:
            if not set(own.splitlines()) <= set(data.splitlines()):
                self._keep_aside(path)
            write_atomic(path, data)

    def _keep_aside(self, path: Path) -> None:
        """Keep what a person may have written there, under another name."""
        if not path.exists():
            return
        data = path.read_bytes()
        aside = path.with_name(f"{path.name}.{digest(data)[:8]}")
        if not aside.exists():
            write_atomic(aside, data)
            self._tell(f"{path}: the lake has another one; what was here is kept as {aside.name}")

    # ---- between processes

    def _look_at_stamps(self) -> dict[str, _Stamp]:
        found = ((dataset, self._stamp(dataset)) for dataset in self._versions.datasets())
        return {dataset: stamp for dataset, stamp in found if stamp is not None}

    def _stamp(self, dataset: str) -> _Stamp | None:
        try:
            status = self._versions.active_path(dataset).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._versions.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._versions.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _another(version: Version) -> UsageError:
    dataset, number = version
    return UsageError(
        f"{dataset}@{number} is another contract in the lake than it was here: nothing is activated. Look at what it is "
        "now, and activate it again; or give what was here a number of its own"
    )
