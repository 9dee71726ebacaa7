"""Arrow at the door: the verdict and the rows of JSON, by value; and no stream can do harm."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from assay.contract.document import Contract, Field
from assay.contract.versions import Active
from assay.errors import AssayError, BadBody, TooLarge, UnsupportedType
from assay.ingest.arrow_stream import read_batches
from assay.ingest.fastpath import fast_path
from assay.ingest.intake import Form, take
from assay.ingest.outcome import Outcome
from assay.ingest.payload import unpack_rejects
from assay.ingest.record import Kind, Record, Stored
from assay.ingest.validate import Judge
from assay.ingest.work import Unpacker
from tests.conftest import NUMBER, Bench, Service, until
from tests.strategies import contracts, events, field_schemas

ARROW = "application/vnd.apache.arrow.stream"
INTEGER, STRING, BOOLEAN = {"type": "integer"}, {"type": "string"}, {"type": "boolean"}
MIB = 1 << 20


def stream(*batches: pa.RecordBatch, compression: str | None = None, schema: pa.Schema | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batches[0].schema if schema is None else schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def columns(**arrays: Any) -> bytes:
    made = {name: each if isinstance(each, pa.Array) else pa.array(each) for name, each in arrays.items()}
    return stream(pa.record_batch(list(made.values()), names=list(made)))


def judge_of(properties: Mapping[str, Any], mode: Any = "enforce", **keywords: Any) -> Judge:
    schema = {"type": "object", "properties": dict(properties), **keywords}
    return Judge(Contract.parse(schema, dataset="d", version=1), Active(1, mode))


def taken(body: bytes, judge: Judge | None, form: Form = "arrow", **options: Any) -> tuple[Outcome, list[Record]]:
    return take(body, form, dataset="d", judge=judge, source="s", content_type=ARROW, received_us=0, **options)


def verdict(outcome: Outcome) -> Any:
    assert outcome.judge is not None
    rejected = [(each.index, [(found.loc, found.type) for found in each.violations]) for each in outcome.rejected]
    unexpected = outcome.unexpected + sum(map(outcome.judge.unexpected, outcome.values))
    return outcome.accepted, outcome.flagged, rejected, unexpected


def rows(records: Sequence[Record]) -> list[Any]:
    """What the store would get, in no order."""
    stored = [
        Stored(each.kind, each.dataset, each.contract, each.source, "", 0, each.events, each.payload, seq, "x")
        for seq, each in enumerate(records)
        if each.kind is not Kind.REJECTS
    ]
    unpacker = Unpacker(keep_unknown=True)
    found = []
    for _, table in unpacker.tables(unpacker.work(stored)):
        for row in table.to_pylist():
            extra = row.pop("_extra")
            found.append(repr(list(row.items())) + json.dumps(extra and json.loads(extra), sort_keys=True))
    return sorted(found)


# ---- the law: one verdict, one row, whatever the format


def array_of(data: st.DataObject, values: list[Any]) -> pa.Array:
    """A column of as many of the values as one type holds; the others are null."""
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        kind = next(type(value) for value in values if value is not None)
        fits = [value if type(value) is kind and (kind is not int or abs(value) < 2**63) else None for value in values]
        try:
            array = pa.array(fits)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            array = pa.nulls(len(values))
    others: list[Callable[[], pa.Array]] = [lambda: array]
    if pa.types.is_string(array.type):
        others += [
            lambda: array.cast(pa.large_string()),
            lambda: array.cast(pa.string_view()),
            array.dictionary_encode,
            lambda: pa.array([None, *array.to_pylist()]).slice(1),
        ]
    if pa.types.is_int64(array.type):
        names = (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.uint64())
        others += [lambda kind=kind: array.cast(kind) for kind in names]  # type: ignore[misc]
        others.append(lambda: array.cast(pa.decimal128(38, 0)))
    if pa.types.is_floating(array.type):
        others.append(lambda: array.cast(pa.float32()))
    try:
        return data.draw(st.sampled_from(others))()
    except pa.ArrowInvalid:
        return array


def meant(value: Any, field: Field | None) -> Any:
    """A cell as the interface says: a null is a null where the field may be null, else it is missing."""
    if isinstance(value, dict):
        known = {child.name: child for child in field.properties} if field else {}
        return {
            name: meant(each, known.get(name))
            for name, each in value.items()
            if each is not None or (name in known and known[name].nullable)
        }
    if isinstance(value, list):
        return [meant(each, field.items if field else None) for each in value]
    return int(value) if isinstance(value, Decimal) else value


@st.composite
def flat_contracts(draw: st.DrawFn) -> Contract:
    """Contracts that are judged by column."""
    fields = field_schemas(0).filter(lambda schema: isinstance(schema, dict) and "type" in schema)
    properties = draw(st.dictionaries(st.sampled_from(["a", "b", "é", "model_config"]), fields, min_size=1, max_size=3))
    schema = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if draw(st.booleans())],
        "additionalProperties": draw(st.booleans()),
    }
    contract = Contract.parse(schema, dataset="d", version=1)
    assume(fast_path(contract) is not None)
    return contract


@pytest.mark.parametrize("made", [contracts(), flat_contracts()], ids=["any", "flat"])
@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_the_verdict_and_the_rows_are_those_of_json(made: st.SearchStrategy[Contract], data: st.DataObject) -> None:
    contract = data.draw(made)
    judge = Judge(contract, Active(1, data.draw(st.sampled_from(["enforce", "observe"]))))
    sent = data.draw(st.lists(events(contract), min_size=1, max_size=6))
    names = list(dict.fromkeys(name for event in sent for name in event))
    arrays = [array_of(data, [event.get(name) for event in sent]) for name in names]
    if not arrays:
        return
    compression = data.draw(st.sampled_from([None, "lz4", "zstd"]))
    batch = pa.record_batch(arrays, names=names)
    means = [
        meant(dict(zip(names, row, strict=True)), contract.root)
        for row in zip(*(array.to_pylist() for array in arrays), strict=True)
    ]
    try:
        lines = b"\n".join(json.dumps(event, allow_nan=False).encode() for event in means)
    except ValueError:
        return
    cut = data.draw(st.integers(0, len(sent)))
    arrow, arrow_records = taken(stream(batch.slice(0, cut), batch.slice(cut), compression=compression), judge)
    plain, plain_records = taken(lines, judge, "ndjson")
    assert verdict(arrow) == verdict(plain)
    assert rows(arrow_records) == rows(plain_records)
    # What is in quarantine is judged again as it was.
    for record in arrow_records:
        if record.kind is Kind.REJECTS:
            for kept, rejected in zip(kept_bodies(record), arrow.rejected, strict=True):
                (again,) = taken(kept, judge)[0].rejected
                assert [(v.loc, v.type) for v in again.violations] == [(v.loc, v.type) for v in rejected.violations]


def kept_bodies(record: Record) -> list[bytes]:
    return [each.body for each in unpack_rejects(record.payload)]


# ---- types, one by one

MOMENT = datetime(2026, 2, 3, 4, 5, 6, 700_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("array", "value"),
    [
        pytest.param(pa.array([5], pa.int8()), 5, id="int8"),
        pytest.param(pa.array([200], pa.uint8()), 200, id="uint8"),
        pytest.param(pa.array([2**64 - 1], pa.uint64()), 2**64 - 1, id="uint64 beyond int64"),
        pytest.param(pa.array([2**63 - 1], pa.uint64()), 2**63 - 1, id="uint64"),
        pytest.param(pa.array([np.float16(1.5)], pa.float16()), 1.5, id="float16"),
        pytest.param(pa.array([0.1], pa.float32()), 0.10000000149011612, id="float32"),
        pytest.param(pa.array([True]), True, id="bool"),
        pytest.param(pa.array(["é"]), "é", id="string"),
        pytest.param(pa.array(["é"], pa.large_string()), "é", id="large string"),
        pytest.param(pa.array(["é" * 20], pa.string_view()), "é" * 20, id="string view"),
        pytest.param(pa.array(["a"]).dictionary_encode(), "a", id="dictionary"),
        pytest.param(pa.array([7], pa.dictionary(pa.uint8(), pa.int16())), 7, id="dictionary of integers"),
        pytest.param(pa.array([Decimal("12.50")]), 12.5, id="decimal"),
        pytest.param(pa.array([Decimal("0.00000000000001")], pa.decimal128(38, 20)), 1e-14, id="a small decimal"),
        pytest.param(pa.array([Decimal(10**30)], pa.decimal128(38, 0)), 10**30, id="a large decimal"),
        pytest.param(pa.array([Decimal(7)], pa.decimal256(60, 0)), 7, id="a wide decimal"),
        pytest.param(pa.array([date(2026, 2, 3)]), "2026-02-03", id="date32"),
        pytest.param(pa.array([date(2026, 2, 3)], pa.date64()), "2026-02-03", id="date64"),
        pytest.param(pa.array([time(4, 5, 6)], pa.time32("s")), "04:05:06", id="time32"),
        pytest.param(pa.array([time(4, 5, 6, 70)], pa.time64("ns")), "04:05:06.00007", id="time64"),
        pytest.param(pa.array([MOMENT], pa.timestamp("s", "UTC")), "2026-02-03T04:05:06Z", id="seconds"),
        pytest.param(pa.array([MOMENT], pa.timestamp("ms", "UTC")), "2026-02-03T04:05:06.7Z", id="milliseconds"),
        pytest.param(pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin")), "2026-02-03T04:05:06.7Z", id="a zone"),
        pytest.param(pa.array([1], pa.timestamp("ns", "No/Where")), "1970-01-01T00:00:00.000000001Z", id="ns"),
        pytest.param(
            # Not from a datetime: once pandera is imported PyArrow takes its offset for nothing.
            pa.array([round(MOMENT.timestamp() * 10) * 10**8], pa.timestamp("ns", "+01:00")),
            "2026-02-03T04:05:06.7Z",
            id="+01",
        ),
        pytest.param(pa.array([[1, None]], pa.list_(pa.uint8())), [1, None], id="list"),
        pytest.param(pa.array([["a"]], pa.large_list(pa.string_view())), ["a"], id="large list"),
        pytest.param(pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [1, 2], id="fixed-size list"),
        pytest.param(pa.array([{"a": 1, "b": None}]), {"a": 1}, id="struct"),
        pytest.param(
            pa.array([[{"a": MOMENT}]], pa.list_(pa.struct([("a", pa.timestamp("us", "UTC"))]))),
            [{"a": "2026-02-03T04:05:06.7Z"}],
            id="nested",
        ),
        pytest.param(pa.array([{}], pa.struct([])), {}, id="a struct of nothing"),
        pytest.param(
            pa.ListArray.from_arrays([0, 2], pa.array(["a", "a"]).dictionary_encode()),
            ["a", "a"],
            id="nested dictionary",
        ),
    ],
)
def test_a_value_counts_as_json(array: pa.Array, value: Any) -> None:
    """In a field of any type, in a field that nobody named, and while learning."""
    for judge in (judge_of({"x": {}}), judge_of({"y": INTEGER}), None):
        outcome, records = taken(columns(x=array), judge)
        assert outcome.ok
        if judge is not None:
            assert rows(records) == rows(taken(json.dumps({"x": value}).encode(), judge, "json")[1])
    (record,) = records
    assert json.loads(record.payload) == [{"x": meant_learning(array, value)}]


def meant_learning(array: pa.Array, value: Any) -> Any:
    return {**value, "b": None} if isinstance(value, dict) and array.type.num_fields == 2 else value


@pytest.mark.parametrize(
    ("schema", "array", "kinds"),
    [
        pytest.param(
            INTEGER,
            pa.array([1.0, 1.5, np.nan, np.inf, 2.0**60]),
            [None, "int_type", "finite_number", "finite_number", None],
            id="doubles for integers",
        ),
        pytest.param(
            NUMBER,
            pa.array([1.0, np.nan, -np.inf, 101.0]),
            [None, "finite_number", "finite_number", "less_than_equal"],
            id="not finite",
        ),
        pytest.param({}, pa.array([1.0, np.nan]), [None, "finite_number"], id="not finite where anything may stand"),
        pytest.param({}, pa.array([[1.0], [np.nan]]), [None, "finite_number"], id="not finite, nested"),
        pytest.param(
            {"type": "number"}, pa.array([2**53 + 1, 5], pa.int64()), [None, None], id="large integers for numbers"
        ),
        pytest.param(INTEGER, pa.array([2**64 - 1, 5], pa.uint64()), [None, None], id="uint64"),
        pytest.param(
            INTEGER | {"maximum": 5}, pa.array([5, 6], pa.uint64()), [None, "less_than_equal"], id="bounded uint64"
        ),
        pytest.param(
            INTEGER | {"exclusiveMinimum": 0.5}, pa.array([0, 1]), ["greater_than", None], id="a fractional bound"
        ),
        pytest.param(
            INTEGER | {"minimum": 0, "exclusiveMinimum": -(2**70)},
            pa.array([0, -1]),
            [None, "greater_than_equal"],
            id="a bound beyond 64 bits",
        ),
        pytest.param(INTEGER | {"enum": [1, 2]}, pa.array([2, 3]), [None, "literal_error"], id="enum"),
        pytest.param(
            STRING | {"enum": ["a"]},
            pa.array(["a", "b"]).dictionary_encode(),
            [None, "literal_error"],
            id="enum of a dictionary",
        ),
        pytest.param(STRING | {"maxLength": 2}, pa.array(["😀😀", "abc"]), [None, "string_too_long"], id="code points"),
        pytest.param(
            STRING | {"pattern": r"^\d+$"}, pa.array(["1", "1\n"]), [None, "string_pattern_mismatch"], id="pattern"
        ),
        pytest.param(NUMBER | {"multipleOf": 0.01}, pa.array([19.99, 19.995]), [None, "multiple_of"], id="multipleOf"),
        pytest.param(INTEGER, pa.array([True]), ["int_type"], id="true is no integer"),
        pytest.param(BOOLEAN, pa.array([1]), ["bool_type"], id="1 is no boolean"),
        pytest.param(INTEGER, pa.array(["12"]), ["int_type"], id="text is no integer"),
        pytest.param({"type": ["integer", "null"]}, pa.array([None, 1]), [None, None], id="null"),
        pytest.param(INTEGER, pa.array([None, 1]), ["missing", None], id="null is missing"),
        pytest.param(
            INTEGER,
            pa.DictionaryArray.from_arrays([0, 1], pa.array([None, 1])),
            ["missing", None],
            id="null in a dictionary",
        ),
        pytest.param(INTEGER, pa.nulls(1), ["missing"], id="nothing but nulls"),
        pytest.param(
            STRING | {"format": "date"},
            pa.array([0, 3_000_000], pa.date32()),
            [None, "date_parsing"],
            id="date beyond 9999",
        ),
        pytest.param(
            STRING | {"format": "date-time"},
            pa.array([0, 2**62], pa.timestamp("s", "UTC")),
            [None, "datetime_parsing"],
            id="moment beyond 9999",
        ),
        pytest.param(
            STRING | {"format": "date-time"},
            pa.array(["2026-01-01T00:00:00Z", "2026-02-30T00:00:00Z"]),
            [None, "datetime_parsing"],
            id="no such day",
        ),
        pytest.param(
            STRING | {"format": "time"}, pa.array([time(1, 2, 3)]), ["time_parsing"], id="a time without a zone"
        ),
    ],
)
def test_the_verdict(schema: dict[str, Any], array: pa.Array, kinds: list[str | None]) -> None:
    outcome, _ = taken(columns(x=array), judge_of({"x": schema}, required=["x"]))
    found: list[str | None] = [None] * len(array)
    for each in outcome.rejected:
        found[each.index] = each.violations[0].type
    assert found == kinds
    assert outcome.accepted == kinds.count(None)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(pa.array([0, 1_500_000, None, -1], pa.timestamp("us", "UTC")), id="us"),
        pytest.param(pa.array([0, 1_500, None, 999_000], pa.timestamp("ns", "UTC")), id="ns"),
        pytest.param(
            pa.array([0, -62_135_596_801, -62_135_596_800, 253_402_300_799], pa.timestamp("s", "UTC")), id="s"
        ),
        pytest.param(
            pa.array(
                [
                    "0000-01-01T00:00:00Z",
                    "0001-01-01T00:00:00Z",
                    "2016-12-31T23:59:60Z",
                    "2026-01-01t00:00:00z",
                    "9999-12-31T23:59:59.1234567-23:59",
                    "9999-12-31T23:59:59-23:59",
                    "0001-01-01T00:00:00+23:59",
                ]
            ),
            id="text",
        ),
    ],
)
def test_moments_are_stored_as_those_of_json(values: pa.Array) -> None:
    judge = judge_of({"x": {"type": ["string", "null"], "format": "date-time"}})
    learned = json.loads(taken(columns(x=values), None)[1][0].payload)
    lines = b"\n".join(json.dumps(event).encode() for event in learned)
    arrow, plain = taken(columns(x=values), judge), taken(lines, judge, "ndjson")
    assert verdict(arrow[0]) == verdict(plain[0])
    assert rows(arrow[1]) == rows(plain[1])


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        pytest.param(pa.binary(), "x", id="binary"),
        pytest.param(pa.large_binary(), "x", id="large binary"),
        pytest.param(pa.binary(4), "x", id="fixed-size binary"),
        pytest.param(pa.timestamp("us"), "x", id="a moment without a zone"),
        pytest.param(pa.duration("s"), "x", id="duration"),
        pytest.param(pa.month_day_nano_interval(), "x", id="interval"),
        pytest.param(pa.map_(pa.string(), pa.int8()), "x", id="map"),
        pytest.param(pa.list_view(pa.int8()), "x", id="list view"),
        pytest.param(pa.run_end_encoded(pa.int32(), pa.int8()), "x", id="run-end encoded"),
        pytest.param(pa.sparse_union([pa.field("a", pa.int8())]), "x", id="union"),
        pytest.param(pa.decimal128(5, -2), "x", id="a decimal of hundreds"),
        pytest.param(pa.decimal128(2, 90), "x", id="a decimal of no scale that can be written"),
        pytest.param(pa.dictionary(pa.int8(), pa.binary()), "x", id="dictionary of binary"),
        pytest.param(pa.dictionary(pa.int8(), pa.list_(pa.int8())), "x", id="dictionary of lists"),
        pytest.param(pa.uuid(), "x", id="an extension"),
        pytest.param(pa.list_(pa.int8(), 0), "x", id="fixed-size lists of nothing"),
        pytest.param(pa.struct([("a", pa.list_(pa.binary()))]), "x.a[]", id="nested"),
    ],
)
def test_other_types_are_415_and_named(kind: pa.DataType, path: str) -> None:
    schema = pa.schema([("ok", pa.int8()), ("x", kind)])
    with pytest.raises(UnsupportedType, match=f'column "{path}"'.replace("[", r"\[").replace("]", r"\]")):
        taken(stream(schema=schema), judge_of({"x": {}}))


# ---- what is around the values


def test_columns_that_the_contract_does_not_name_go_to_extra() -> None:
    judge = judge_of({"x": INTEGER})
    body = columns(x=[1, 2, 3], y=[None, "a", "b"], z=[[1.5], None, [np.nan]])
    outcome, records = taken(body, judge)
    assert verdict(outcome) == (2, 0, [(2, [(("z",), "finite_number")])], 1 + 1 + 2)
    assert [record.kind for record in records] == [Kind.COLUMNS, Kind.REJECTS]
    assert ['{"z": [1.5]}' in row or '{"y": "a"}' in row for row in rows(records)] == [True, True]
    dropped, records = taken(body, judge, keep_unknown=False)
    assert verdict(dropped) == verdict(outcome)
    assert not any('"y"' in row for row in rows(records))


def test_columns_that_the_contract_forbids() -> None:
    judge = judge_of({"x": INTEGER}, additionalProperties=False)
    outcome, _ = taken(columns(x=[1, 2], y=[None, "a"]), judge)
    assert verdict(outcome)[:3] == (1, 0, [(1, [(("y",), "extra_forbidden")])])


def test_a_column_that_is_not_there_is_missing_even_where_null_may_stand() -> None:
    judge = judge_of({"x": {"type": ["integer", "null"]}, "y": INTEGER}, required=["x"])
    assert verdict(taken(columns(y=[1]), judge)[0])[2] == [(0, [(("x",), "missing")])]
    assert verdict(taken(columns(x=pa.nulls(1)), judge)[0])[0] == 1


@pytest.mark.parametrize(
    "judge", [judge_of({"x": INTEGER}), judge_of({"x": {}}), None], ids=["flat", "any", "learning"]
)
def test_streams_of_nothing(judge: Judge | None) -> None:
    schema = pa.schema([("x", pa.int8())])
    nothing = pa.record_batch([pa.array([], pa.int8())], schema=schema)
    for body in (stream(schema=schema), stream(nothing), stream(schema=pa.schema([]))):
        outcome, records = taken(body, judge)
        assert (outcome.ok, outcome.accepted, records) == (True, 0, [])


def test_in_observe_mode_what_json_cannot_say_is_said_as_text() -> None:
    judge = judge_of({"x": NUMBER}, "observe")
    outcome, records = taken(columns(x=[1.0, np.nan, -np.inf]), judge)
    assert (outcome.accepted, outcome.flagged) == (3, 2)
    assert sum('{"x": "NaN"}' in row for row in rows(records)) == 1
    assert sum('{"x": "-Infinity"}' in row for row in rows(records)) == 1


def test_while_learning_what_json_cannot_say_is_refused() -> None:
    outcome, records = taken(columns(x=[1.0, np.nan]), None)
    assert (outcome.accepted, [each.index for each in outcome.rejected]) == (1, [1])
    (body,) = kept_bodies(records[-1])
    assert np.isnan(pa.ipc.open_stream(body).read_all()["x"][0].as_py())


def test_atomic_is_all_or_nothing() -> None:
    outcome, records = taken(columns(a=[1.0, 200.0]), judge_of({"a": NUMBER}), atomic=True)
    assert (outcome.accepted, len(outcome.rejected)) == (0, 1)
    assert [record.kind for record in records] == [Kind.REJECTS]


def test_many_rows_keep_their_places() -> None:
    values = [float(i % 1000) for i in range(20_000)]
    outcome, records = taken(columns(a=values), judge_of({"a": NUMBER | {"maximum": 998}}))
    assert [each.index for each in outcome.rejected] == [i for i in range(20_000) if i % 1000 == 999]
    assert len(rows(records)) == outcome.accepted == 19_980


# ---- streams that are not what they say


BATCH = pa.record_batch({"a": [1.0, 2.0, None], "s": ["x", None, "yz"], "l": [[1], None, [2, 3]]})
JUDGE = judge_of({"a": NUMBER, "s": STRING, "l": {"type": "array", "items": INTEGER}})


def survives(body: bytes, judge: Judge | None = JUDGE) -> str:
    """What becomes of a body: a verdict, or one of three refusals; nothing else."""
    try:
        outcome, records = taken(body, judge, max_bytes=MIB)
    except (TooLarge, UnsupportedType) as error:
        return type(error).__name__
    if outcome.bad_body is not None:
        assert [kept_bodies(record) for record in records] == [[body]]
        return "BadBody"
    rows(records) if judge is not None else None
    return "verdict"


@pytest.mark.parametrize("cut", [*range(1, 40), 100, 200, 300, 400, 500, 600])
def test_a_stream_cut_short(cut: int) -> None:
    body = stream(BATCH, BATCH)
    found = survives(body[:-cut])
    assert found == ("verdict" if cut == 8 else "BadBody") or (found == "verdict" and cut in _boundaries(body))


def _boundaries(body: bytes) -> set[int]:
    """How far before the end each message ends: by the format, closing there is an end too."""
    source = pa.BufferReader(body)
    ends = {len(body)}
    for _ in pa.ipc.MessageReader.open_stream(source):
        ends.add(source.tell())
    return {len(body) - end for end in ends}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"a": 1}', id="JSON"),
        pytest.param(b"ARROW1\0\0" + stream(BATCH), id="a file, not a stream"),
        pytest.param(b"\xff" * 64, id="ones"),
        pytest.param(b"\0" * 64, id="zeros"),
        pytest.param(stream(BATCH) + stream(BATCH), id="two streams"),
        pytest.param(stream(BATCH) + b"\n", id="more behind it"),
        pytest.param(stream(pa.record_batch([pa.array([1]), pa.array([2])], names=["a", "a"])), id="two of one name"),
    ],
)
def test_what_is_no_stream_is_kept_whole(body: bytes) -> None:
    assert survives(body) == "BadBody"


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_no_flipped_bit_does_harm(compression: str | None) -> None:
    dice = random.Random(7)
    more = BATCH.append_column("d", pa.array(["p", "q", "p"]).dictionary_encode())
    more = more.append_column("v", pa.array(["p" * 20, None, "q"], pa.string_view()))
    more = more.append_column("t", pa.array([1, None, 2], pa.timestamp("s", "UTC")))
    body = stream(more, more, compression=compression)
    flat = judge_of(
        {"a": NUMBER, "s": STRING, "d": STRING, "v": STRING, "t": {"type": "string", "format": "date-time"}}
    )
    for round_ in range(300):
        broken = bytearray(body)
        for _ in range(dice.choice([1, 1, 2, 5])):
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        survives(bytes(broken), (JUDGE, flat, None)[round_ % 3])


def test_text_that_is_not_utf8_is_a_broken_stream() -> None:
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 1)), pa.py_buffer(b"\xff")])
    assert survives(columns(s=text), judge_of({"s": STRING})) == "BadBody"
    coded = pa.DictionaryArray.from_arrays(pa.array([0]), text)
    assert survives(columns(s=coded), judge_of({"s": STRING})) == "BadBody"


def test_nesting_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        kind = pa.int8()
        for _ in range(depth):
            kind = pa.list_(kind)
        return stream(schema=pa.schema([("x", kind)]))

    assert survives(nested(50)) == "verdict"
    assert survives(nested(80)) == "BadBody"


def test_a_nulls_view_may_point_anywhere() -> None:
    """PyArrow's own cast looks where it points, and the process ends."""
    wild = struct.pack("<iiii", 2**30, 0, 0, 2**30)
    buffers = [pa.py_buffer(b"\x02"), pa.py_buffer(wild + struct.pack("<i12s", 1, b"q"))]
    views = pa.Array.from_buffers(pa.string_view(), 2, buffers)
    for judge in (judge_of({"s": STRING}), judge_of({"s": {}}), None):
        assert taken(columns(s=views), judge)[0].accepted == 2


