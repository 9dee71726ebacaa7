"""What a log record's payload holds comes out as it went in."""

from __future__ import annotations

import json
import math

import pytest

from assay.ingest import payload
from assay.ingest.payload import LoggedFlagged, LoggedReject

BODIES = [
    b'{"a": 1}',
    b'{ "a" : "\xc3\xa9\\n" , "a":2}',
    b"{}",
    b'{"n": 1e999, "m": [-1e999]}',
    b'{"d": ' + b"9" * 400 + b"}",
]


@pytest.mark.parametrize("bodies", [[], BODIES[:1], BODIES], ids=["none", "one", "several"])
def test_events_keep_their_own_bytes(bodies: list[bytes]) -> None:
    packed = payload.pack_events(bodies)
    assert payload.unpack_bodies(packed) == bodies
    assert len(payload.unpack_events(packed)) == len(bodies)


def test_events_are_decoded() -> None:
    found = payload.unpack_events(payload.pack_events(BODIES))
    assert found[:3] == [{"a": 1}, {"a": 2}, {}]
    assert math.isinf(found[3]["n"])


@pytest.mark.parametrize("body", [b"", b"\0\xff", b"[", b"x" * 100_000], ids=["empty", "binary", "broken", "long"])
def test_rejects_and_flagged_events_may_be_anything(body: bytes) -> None:
    rejects = [LoggedReject("id", body, json.dumps([{"loc": ["é"]}]), "f")]
    assert payload.unpack_rejects(payload.pack(rejects)) == rejects
    flagged = [LoggedFlagged(body, "[]")] * 2
    assert payload.unpack_flagged(payload.pack(flagged)) == flagged
