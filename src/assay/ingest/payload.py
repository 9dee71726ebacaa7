"""What a log record's payload holds.

Events and learning: a JSON array of the events' own bytes, so that one call decodes them all. Rejects, flagged events
and CloudEvents: MessagePack, since a body may be anything. Columns: an Arrow IPC stream of one batch, the contract's columns by
field name, and `_extra` where there is something; of many rejects, the columns of the quarantine that differ between them.
The last record of a large request: MessagePack, where its pieces are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from assay.ingest.decode import decode_array

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "LoggedCloudEvent",
    "LoggedFlagged",
    "LoggedReject",
    "LoggedRequest",
    "joined",
    "pack",
    "pack_columns",
    "pack_events",
    "pack_reject_columns",
    "unpack_bodies",
    "unpack_cloudevents",
    "unpack_columns",
    "unpack_events",
    "unpack_flagged",
    "unpack_rejects",
    "unpack_request",
]


class LoggedReject(msgspec.Struct, frozen=True, array_like=True):
    """A refused body. `violations` is JSON text."""

    id: str
    body: bytes
    violations: str
    fingerprint: str


class LoggedFlagged(msgspec.Struct, frozen=True, array_like=True):
    """An event that was stored in spite of its violations, in observe mode."""

    body: bytes
    violations: str


class LoggedCloudEvent(msgspec.Struct, frozen=True, array_like=True):
    """The event of a CloudEvent, what it breaks (in observe mode, else None), and its attributes, as JSON text."""

    body: bytes
    violations: str | None
    attributes: str


class LoggedRequest(msgspec.Struct, frozen=True, array_like=True):
    """A large request whose pieces are all there, `size_bytes` of them. `rejects_only`: the others are not to count."""

    request: str
    size_bytes: int
    rejects_only: bool


pack = msgspec.msgpack.Encoder().encode
_rejects = msgspec.msgpack.Decoder(list[LoggedReject]).decode
_flagged = msgspec.msgpack.Decoder(list[LoggedFlagged]).decode
_cloudevents = msgspec.msgpack.Decoder(list[LoggedCloudEvent]).decode
_request = msgspec.msgpack.Decoder(LoggedRequest).decode
_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any = msgspec.json.Decoder(list[dict[str, Any]]).decode


def pack_events(bodies: Sequence[bytes]) -> bytes:
    """Events' bytes, each one JSON value, as one JSON array."""
    return b"[" + b",".join(bodies) + b"]"


def unpack_events(payload: bytes) -> list[dict[str, Any]]:
    """The events of a payload, decoded."""
    try:
        return _any(payload)
    except msgspec.ValidationError:  # a number beyond a double's range, under a contract that let it pass
        return [each.value for each in decode_array(payload)]


def unpack_bodies(payload: bytes) -> list[bytes]:
    """The events of a payload, each as its own bytes."""
    return [bytes(each) for each in _raw(payload)]


def joined(parts: Sequence[Mapping[str, pa.Array]]) -> dict[str, pa.Array]:
    """Columns that come in parts as whole ones; `_extra`, which some parts may lack, behind the others."""
    import pyarrow as pa

    with_extra = any("_extra" in part for part in parts)
    names = [name for name in parts[0] if name != "_extra"]
    arrays = [pa.concat_arrays([part[name] for part in parts]) for name in names]
    if with_extra:
        names.append("_extra")
        count = [len(next(iter(part.values()))) for part in parts]
        extras = [part.get("_extra", pa.nulls(rows, pa.string())) for part, rows in zip(parts, count, strict=True)]
        arrays.append(pa.concat_arrays(extras))
    return dict(zip(names, arrays, strict=True))


def pack_columns(columns: Mapping[str, pa.Array]) -> bytes:
    """Columns as an Arrow IPC stream; lightly compressed: half the bytes to write for a twentieth of the time."""
    import pyarrow as pa

    return _packed(pa.record_batch(list(columns.values()), names=list(columns)))


def pack_reject_columns(rejects: Sequence[LoggedReject]) -> bytes:
    """Refused bodies as columns: `id`, `body`, `violations`, `fingerprint`."""
    import pyarrow as pa

    arrays = [
        pa.array([reject.id for reject in rejects], pa.string()),
        pa.array([reject.body for reject in rejects], pa.binary()),
        pa.array([reject.violations for reject in rejects], pa.string()),
        pa.array([reject.fingerprint for reject in rejects], pa.string()),
    ]
    return _packed(pa.record_batch(arrays, names=list(LoggedReject.__struct_fields__)))


def _packed(batch: pa.RecordBatch) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def unpack_columns(payload: bytes) -> dict[str, pa.Array]:
    """Columns, by name: a contract's, or those of refused bodies."""
    import pyarrow as pa

    with pa.ipc.open_stream(payload) as reader:
        (batch,) = reader
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def unpack_rejects(payload: bytes) -> list[LoggedReject]:
    """Refused bodies."""
    return _rejects(payload)


def unpack_flagged(payload: bytes) -> list[LoggedFlagged]:
    """Flagged events."""
    return _flagged(payload)


def unpack_cloudevents(payload: bytes) -> list[LoggedCloudEvent]:
    """The events of CloudEvents, with their attributes."""
    return _cloudevents(payload)


def unpack_request(payload: bytes) -> LoggedRequest:
    """Where the pieces of a request are."""
    return _request(payload)
