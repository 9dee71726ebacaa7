"""An Arrow IPC stream to record batches, or why not. Knows nothing of contracts.

The stream is untrusted. Before anything in it is unpacked, its messages are measured: what each buffer says that it
unpacks to, and what each value would take at least, must stay within the bound of a body. Then every batch is
validated in full. Views and dictionaries may say one text many times: they are measured once more as what they stand for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from assay.errors import BadBody, TooLarge, UnsupportedType
from assay.ingest.decode import MAX_DEPTH

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_schema", "is_list", "read_batches", "texts_of"]

#: How many columns a stream may have, those inside of others included.
_MOST_COLUMNS: Final = 10_000
#: What a value counts for at least, in bytes, however few bits it takes: JSON would need more for it.
_VALUE_BYTES: Final = 4
_ROW_BYTES: Final = 2
#: Work that no size shows, in bodies: a dictionary is looked through again for every batch that uses it.
_MOST_LOOKS: Final = 8
_TOO_WIDE: Final = "what the Arrow stream unpacks to"


def read_batches(body: bytes, max_bytes: int) -> Iterator[pa.RecordBatch]:
    """The record batches of a stream, each validated in full.

    Raises:
        BadBody: it is no Arrow stream, or a broken one.
        TooLarge: it would unpack to more than `max_bytes`.
        UnsupportedType: a column is of a type that has no JSON value; the message names it.
    """
    import pyarrow as pa

    try:
        _measure(body, max_bytes)
        options = pa.ipc.IpcReadOptions(use_threads=False, ensure_alignment=pa.ipc.Alignment.DataTypeSpecific)
        with pa.ipc.open_stream(pa.py_buffer(body), options=options) as reader:
            check_schema(reader.schema)
            size = 0
            for batch in reader:
                batch.validate(full=True)
                size += sum(map(_said_again, batch.columns))
                if size > max_bytes:
                    raise TooLarge(max_bytes, _TOO_WIDE)
                yield batch
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, struct.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadBody(f"not an Arrow stream: {reason}") from error


def is_list(kind: pa.DataType) -> bool:
    """Whether it is a list, of whatever kind of offsets."""
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def texts_of(array: pa.Array) -> pa.Array:
    """The texts that views stand for. A null's view may point anywhere, and PyArrow would look: it is made empty first."""
    import pyarrow as pa

    valid = array.is_valid()
    buffers = array.buffers()
    views = np.zeros((len(array), 4), np.int32)
    if buffers[1] is not None:
        there = np.asarray(valid)
        given = np.frombuffer(buffers[1], np.int32, 4 * len(array), 16 * array.offset).reshape(-1, 4)
        views[there] = given[there]
    safe = [valid.buffers()[1], pa.py_buffer(views.tobytes()), *buffers[2:]]
    return pa.Array.from_buffers(array.type, len(array), safe).cast(pa.string())


# ---- the schema


def _children(kind: pa.DataType) -> list[pa.Field]:
    return [kind.field(i) for i in range(kind.num_fields)]


def check_schema(schema: pa.Schema, *, zoneless: bool = False) -> None:
    """Whether every column has JSON values. `zoneless` times are taken, as UTC, from who knows them to be that.

    Raises:
        UnsupportedType: one has none; the message names it.
        BadBody: there are too many, two of one name, or they are nested too deeply.
    """
    fields = list(schema)
    _check_names(fields, "")
    level = [(each, each.name) for each in fields]
    total = 0
    for _ in range(MAX_DEPTH):
        total += len(level)
        if total > _MOST_COLUMNS:
            raise UnsupportedType(f"an Arrow stream may have {_MOST_COLUMNS:,} columns, nested ones included")
        below: list[tuple[pa.Field, str]] = []
        for each, path in level:
            _check_type(each.type, path, zoneless=zoneless)
            children = _children(each.type)
            _check_names(children, path)
            mark = "[]" if is_list(each.type) else None
            below += [(child, f"{path}{mark or '.' + child.name}") for child in children]
        if not below:
            return
        level = below
    raise BadBody(f"nested deeper than {MAX_DEPTH} levels")


