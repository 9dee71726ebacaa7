"""Messages of a log in a stream: what goes in comes out, whole or not at all."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.ingest.stream_codec import (
    Assembler,
    Envelope,
    KeyRow,
    PieceRow,
    Row,
    Transaction,
    open_envelope,
    pack,
    split,
    unpack_keys,
    unpack_transaction,
)

OPENING, BATCH, OTHER = b"o" * 16, b"b" * 16, b"c" * 16
#: A parameter of SQLite's, and of MessagePack's, and so of ours: 64 bits.
NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)
ROWS = st.builds(
    Row, NUMBERS, st.text(), st.binary(max_size=16), st.text(), st.text(), NUMBERS, NUMBERS, st.binary(), st.binary()
)
PIECES = st.builds(PieceRow, st.text(), NUMBERS, NUMBERS, st.binary())
KEYS = st.builds(KeyRow, st.text(), st.text(), st.text(), st.binary(), NUMBERS, st.booleans(), NUMBERS, st.binary())
TRANSACTIONS = st.builds(Transaction, NUMBERS, NUMBERS, st.lists(ROWS), st.lists(PIECES), st.lists(KEYS))


@given(TRANSACTIONS, st.integers(min_value=97, max_value=400), NUMBERS.filter(lambda seq: seq < 2**40))
def test_a_transaction_comes_out_as_it_went_in(transaction: Transaction, max_bytes: int, before: int) -> None:
    bodies = split(OPENING, BATCH, pack(transaction), max_bytes)
    assert all(len(body) <= max_bytes for body in bodies)
    assembler = Assembler()
    found = [assembler.feed(seq, open_envelope(body)) for seq, body in enumerate(bodies, before + 1)]
    assert found[:-1] == [None] * (len(bodies) - 1)
    assert found[-1] is not None
    assert unpack_transaction(found[-1]) == transaction
    assert assembler.first == before + 1


@given(st.lists(st.integers(min_value=1, max_value=4), max_size=6), st.data())
def test_what_lacks_a_part_is_dropped_and_nothing_else(lengths: list[int], data: st.DataObject) -> None:
    """Batches of so many parts; of some the last ones never came, as their owner ended."""
    messages: list[Envelope] = []
    whole: list[bytes] = []
    for number, length in enumerate(lengths):
        batch = number.to_bytes(16, "big")
        parts = [Envelope(OPENING, batch, part, length, bytes([number, part])) for part in range(1, length + 1)]
        kept = data.draw(st.integers(min_value=0, max_value=length))
        messages += parts[:kept]
        if kept == length:
            whole.append(b"".join(part.data for part in parts))
    assembler = Assembler()
    found = [assembler.feed(seq, envelope) for seq, envelope in enumerate(messages, 1)]
    assert [each for each in found if each is not None] == whole


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((3, Envelope(OPENING, BATCH, 2, 2, b"2")), id="a message between"),
        pytest.param((2, Envelope(OPENING, OTHER, 2, 2, b"2")), id="of another batch"),
        pytest.param((2, Envelope(OPENING, BATCH, 3, 3, b"3")), id="one is missing"),
    ],
)
def test_parts_that_do_not_follow_each_other_are_none(second: tuple[int, Envelope]) -> None:
    assembler = Assembler()
    assert assembler.feed(1, Envelope(OPENING, BATCH, 1, 2, b"1")) is None
    assert assembler.feed(*second) is None
    assert assembler.feed(second[0] + 1, Envelope(OPENING, BATCH, 2, 2, b"2")) is None, "it does not go on later"


@given(st.binary(max_size=64))
def test_what_others_publish_is_told_from_ours(body: bytes) -> None:
    try:
        envelope = open_envelope(body)
    except msgspec.DecodeError:
        return
    assert pack(envelope)


def test_what_is_no_truth_value_is_no_key() -> None:
    with pytest.raises(msgspec.DecodeError):
        unpack_keys(pack([("d", "s", "k", b"", 1, 1, 200, b"")]))