def test_items_beyond_the_last_list_are_of_no_row() -> None:
    kind = pa.list_(pa.int8(), 2)
    more = pa.Array.from_buffers(kind, 2, [None], children=[pa.array([1, 2, 3, 4, 5, 6], pa.int8())])
    batch = pa.record_batch({"l": more})
    outcome, _ = taken(stream(batch), JUDGE)
    assert outcome.accepted == 2


# ---- streams that are more than they look


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compression_counts_by_what_it_says(compression: str) -> None:
    bomb = stream(pa.record_batch({"a": pa.array(np.zeros(160_000))}), compression=compression)
    assert len(bomb) < MIB // 16
    assert survives(bomb) == "TooLarge"
    liar = bomb.replace(struct.pack("<q", 1_280_000), struct.pack("<q", 64))
    assert liar != bomb
    assert survives(liar) == "BadBody"
    huge = bomb.replace(struct.pack("<q", 1_280_000), struct.pack("<q", 2**62))
    assert survives(huge) == "TooLarge"
    negative = bomb.replace(struct.pack("<q", 1_280_000), struct.pack("<q", -2))
    assert survives(negative) == "BadBody"


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(pa.record_batch({"a": pa.nulls(MIB)}), id="nulls"),
        pytest.param(pa.record_batch({"a": pa.array(np.zeros(MIB, np.bool_))}), id="bits"),
        pytest.param(pa.record_batch({"a": pa.array([[None] * MIB], pa.list_(pa.null(), MIB))}), id="a list of nulls"),
        pytest.param(
            pa.record_batch({"a": pa.DictionaryArray.from_arrays(pa.array(np.zeros(100, np.int8)), ["x" * 20_000])}),
            id="one text, many times",
        ),
        pytest.param(
            pa.record_batch({"a": pa.array(["x" * 20_000] * 100).dictionary_encode().cast(pa.string())}), id="text"
        ),
        pytest.param(
            pa.record_batch(
                {"a": pa.ListArray.from_arrays([0, 100], pa.array(["x" * 20_000] * 100).dictionary_encode())}
            ),
            id="one text, many times, nested",
        ),
    ],
)
def test_what_unpacks_to_too_much(batch: pa.RecordBatch) -> None:
    for judge in (judge_of({"a": STRING}), judge_of({"a": {}}), None):
        assert survives(stream(batch), judge) == "TooLarge"


