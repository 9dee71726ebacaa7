"""What a request hands in to be made durable, and how it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from assay.errors import AssayError
from assay.ingest.keys import Kept
from assay.ingest.outcome import Outcome
from assay.ingest.record import Piece, Record
from assay.ingest.validate import Judge

__all__ = ["Batch", "Part", "Single", "Ticket", "settle"]


@dataclass(slots=True, eq=False)
class Single:
    """One event that the fast path accepted, alone in its request. Those of one transaction share a record."""

    judge: Judge
    source: str
    body: bytes
    event: msgspec.Struct
    future: asyncio.Future[None]

    @property
    def size_bytes(self) -> int:
        """What it counts towards the bytes pending."""
        return len(self.body) + 300


@dataclass(slots=True, eq=False)
class Batch:
    """Everything else: the records of one request, its outcome to count, and its idempotency keys.

    `count` counts it instead, given the time, where its events are gone already.
    """

    outcome: Outcome
    records: Sequence[Record]
    future: asyncio.Future[None]
    keys: Sequence[Kept] = ()
    count: Callable[[float], None] | None = None

    @property
    def size_bytes(self) -> int:
        """What it counts towards the bytes pending."""
        return sum(len(record.payload) + 300 for record in self.records) + sum(kept.size_bytes for kept in self.keys)


@dataclass(slots=True, eq=False)
class Part:
    """Some of a large request. Nothing of it counts yet."""

    pieces: Sequence[Piece]
    future: asyncio.Future[None]

    @property
    def size_bytes(self) -> int:
        """What it counts towards the bytes pending."""
        return sum(len(piece.record.payload) + 300 for piece in self.pieces)


Ticket: TypeAlias = Single | Batch | Part


def settle(tickets: Sequence[Ticket], error: AssayError | None) -> None:
    """In the event loop: tell the requests of one transaction how it ended."""
    for ticket in tickets:
        future = ticket.future
        if future.done():
            continue  # the client went away; its events are durable all the same
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
