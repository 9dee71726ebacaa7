from __future__ import annotations

import gzip

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import BadBody, UnsupportedType
from assay.ingest.inflate import inflater


def pack(encoding: str, data: bytes) -> bytes:
    return gzip.compress(data) if encoding == "gzip" else zstandard.ZstdCompressor().compress(data)


def unpack(encoding: str, chunks: list[bytes]) -> bytes:
    inflate = inflater(encoding)
    assert inflate is not None
    out = b"".join(piece for chunk in chunks for piece in inflate.feed(chunk))
    inflate.end()
    return out


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@given(parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=3), cut=st.integers(min_value=1, max_value=500))
def test_what_was_packed_is_unpacked_however_it_is_cut(encoding: str, parts: list[bytes], cut: int) -> None:
    packed = b"".join(pack(encoding, part) for part in parts)
    assert unpack(encoding, [packed[i : i + cut] for i in range(0, len(packed), cut)]) == b"".join(parts)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_unpacked_in_pieces(encoding: str) -> None:
    bomb = pack(encoding, bytes(200 << 20))
    inflate = inflater(encoding)
    assert inflate is not None
    sizes = []
    for piece in inflate.feed(bomb):
        sizes.append(len(piece))
        if sum(sizes) > 50 << 20:
            break  # what reads it stops at its bound
    assert max(sizes) <= 64 << 20


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:10], lambda _: b"", lambda _: b"plain text"]
)
def test_what_is_not_packed_is_told(encoding: str, damage: object) -> None:
    assert callable(damage)
    with pytest.raises(BadBody):
        unpack(encoding, [damage(pack(encoding, b"some text to pack " * 10))])


def test_a_window_that_is_too_large_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj().compress(bytes(100))
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = compressor.compress(bytes(100)) + compressor.flush()
    with pytest.raises(BadBody, match="window"):
        unpack("zstd", [packed])


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "deflate", "zstd;q=1"])
def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedType, match="Content-Encoding"):
        inflater(encoding)


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_none_needs_nothing(encoding: str) -> None:
    assert inflater(encoding) is None
