"""What the ingest path may ask of a store: the whole seam between the two."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from assay.contract.document import Contract

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Conflict",
    "Expired",
    "Learned",
    "Refused",
    "Reject",
    "Store",
    "Transaction",
    "reject_bytes",
    "reject_rows",
    "same_for_all",
]


class Refused(Exception):
    """The store would not take these rows, whatever is done with it: a constraint of the user's, say. Try fewer."""


class Conflict(Exception):
    """Another writer was there first. Nothing of the transaction is done: do it again, from what the store has now."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A body that was refused, as the quarantine keeps it. `violations` is JSON text."""

    id: str
    dataset: str
    received_at: datetime
    source: str
    contract: int | None
    content_type: str
    body: bytes
    violations: str
    fingerprint: str


def reject_rows(rejects: Sequence[Reject]) -> pa.Table:
    """Rejects as the columns of the quarantine."""
    import pyarrow as pa

    return pa.table(
        {name: pa.array([getattr(reject, name) for reject in rejects], kind) for name, kind in _reject_types().items()}
    )


def same_for_all(arrays: Mapping[str, pa.Array], **values: Any) -> pa.Table:
    """The same from some of the columns, and one value for all of each other."""
    import pyarrow as pa

    rows = len(next(iter(arrays.values())))
    return pa.table(
        {
            name: arrays[name] if name in arrays else pa.repeat(pa.scalar(values[name], kind), rows)
            for name, kind in _reject_types().items()
        }
    )


def reject_bytes(rows: pa.Table) -> int:
    """What bodies and reasons take, as `Transaction.quarantine_bytes` counts it."""
    import pyarrow.compute as pc

    return sum(pc.sum(pc.binary_length(rows[name])).as_py() or 0 for name in ("body", "violations"))


def _reject_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "id": pa.string(),
        "dataset": pa.string(),
        "received_at": pa.timestamp("us", tz="UTC"),
        "source": pa.string(),
        "contract": pa.int32(),
        "content_type": pa.string(),
        "body": pa.binary(),
        "violations": pa.string(),
        "fingerprint": pa.string(),
    }


@dataclass(frozen=True, slots=True)
class Learned:
    """An event of a dataset without a contract, as `_learning` keeps it. `row` is its place there.

    `envelope` has the attributes of the CloudEvent that it came in, as JSON text.
    """

    row: int
    received_at: datetime
    source: str
    body: str
    envelope: str | None = None


@dataclass(slots=True)
class Expired:
    """What left the quarantine for its age or for lack of room: how many of each dataset that had not been replayed.

    `more`: there may be others.
    """

    events: dict[str, int] = attribute(default_factory=dict)
    size_bytes: int = 0
    more: bool = False


class Transaction(Protocol):
    """One round of writing. Nothing is seen by others until it ends without an error; then all of it is, durably."""

    def marks(self) -> dict[str, int]:
        """How far each log, by its id, has come: its last sequence number that is in the store."""

    def set_mark(self, log_id: str, seq: int) -> None:
        """Say how far a log has come."""

    def forget_mark(self, log_id: str) -> None:
        """Nobody will ask for it again."""

    def take_keys(self, stamps: Collection[bytes]) -> set[bytes]:
        """Keep what requests with a key are known by; those of them that another log's request came with before.

        A stamp is 33 bytes: what the key is (16), what the body is (16), whether it was rejected (1).
        """

    def note_gap(self, log_id: str, first: int, last: int) -> None:
        """Keep on record that the store lacks the log's records `first` to `last`, which the log no longer has."""

    def insert(self, contract: Contract, rows: pa.Table) -> None:
        """Add rows to the contract's table; make or widen it first where it must be.

        `rows` has the columns of `columns(contract)` by field name, and the meta columns.

        Raises:
            Refused: the table does not take them.
        """

    def quarantine(self, rejects: pa.Table) -> None:
        """Keep rejected bodies: columns as `reject_rows` makes them."""

    def quarantined(self) -> int:
        """How many rejected bodies are kept that were not replayed."""

    def quarantine_bytes(self) -> int:
        """What the quarantine holds, bodies and reasons. Slow where it holds much: ask once."""

    def expire(self, before: datetime | None, excess_bytes: int, limit: int) -> Expired:
        """Take the oldest out of the quarantine, at most `limit`: received `before`, or to make up `excess_bytes`."""

    def mark_replayed(self, ids: Sequence[str], at: datetime) -> int:
        """Say of refused bodies that they are in their table now; how many of them were not said to be so before."""

    def learn(
        self,
        dataset: str,
        received_at: datetime,
        source: str,
        bodies: Sequence[str],
        envelopes: Sequence[str] | None = None,
    ) -> None:
        """Keep events of a dataset without a contract; `envelopes` are the attributes of those that were CloudEvents."""

    def learning(self) -> list[str]:
        """The datasets that have events waiting for a contract."""

    def learned(self, dataset: str, limit: int) -> list[Learned]:
        """The oldest events of a dataset that wait for a contract, at most `limit`."""

    def forget(self, dataset: str, through_row: int) -> int:
        """Take those up to a row out, as they are moved; how many they were."""


class Store(Protocol):
    """Where events end up."""

    @property
    def name(self) -> str:
        """Which store this is, for people."""

    @property
    def is_shared(self) -> bool:
        """Whether others may read and write while a transaction is open."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open the store, and let go of it at the end of the block: committed, or untouched when an error left it.

        Raises:
            StoreLocked: another program holds it.
            StoreFailed: it is damaged or out of reach.
            Conflict: at the end of the block, or within it.
        """

    def rejects(
        self,
        dataset: str,
        *,
        limit: int,
        before: str | None = None,
        group: bool = False,
        newest: int | None = None,
        timeout_s: float = 5.0,
    ) -> dict[str, Any]:
        """The quarantine of a dataset as a document: the newest first, or by fingerprint (of all, or of the `newest` few).

        Raises:
            StoreLocked: another program holds the store, and did not let go of it for `timeout_s` seconds.
            StoreFailed: it is damaged or out of reach.
        """

    def waiting(
        self,
        dataset: str,
        *,
        after: str = "",
        through: str = "",
        fingerprint: str = "",
        limit: int,
        max_bytes: int,
    ) -> list[Reject]:
        """The refused bodies of a dataset that were not replayed, in the order of their ids: beyond `after`, up to `through`.

        At most `limit`, and as many as hold `max_bytes`, but one at least. `fingerprint`: of this kind alone.

        Raises:
            StoreLocked: another program holds the store.
            StoreFailed: it is damaged or out of reach.
        """

    def last_waiting(self, dataset: str) -> str:
        """The id of the last refused body of a dataset that was not replayed; empty where there is none.

        Raises:
            StoreLocked, StoreFailed: as `waiting`.
        """

    def size_bytes(self) -> int:
        """What it takes on disk."""
