"""Bodies that come compressed, unpacked piece by piece: however much they promise, never more than was asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import zstandard

from assay.errors import BadBody, UnsupportedType

__all__ = ["ENCODINGS", "MEDIA_TYPES", "Inflater", "inflater", "media_type"]

#: Compressed bytes given to zstd at a time. A block of four bytes can stand for 128 KiB: so this bounds what comes out.
_ZSTD_STEP: Final = 256
_ZSTD_WINDOW: Final = 8 << 20
_PIECE: Final = 1 << 20


class Inflater(Protocol):
    """Unpacks one body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to, in pieces of a few megabytes at most.

        Raises:
            BadBody: it is not what its encoding says.
        """

    def end(self) -> None:
        """There is no more data.

        Raises:
            BadBody: there should be.
        """


class _Gzip:
    """RFC 1952, several members behind one another included."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._seen = 0
        self._began = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner.eof:
                self._inner = zlib.decompressobj(wbits=31)
            self._began = True
            try:
                piece = self._inner.decompress(data, _PIECE)
            except zlib.error as error:
                raise BadBody("not gzip", byte=self._seen) from error
            rest = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
            self._seen += len(data) - len(rest)
            if piece:
                yield piece
            data = rest
        while not self._inner.eof and (piece := self._inner.decompress(b"", _PIECE)):
            yield piece

    def end(self) -> None:
        if not self._began or not self._inner.eof:
            raise BadBody("gzip that ends too early", byte=self._seen)


class _Zstd:
    """RFC 8878, several frames behind one another included."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._inner = self._decompressor.decompressobj()
        self._seen = 0
        self._began = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            step, data = data[:_ZSTD_STEP], data[_ZSTD_STEP:]
            while step:
                if self._inner.eof:
                    self._inner = self._decompressor.decompressobj()
                self._began = True
                try:
                    piece = self._inner.decompress(step)
                except zstandard.ZstdError as error:
                    raise BadBody("not zstd, or with a window beyond 8 MiB", byte=self._seen) from error
                rest = self._inner.unused_data
                self._seen += len(step) - len(rest)
                if piece:
                    yield piece
                step = rest

    def end(self) -> None:
        if not self._began or not self._inner.eof:
            raise BadBody("zstd that ends too early", byte=self._seen)


#: What `Content-Encoding` may say.
ENCODINGS: Final[dict[str, Callable[[], Inflater]]] = {"gzip": _Gzip, "x-gzip": _Gzip, "zstd": _Zstd}

#: What a body is that could not be unpacked, by its `Content-Encoding`: RFC 6713, RFC 8878.
MEDIA_TYPES: Final = {"gzip": "application/gzip", "x-gzip": "application/gzip", "zstd": "application/zstd"}


def media_type(encoding: str) -> str:
    """The media type of what this `Content-Encoding`, one that is taken, makes of a body."""
    return MEDIA_TYPES[encoding.strip().lower()]


def inflater(encoding: str) -> Inflater | None:
    """What unpacks this `Content-Encoding`; None where there is nothing to unpack.

    Raises:
        UnsupportedType: it is not known, or several are stacked.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name not in ENCODINGS:
        raise UnsupportedType(
            f'Content-Encoding "{encoding}" is not taken; send {", ".join(sorted(ENCODINGS))}, or none'
        )
    return ENCODINGS[name]()
