"""A large body in pieces: they count together or not at all, and come to what the body as a whole comes to."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.errors import StoreFailed
from assay.ingest.intake import take
from assay.ingest.large import LargeBody
from assay.ingest.log import Log
from assay.ingest.record import Kind, Piece
from assay.ingest.validate import Judge
from tests.ingest.test_apply import Place
from tests.lakes import Where, needs_a_file

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer", "minimum": 0}}, "required": ["id"]}
JUDGE = Judge(Contract.parse(SCHEMA, dataset="d", version=1), Active(1))


def lines(*ids: Any) -> bytes:
    return b"".join(json.dumps({"id": each}).encode() + b"\n" for each in ids)


def large(*, atomic: bool = False, judge: Judge | None = JUDGE) -> LargeBody:
    return LargeBody(
        dataset="d", judge=judge, source="s", content_type="t", received_us=1_700_000_000_123_456, atomic=atomic
    )


def judge_next(body: LargeBody, part: bytes) -> list[Piece]:
    """The next lines, judged; what to log of them."""
    return body.add(part, *body.task(part)())


def send(log: Log, body: LargeBody, *parts: bytes, whole: bool = True) -> None:
    for part in parts:
        log.append([], pieces=judge_next(body, part))
    if whole:
        log.append(body.last())


@pytest.fixture
def place(tmp_path: Path, where_fast: Where) -> Iterator[Place]:
    place = Place(tmp_path, where_fast)
    yield place
    place.close()


def apply_all(place: Place) -> int:
    """Rounds until all is in the store; how many."""
    for number in range(1, 100):
        applied = place.applier.round()
        assert applied.gaps == []
        if not applied.more and applied.through == place.log.last_seq():
            return number
    raise AssertionError


def sweep(log: Log) -> None:
    while not log.is_clean:
        log.sweep()


def ids(place: Place) -> list[int]:
    return list(place.rows())


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lines(*range(300)), id="all good"),
        pytest.param(lines(*range(100), -1, "x", *range(100), -2), id="some refused"),
        pytest.param(lines(*range(-250, 0)), id="more refused than are named"),
        pytest.param(lines(1) + b"\n\n{broken\n" + lines(2) + b"5\n" + lines(3)[:-1], id="broken lines and empty ones"),
    ],
)
def test_the_outcome_is_that_of_the_body_as_a_whole(body: bytes, *, atomic: bool) -> None:
    whole, _ = take(
        body, "ndjson", dataset="d", judge=JUDGE, source="s", content_type="t", received_us=1, atomic=atomic
    )
    pieces = large(atomic=atomic)
    step = body.splitlines(keepends=True)
    for start in range(0, len(step), 70):
        judge_next(pieces, b"".join(step[start : start + 70]))
    pieces.last()
    found = pieces.outcome
    assert (found.ok, found.accepted, found.flagged, found.refused) == (
        whole.ok,
        whole.accepted,
        whole.flagged,
        whole.refused,
    )
    named = [(each.index, tuple(each.violations)) for each in whole.rejected[:100]]
    assert [(each.index, tuple(each.violations)) for each in found.rejected] == named


def test_pieces_count_with_the_last_record_and_not_before(place: Place) -> None:
    body = large()
    send(place.log, body, lines(1, 2), lines(3), whole=False)
    place.send({"id": 10})
    apply_all(place)
    assert ids(place) == [10]
    send(place.log, body, lines(4))
    place.send({"id": 11})
    apply_all(place)
    assert ids(place) == [1, 2, 3, 4, 10, 11]
    assert place.rows("SELECT count(DISTINCT _collected_at), any_value(_source) FROM d WHERE id < 10") == [(1, "s")]
    with place.store.write() as transaction:
        assert len(transaction.marks()) == 1


def test_an_atomic_one_with_a_refused_event_at_its_end_leaves_the_refused_alone(place: Place) -> None:
    send(place.log, large(atomic=True), lines(1, 2), lines(3, -1))
    apply_all(place)
    assert "d" not in place.rows("SELECT table_name FROM duckdb_tables()")
    assert [json.loads(body) for body in place.rows("SELECT body FROM _quarantine")] == [{"id": -1}]


def test_a_large_request_is_applied_in_rounds_each_piece_once_whatever_breaks(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.ingest.apply._ROUND_BYTES", 1)  # a piece a round
    place.send({"id": 100})
    send(place.log, large(), *(lines(*range(start, start + 3)) for start in range(0, 30, 3)))
    place.send({"id": 101})
    for _ in range(4):
        place.applier.round()
    assert 3 < len(ids(place)) < 30
    place.reopen()  # as after a crash: only the store and the log know
    with monkeypatch.context() as patch:
        patch.setattr("assay.store.transaction.SQLTransaction.set_mark", _fail)
        patch.setattr("assay.store.ducklake.LakeTransaction.set_mark", _fail)
        with pytest.raises(StoreFailed):
            place.applier.round()
    apply_all(place)
    assert ids(place) == [*range(30), 100, 101]
    place.log.free(place.log.last_seq())
    assert not place.log.is_clean
    sweep(place.log)
    assert place.log.is_empty()
    assert place.log.live() == (0, 0, None)


def _fail(*_: object) -> None:
    raise StoreFailed("s", "no")


def test_a_piece_that_the_store_refuses_is_sieved(place: Place) -> None:
    needs_a_file(place.where)
    with place.store.write() as transaction:
        transaction._con.execute("CREATE TABLE d (id BIGINT CHECK (id <> 5))")
    send(place.log, large(), lines(1, 2), lines(4, 5, 6), lines(7))
    apply_all(place)
    assert ids(place) == [1, 2, 4, 6, 7]
    assert place.rows("SELECT count(*) FROM _quarantine") == [1]


def test_nothing_is_left_of_one_that_was_dropped_or_killed(place: Place) -> None:
    dropped = large()
    send(place.log, dropped, *(lines(each) for each in range(20)), whole=False)
    place.send({"id": 100})
    place.log.drop(dropped.request)
    sweep(place.log)
    assert place.log.live()[0] == 1
    send(place.log, large(), lines(1), lines(2), whole=False)
    whole = large()
    send(place.log, whole, lines(3))
    place.reopen()
    assert not place.log.is_clean
    sweep(place.log)
    apply_all(place)
    assert ids(place) == [3, 100]
    place.log.free(place.log.last_seq())
    place.reopen()  # freed, and killed before its pieces were swept
    sweep(place.log)
    assert place.log.is_empty()


def test_a_dataset_that_learns_is_charged_for_all_pieces(place: Place) -> None:
    body = large(judge=None)
    send(place.log, body, lines(1), lines(2))
    assert place.log.learning_bytes()["d"] >= len(lines(1, 2))
    apply_all(place)
    assert place.rows("SELECT body FROM _learning ORDER BY body") == ['{"id": 1}', '{"id": 2}']


def test_reading_pieces_is_bounded_by_bytes(place: Place) -> None:
    send(place.log, large(), *(lines(*range(100)) for _ in range(5)))
    (last,) = place.reader.read(0, 1)
    assert last.kind == Kind.REQUEST
    (first,) = place.reader.pieces(last, 0, 1)
    assert not first.ends
    rest = place.reader.pieces(last, first.piece, 1 << 20)
    assert [each.ends for each in rest] == [False, False, False, True]