def _check_names(fields: list[pa.Field], path: str) -> None:
    names = [each.name for each in fields]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadBody(f'two columns are named "{path + "." if path else ""}{twice[:100]}"')


def _check_type(kind: pa.DataType, path: str, *, zoneless: bool = False) -> None:
    import pyarrow as pa

    is_ = pa.types
    if is_.is_timestamp(kind) and kind.tz is None and not zoneless:
        raise _unsupported(path, kind, "say its time zone, as RFC 3339 has no time without one")
    if is_.is_fixed_size_list(kind) and kind.list_size < 1:  # PyArrow divides by the size, and the process ends
        raise _unsupported(path, kind, "lists have a size above 0")
    if is_.is_dictionary(kind):
        if kind.value_type.num_fields or is_.is_dictionary(kind.value_type):
            raise _unsupported(path, kind, "a dictionary holds texts, numbers or times")
        _check_type(kind.value_type, path, zoneless=zoneless)
        return
    scalar = (
        is_.is_null(kind)
        or is_.is_boolean(kind)
        or is_.is_integer(kind)
        or is_.is_floating(kind)
        or is_.is_string(kind)
        or is_.is_large_string(kind)
        or is_.is_string_view(kind)
        or is_.is_date(kind)
        or is_.is_time(kind)
        or is_.is_timestamp(kind)
        or (is_.is_decimal(kind) and 0 <= kind.scale <= kind.precision)
    )
    # An extension's own class could mean anything by its storage.
    if isinstance(kind, pa.BaseExtensionType) or not (scalar or is_.is_struct(kind) or is_list(kind)):
        raise _unsupported(path, kind, "text, numbers, booleans, times, lists and structs are")


def _unsupported(path: str, kind: pa.DataType, hint: str) -> UnsupportedType:
    return UnsupportedType(f'column "{path[:200]}" has the Arrow type {str(kind)[:100]}, which is not taken; {hint}')


# ---- what it unpacks to


def _measure(body: bytes, max_bytes: int) -> None:
    """Read the messages' headers, and stop at the bound."""
    import pyarrow as pa

    source = pa.BufferReader(body)
    size = _Size(max_bytes)
    count = 0
    for message in pa.ipc.MessageReader.open_stream(source):
        count += 1
        header = _Table.root(message.metadata.to_pybytes())
        if (message.type == "schema") != (count == 1):
            raise BadBody("not an Arrow stream: it begins with its schema, and has one")
        if header.at_slot(4) and message.metadata_version != pa.ipc.MetadataVersion.V5:
            raise UnsupportedType("an Arrow stream of version 0.17 or newer is expected")  # compression stood elsewhere
        inner = header.table(2)
        content = memoryview(message.body if message.body is not None else b"")
        if message.type == "record batch":
            size.add_batch(inner, content)
        elif message.type == "dictionary":
            size.add_dictionary(inner, content)
        elif message.type != "schema":
            raise UnsupportedType(f"an Arrow stream with a {message.type} is not taken: send columns")
    if not count:
        raise BadBody("not an Arrow stream: it is empty", byte=0)
    if source.tell() != len(body):
        raise BadBody("more behind the end of the Arrow stream", byte=source.tell())


@dataclass(slots=True)
class _Size:
    """Counts what a stream unpacks to."""

    max_bytes: int
    size: int = 0
    looks: int = 0
    dictionaries: dict[int, int] = attribute(default_factory=dict)

    def add_batch(self, batch: _Table, content: memoryview) -> None:
        self.size += _declared(batch, content)
        self.looks += sum(self.dictionaries.values())
        self._check()

    def add_dictionary(self, message: _Table, content: memoryview) -> None:
        key, is_delta = message.int64(0), message.flag(2)
        declared = _declared(message.table(1), content)
        self.size += declared
        before = self.dictionaries.get(key, 0)
        self.looks += before if is_delta else 0  # it is copied to the end of the one before
        self.dictionaries[key] = declared + (before if is_delta else 0)
        self._check()

    def _check(self) -> None:
        if self.size > self.max_bytes:
            raise TooLarge(self.max_bytes, _TOO_WIDE)
        if self.looks > self.max_bytes * _MOST_LOOKS:
            raise TooLarge(self.max_bytes, "what the dictionaries of the Arrow stream's batches come to")