def test_one_text_seen_many_times() -> None:
    views = pa.array(["x" * 20_000], pa.string_view())
    buffers = views.buffers()
    many = pa.Array.from_buffers(
        views.type, 100, [None, pa.py_buffer(buffers[1].to_pybytes()[:16] * 100), *buffers[2:]]
    )
    assert survives(columns(a=many)) == "TooLarge"


def test_a_dictionary_for_every_batch_is_work_too() -> None:
    coded = pa.DictionaryArray.from_arrays(pa.array([0]), ["x" * 100_000, "y"])
    batch = pa.record_batch({"a": pa.DictionaryArray.from_arrays(pa.array([1]), coded.dictionary)})
    assert survives(stream(*[batch] * 10), judge_of({"a": STRING})) == "verdict"
    assert survives(stream(*[batch] * 200), judge_of({"a": STRING})) == "TooLarge"


def test_rows_that_make_too_much() -> None:
    names = [f"{'n' * 500}{i}" for i in range(20)]
    batch = pa.record_batch([pa.array(np.zeros(1_000, np.int8))] * 20, names=names)
    assert survives(stream(batch), judge_of({names[0]: STRING})) == "TooLarge"
    assert survives(stream(batch), None) == "TooLarge"


def test_too_many_columns() -> None:
    schema = pa.schema([(f"c{i}", pa.int8()) for i in range(10_001)])
    with pytest.raises(UnsupportedType, match="10,000 columns"):
        list(read_batches(stream(schema=schema), 64 * MIB))


