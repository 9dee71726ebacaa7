"""What a log's messages in a stream hold: its transactions, and what is known of it beside them. MessagePack. Pure.

A message is an envelope around a part of something: who owns the log (its opening), of which batch, and the how manieth
part of how many. A batch counts when its parts stand in the stream one behind the other, to the last.
The format is written down in docs/reference/store.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

__all__ = [
    "Assembler",
    "Begun",
    "Document",
    "Envelope",
    "KeyRow",
    "PieceRow",
    "Row",
    "State",
    "Transaction",
    "open_envelope",
    "pack",
    "split",
    "unpack_begun",
    "unpack_document",
    "unpack_keys",
    "unpack_state",
    "unpack_transaction",
]

#: What the envelope takes of a message beside the part itself, at most.
_OVERHEAD_BYTES: Final = 96


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """One message: part `number` (from 1) `of` so many of a batch, written by who has the log open as `opening`."""

    opening: bytes
    batch: bytes
    number: int
    of: int
    data: bytes


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A record. `contract` is its document's digest, empty where it has none."""

    kind: int
    dataset: str
    contract: bytes
    source: str
    content_type: str
    received_us: int
    events: int
    payload: bytes
    key: bytes


class PieceRow(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a large request."""

    request: str
    kind: int
    events: int
    payload: bytes


class KeyRow(msgspec.Struct, frozen=True, array_like=True):
    """An idempotency key, and what was answered."""

    dataset: str
    source: str
    key: str
    digest: bytes
    at_us: int
    rejected: bool
    status: int
    answer: bytes


class Transaction(msgspec.Struct, frozen=True, array_like=True):
    """What counts together. `first` and `first_piece` are the numbers of the first record and of the first piece."""

    first: int
    first_piece: int
    rows: list[Row]
    pieces: list[PieceRow]
    keys: list[KeyRow]


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """An opening of the log: records beyond `base` are its own, up to the next one's."""

    n: int
    id: str
    base: int


class Document(msgspec.Struct, frozen=True, array_like=True):
    """A contract, as canonical as it came."""

    dataset: str
    version: int
    document: str

    @property
    def digest(self) -> bytes:
        """What rows know it by, 16 bytes."""
        return hashlib.blake2b(pack(self), digest_size=16).digest()


class State(msgspec.Struct, frozen=True, array_like=True):
    """What a log has to know of records that are no longer in the stream. Times are in microseconds since 1970, UTC.

    `openings` and `documents` are all that there are: a stream that lost their own messages can be read all the same.
    """

    freed: int
    last_piece: int
    learning: dict[str, int]
    seen: dict[str, int]
    openings: list[Begun]
    documents: list[Document]


pack = msgspec.msgpack.Encoder().encode
#: Each raises `msgspec.DecodeError` where it is something else.
open_envelope = msgspec.msgpack.Decoder(Envelope).decode
unpack_transaction = msgspec.msgpack.Decoder(Transaction).decode
unpack_begun = msgspec.msgpack.Decoder(Begun).decode
unpack_document = msgspec.msgpack.Decoder(Document).decode
unpack_state = msgspec.msgpack.Decoder(State).decode
unpack_keys = msgspec.msgpack.Decoder(list[KeyRow]).decode


def split(opening: bytes, batch: bytes, data: bytes, max_bytes: int) -> list[bytes]:
    """A batch as messages of at most `max_bytes`, one at least. `opening` and `batch` are 16 bytes each."""
    room = max_bytes - _OVERHEAD_BYTES
    if room <= 0:
        raise ValueError(f"messages of {max_bytes} bytes have no room for anything")
    parts: Sequence[bytes] = [data[start : start + room] for start in range(0, len(data), room)] or [b""]
    return [pack(Envelope(opening, batch, number, len(parts), part)) for number, part in enumerate(parts, 1)]


class Assembler:
    """Puts batches together again from messages in order; what is not followed by its next part is dropped."""

    def __init__(self) -> None:
        self._begun: list[Envelope] = []
        #: Where the batch began that was completed last.
        self.first = 0

    def feed(self, seq: int, envelope: Envelope) -> bytes | None:
        """The whole of a batch, once its last part is there."""
        begun = self._begun
        if envelope.number == 1:
            begun.clear()
            self.first = seq
        elif not (
            begun
            and begun[-1].number + 1 == envelope.number
            and begun[-1].batch == envelope.batch
            and self.first + envelope.number - 1 == seq
        ):
            begun.clear()
            return None
        begun.append(envelope)
        if envelope.number < envelope.of:
            return None
        data = envelope.data if envelope.of == 1 else b"".join(part.data for part in begun)
        begun.clear()
        return data
