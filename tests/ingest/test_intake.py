"""A body to its outcome and the records that make it durable; nothing is written."""

from __future__ import annotations

from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active, Mode
from assay.ingest import payload
from assay.ingest.intake import Form, take
from assay.ingest.record import Kind
from assay.ingest.validate import Judge

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