@pytest.mark.parametrize("body", [stream(BATCH)[:-20], b"x"])
def test_reading_says_where_or_why(body: bytes) -> None:
    with pytest.raises(AssayError, match="Arrow stream") as caught:
        list(read_batches(body, MIB))
    assert isinstance(caught.value, BadBody)


# ---- through the whole service


def test_from_a_post_to_the_table_and_the_quarantine(shared: Service) -> None:
    body = columns(a=[1.5, 200.0, np.nan], s=["arrow", "no", "no"], new=["kept", None, None])
    answer = shared.send("/collect/d", body, ARROW)
    assert answer.status_code == 200
    document = answer.json()
    assert (document["ok"], document["accepted"], document["rejected"]) == (False, 1, 2)
    told = [(each["index"], each["loc"], each["type"]) for each in document["errors"]]
    assert told == [(1, ["a"], "less_than_equal"), (2, ["a"], "finite_number")]
    assert shared.rows("SELECT a, _extra FROM d WHERE s = 'arrow'") == [(1.5, '{"new":"kept"}')]
    for error in document["errors"]:
        ((kept, kind),) = shared.rows(
            f"SELECT body, content_type FROM _quarantine WHERE id = '{error['quarantine_id']}'"
        )
        assert kind == ARROW
        assert pa.ipc.open_stream(kept).read_all().num_rows == 1
        again = shared.send("/validate/d", kept, ARROW).json()
        assert [(each["loc"], each["type"]) for each in again["errors"]] == [(error["loc"], error["type"])]
    assert shared.send("/collect/d?atomic=true", body, ARROW).status_code == 422


