"""The registry in a lake: every version of every contract, and who put which in force, in the order in which it was done.

It is in the catalogue. Whoever changes it writes the row of `_registry` anew, so of two that change it at once one is done
again: the order is the same for all. That row is also what tells, for next to nothing, whether something was changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from assay.contract.history import Activation
from assay.contract.versions import Active
from assay.store.ducklake import LakeStore
from assay.store.protocol import Conflict

if TYPE_CHECKING:
    import duckdb

    from assay.store.address import Lake

__all__ = ["Entries", "Registry", "State", "Version", "digest"]

#: A dataset and the number of one of its versions.
Version: TypeAlias = tuple[str, int]

_T = TypeVar("_T")

_CHANGED: Final = "UPDATE _registry SET n = n + 1"


def digest(document: bytes) -> str:
    """What a document is told from another by: SHA-256 in hexadecimal digits."""
    return sha256(document).hexdigest()


@dataclass(frozen=True, slots=True)
class State:
    """All of a registry but the documents, as one transaction saw it.

    `number` grows with every change. `versions` has the digest of each, `activations` those of each dataset with their
    numbers, the first one first.
    """

    number: int
    versions: Mapping[Version, str]
    activations: Mapping[str, list[tuple[int, Activation]]]

    def numbers(self, dataset: str) -> list[int]:
        """The versions of a dataset."""
        return [number for name, number in self.versions if name == dataset]


class Entries:
    """A registry within one transaction."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self.is_changed = False

    def number(self) -> int:
        """How often it was changed."""
        ((number,),) = self._con.execute("SELECT n FROM _registry").fetchall()
        return int(number)

    def state(self) -> State:
        """What it has."""
        versions = self._con.execute("SELECT dataset, version, digest FROM _contracts ORDER BY ALL").fetchall()
        activations: dict[str, list[tuple[int, Activation]]] = {}
        query = "SELECT n, dataset, epoch_us(done_at), who, how, contract, mode, fields FROM _activations ORDER BY n"
        for number, dataset, at_us, who, how, contract, mode, fields in self._con.execute(query).fetchall():
            at = datetime.fromtimestamp(at_us // 1_000_000, UTC).replace(microsecond=at_us % 1_000_000)
            active = Active(contract, mode, json.loads(fields))
            activations.setdefault(dataset, []).append((number, Activation(at, who, how, active)))
        return State(self.number(), {(name, number): text for name, number, text in versions}, activations)

    def document(self, version: Version) -> tuple[bytes, bytes | None]:
        """A contract and its evidence, byte for byte. The version must be there."""
        query = "SELECT document, profile FROM _contracts WHERE dataset = ? AND version = ?"
        ((document, profile),) = self._con.execute(query, list(version)).fetchall()
        return document.encode(), None if profile is None else profile.encode()

    def add(self, version: Version, document: bytes, profile: bytes | None) -> None:
        """Enter a version. Both are JSON texts in UTF-8."""
        self._change()
        text = None if profile is None else profile.decode()
        row = [*version, document.decode(), text, digest(document), datetime.now(UTC)]
        self._con.execute("INSERT INTO _contracts VALUES (?, ?, ?, ?, ?, ?)", row)

    def activate(self, dataset: str, activation: Activation) -> None:
        """Enter that a version was put in force."""
        self._change()
        ((last,),) = self._con.execute("SELECT coalesce(max(n), 0) FROM _activations").fetchall()
        active = activation.active
        self._con.execute(
            "INSERT INTO _activations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                last + 1,
                dataset,
                activation.at,
                activation.by,
                activation.how,
                active.contract,
                active.mode,
                json.dumps(dict(active.fields)),
            ],
        )

    def _change(self) -> None:
        if not self.is_changed:
            self._con.execute(_CHANGED)
            self.is_changed = True


class Registry:
    """The registry of one lake, over a connection of its own: it waits for nobody who reads or moves events."""

    def __init__(self, lake: Lake, *, memory_limit: str) -> None:
        self._store = LakeStore(lake, log="", memory_limit=memory_limit)

    def close(self) -> None:
        """Let go of the lake."""
        self._store.close()

    def transact(self, work: Callable[[Entries], _T]) -> _T:
        """Do something in one transaction: again, from what there is then, where another was first.

        Raises:
            StoreFailed: the lake is out of reach. Nothing of it is done, unless it went away in the very moment of the commit.
        """
        while True:
            try:
                with self._store.transaction() as con:
                    return work(Entries(con))
            except Conflict:  # waited for already; too many in a row are an error
                continue
