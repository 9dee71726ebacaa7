"""A body to its outcome and the records that make it durable; nothing is written."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.contract.document import Contract
from assay.contract.versions import Active, Mode
from assay.ingest import payload
from assay.ingest.intake import Form, take
from assay.ingest.record import REJECTS, Kind, Record, Stored
from assay.ingest.validate import Judge
from assay.ingest.work import Unpacker
from assay.store.protocol import reject_bytes

CONTRACT = Contract.parse(
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}, dataset="d", version=4
)


def judge(mode: Mode = "enforce", **fields: Mode) -> Judge:
    return Judge(CONTRACT, Active(4, mode, fields))


@pytest.mark.parametrize(
    ("body", "form", "by", "atomic", "kinds", "counts"),
    [
        pytest.param(b'{"a":1}', "json", judge(), False, {Kind.EVENTS: 1}, (1, 0, 0), id="accepted"),
        pytest.param(b'{"a":"x"}', "json", judge(), False, {Kind.REJECTS: 1}, (0, 0, 1), id="rejected"),
        pytest.param(b'{"a":"x"}', "json", judge("observe"), False, {Kind.FLAGGED: 1}, (1, 1, 0), id="flagged"),
        pytest.param(
            b'[{"a":1},{"a":"x"},{"b":"x"},7]',
            "json",
            judge(a="observe"),
            False,
            {Kind.EVENTS: 1, Kind.FLAGGED: 1, Kind.REJECTS: 2},
            (2, 1, 2),
            id="some of each",
        ),
        pytest.param(
            b'[{"a":1},{"a":"x"},{"b":"x"},7]',
            "json",
            judge(a="observe"),
            True,
            {Kind.REJECTS: 2},
            (0, 0, 2),
            id="some of each, atomic",
        ),
        pytest.param(
            b'{"a":1}\n{\n', "ndjson", judge(), False, {Kind.EVENTS: 1, Kind.REJECTS: 1}, (1, 0, 1), id="lines"
        ),
        pytest.param(b'{"a":1}\n{\n', "ndjson", judge(), True, {Kind.REJECTS: 1}, (0, 0, 1), id="lines, atomic"),
        pytest.param(b'[{"a":1},', "json", judge(), False, {Kind.REJECTS: 1}, (0, 0, 1), id="broken"),
        pytest.param(b"[]", "json", judge(), False, {}, (0, 0, 0), id="nothing"),
        pytest.param(b'[{"a":"x"},{}]', "json", None, False, {Kind.LEARNING: 2}, (2, 0, 0), id="learning"),
        pytest.param(
            b"[{},5]", "json", None, False, {Kind.LEARNING: 1, Kind.REJECTS: 1}, (1, 0, 1), id="learning, no event"
        ),
        pytest.param(b"[{},5]", "json", None, True, {Kind.REJECTS: 1}, (0, 0, 1), id="learning, atomic"),
    ],
)
def test_outcomes_and_records(
    body: bytes,
    form: Form,
    by: Judge | None,
    kinds: dict[Kind, int],
    counts: tuple[int, int, int],
    *,
    atomic: bool,
) -> None:
    outcome, records = take(
        body, form, dataset="d", judge=by, source="s", content_type="t", received_us=5, atomic=atomic
    )
    assert {record.kind: record.events for record in records} == kinds
    assert (outcome.accepted, outcome.flagged, len(outcome.rejected)) == counts
    assert outcome.ok is (counts[2] == 0)
    for record in records:
        assert (record.dataset, record.source, record.content_type, record.received_us) == ("d", "s", "t", 5)
        assert record.contract is (None if by is None else CONTRACT)
    ids = [
        kept.id for record in records if record.kind == Kind.REJECTS for kept in payload.unpack_rejects(record.payload)
    ]
    assert ids == [rejected.quarantine_id for rejected in outcome.rejected]


def test_each_reject_is_its_own_bytes_of_the_body() -> None:
    _, records = take(
        b'[ {"a" : "x"} ,\n{"a":1}, "y"]',
        "json",
        dataset="d",
        judge=judge(),
        source="s",
        content_type="t",
        received_us=5,
    )
    rejects: list[Any] = payload.unpack_rejects(records[-1].payload)
    assert [each.body for each in rejects] == [b'{"a" : "x"}', b'"y"']
    assert payload.unpack_bodies(records[0].payload) == [b'{"a":1}']


def test_a_broken_line_breaks_no_other_and_is_named() -> None:
    body = b'{"a":1}\r\n\n  \n{"a":\n{"a":"\xff"}\n \n{"a":2}\n{"a":"x"}'
    outcome, records = take(body, "ndjson", dataset="d", judge=judge(), source="s", content_type="t", received_us=5)
    assert outcome.accepted == 2
    assert [each.index for each in outcome.rejected] == [1, 2, 4]
    assert [each.violations[0].msg.rpartition(" ")[2] for each in outcome.rejected[:2]] == ["4", "5"]
    rejects = payload.unpack_rejects(records[-1].payload)
    assert [each.body for each in rejects] == [b'{"a":', b'{"a":"\xff"}', b'{"a":"x"}']


GOOD, UNKNOWN, BAD, BROKEN, BLANK = b'{"a":1,"b":2}', b'{"a":1,"u":[1]}', b'{"a":"x"}', b'{"a":', b" "


@given(st.lists(st.tuples(st.sampled_from([GOOD, UNKNOWN, BAD, BROKEN, BLANK]), st.integers(1, 150)), max_size=6))
@settings(max_examples=150, deadline=None)
def test_many_lines_are_judged_as_each_alone_would_be(runs: list[tuple[bytes, int]]) -> None:
    lines = [line for line, times in runs for _ in range(times)]
    outcome, records = take(
        b"\n".join(lines), "ndjson", dataset="d", judge=judge(), source="s", content_type="t", received_us=5
    )
    events = [line for line in lines if line != BLANK]
    bad = [index for index, line in enumerate(events) if line in {BAD, BROKEN}]
    assert [each.index for each in outcome.rejected] == bad
    assert outcome.accepted == len(events) - len(bad)
    by_value = outcome.unexpected + sum(map(judge().unexpected, outcome.values))
    assert by_value == events.count(UNKNOWN)
    stored = [record for record in map(stored_of, records) if record.kind not in REJECTS]
    tables = Unpacker(keep_unknown=True).tables(Unpacker(keep_unknown=True).work(stored))
    extras = [text for _, table in tables for text in table["_extra"].to_pylist()]
    assert sorted(map(str, extras)) == sorted(
        '{"u":[1]}' if line == UNKNOWN else "None" for line in events if line in {GOOD, UNKNOWN}
    )
    refused = Unpacker(keep_unknown=True).work([r for r in map(stored_of, records) if r.kind in REJECTS]).reject_table()
    bodies = [] if refused is None else refused["body"].to_pylist()
    assert bodies == [events[index] for index in bad]


def stored_of(record: Record) -> Stored:
    each = {field.name: getattr(record, field.name) for field in fields(record)}
    return Stored(**each, seq=1, opening="o")


def test_many_rejects_are_columns() -> None:
    body = b"\n".join([BAD] * 100)
    outcome, (record,) = take(body, "ndjson", dataset="d", judge=judge(), source="s", content_type="t", received_us=5)
    assert record.kind == Kind.REJECT_COLUMNS
    table = Unpacker(keep_unknown=True).work([stored_of(record)]).reject_table()
    assert table is not None
    assert table["id"].to_pylist() == [each.quarantine_id for each in outcome.rejected]
    assert set(table["source"].to_pylist()) == {"s"}
    assert set(table["contract"].to_pylist()) == {4}
    assert reject_bytes(table) == sum(
        len(body) + len(text)
        for body, text in zip(table["body"].to_pylist(), table["violations"].to_pylist(), strict=True)
    )