def test_refusals_of_streams(shared: Service) -> None:
    broken = columns(a=[1.5])[:-30]
    answer = shared.send("/collect/d", broken, ARROW)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:assay:problem:bad-body")
    query = f"SELECT body FROM _quarantine WHERE id = '{answer.json()['quarantine_id']}'"
    assert shared.rows(query) == [broken]
    answer = shared.send("/collect/d", columns(a=pa.array([b"x"])), ARROW)
    assert answer.status_code == 415
    assert 'column "a"' in answer.json()["detail"]


def test_bounds_of_streams(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service(max_body_bytes=100_000) as service:
        bomb = stream(pa.record_batch({"a": pa.array(np.zeros(50_000))}), compression="zstd")
        answer = service.send("/collect/d", bomb, ARROW)
        assert answer.status_code == 413
        assert "Arrow stream" in answer.json()["detail"]
        assert service.send("/collect/d", columns(a=[1.0] * 5_000), ARROW).json() == {"ok": True, "accepted": 5_000}
        assert until(lambda: service.counted("d")[0] == 5_000)


def test_learning_from_streams(bench: Bench) -> None:
    with bench.service(open_datasets=True) as service:
        answer = service.send("/collect/new", columns(a=[1, 2], t=pa.array([0, 1], pa.timestamp("s", "UTC"))), ARROW)
        assert answer.json() == {"ok": True, "accepted": 2}
        bodies = service.rows("SELECT body FROM _learning WHERE dataset = 'new' ORDER BY body")
    assert [json.loads(body) for body in bodies] == [
        {"a": 1, "t": "1970-01-01T00:00:00Z"},
        {"a": 2, "t": "1970-01-01T00:00:01Z"},
    ]