def _declared(batch: _Table, content: memoryview) -> int:
    """How many bytes a batch says that its buffers unpack to; never less than its values would take at the least."""
    rows = batch.int64(0)
    nodes = batch.pairs(1)
    lengths = nodes[:, 0]
    if rows < 0 or (lengths < 0).any():
        raise BadBody("not an Arrow stream: a negative length")
    least: int = rows * _ROW_BYTES + sum(lengths.tolist()) * _VALUE_BYTES
    buffers = batch.pairs(2)
    offsets, sizes = buffers[:, 0], buffers[:, 1]
    whole = len(content)
    if (offsets < 0).any() or (sizes < 0).any() or (offsets > whole).any() or (sizes > whole - offsets).any():
        raise BadBody("not an Arrow stream: a buffer beyond the end of its message")
    if not batch.at_slot(3):
        return max(least, int(sum(sizes.tolist())))
    total = 0
    for offset, size in zip(offsets.tolist(), sizes.tolist(), strict=True):
        if not size:
            continue
        (declared,) = struct.unpack_from("<q", content[offset : offset + size])
        if declared < -1:
            raise BadBody("not an Arrow stream: a negative size before a compressed buffer")
        total += size - 8 if declared == -1 else declared
    return max(least, total)


@dataclass(frozen=True, slots=True)
class _Table:
    """A flatbuffers table: as much of one as the messages' headers need. Every read is within `data`, or fails."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, _read("<I", data, 0))

    def at_slot(self, slot: int) -> int:
        """Where a member stands; 0 where there is none."""
        vtable = self.at - _read("<i", self.data, self.at)
        entry = 4 + 2 * slot
        if entry >= _read("<H", self.data, vtable):
            return 0
        offset = _read("<H", self.data, vtable + entry)
        return self.at + offset if offset else 0

    def int64(self, slot: int) -> int:
        place = self.at_slot(slot)
        return _read("<q", self.data, place) if place else 0

    def flag(self, slot: int) -> bool:
        place = self.at_slot(slot)
        return bool(_read("<B", self.data, place)) if place else False

    def table(self, slot: int) -> _Table:
        place = self.at_slot(slot)
        if not place:
            raise BadBody("not an Arrow stream: a message without content")
        return _Table(self.data, place + _read("<I", self.data, place))

    def pairs(self, slot: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """A vector of structs of two 64-bit integers."""
        place = self.at_slot(slot)
        if not place:
            return np.empty((0, 2), np.int64)
        place += _read("<I", self.data, place)
        count = _read("<I", self.data, place)
        if place + 4 + 16 * count > len(self.data):
            raise BadBody("not an Arrow stream: a list beyond the end of its message")
        return np.frombuffer(self.data, "<i8", 2 * count, place + 4).reshape(-1, 2).astype(np.int64)


def _read(layout: str, data: bytes, at: int) -> int:
    if at < 0:
        raise BadBody("not an Arrow stream: an offset before its message")
    return int(struct.unpack_from(layout, data, at)[0])


def _said_again(array: pa.Array) -> int:
    """The bytes of text that dictionaries and views in an array stand for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_string_view(kind):
        views = array.buffers()[1]
        if views is None:
            return 0
        lengths = np.frombuffer(views, np.int32)[4 * array.offset :: 4][: len(array)]
        return int(lengths.sum(dtype=np.int64, where=np.asarray(array.is_valid())))
    if pa.types.is_dictionary(kind):
        texts = array.dictionary
        if pa.types.is_string_view(texts.type):
            texts = texts_of(texts)
        if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
            return 0
        lengths = pc.binary_length(texts).cast(pa.int64())
        return int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(_said_again(array.field(i)) for i in range(kind.num_fields))
    return _said_again(array.values) if is_list(kind) else 0
