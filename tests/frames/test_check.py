"""Frames and files get the verdict that the service would give each row as an event."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assay.contract.document import Contract, Field
from assay.contract.versions import Active
from assay.errors import UsageError
from assay.frames import sources
from assay.frames.check import check
from assay.frames.report import Report
from assay.ingest.decode import decode_event
from assay.ingest.validate import Judge
from assay.profile.learn import learn
from assay.profile.relation import profile
from tests.strategies import contracts, events

INTEGER, NUMBER, STRING = {"type": "integer"}, {"type": "number"}, {"type": "string"}
FLAT = {"a": INTEGER | {"minimum": 0}, "b": NUMBER | {"maximum": 9.5}, "s": STRING | {"enum": ["x", "y"]}}
ROWS: list[dict[str, Any]] = [
    {"a": 1, "b": 0.5, "s": "x"},
    {"a": -1, "b": 0.5, "s": "x"},
    {"a": 2, "b": 10.5, "s": "z"},
    {"a": None, "b": 1.5, "s": "y"},
    {"a": 3, "b": None, "s": None},
]
BAD = {1: {("a", "greater_than_equal")}, 2: {("b", "less_than_equal"), ("s", "literal_error")}, 3: {("a", "missing")}}


def contract(properties: Mapping[str, Any], **keywords: Any) -> Contract:
    return Contract.parse({"type": "object", "properties": properties, **keywords}, dataset="d", version=1)


FLAT_CONTRACT = contract(FLAT, required=["a"])


def found(report: Report) -> dict[int, set[tuple[str, str]]]:
    """The kinds of violations of each bad row."""
    rows = report.rows()
    return {
        row: {(".".join(map(str, each["loc"])), each["type"]) for each in json.loads(text)}
        for row, text in zip(rows["_row"].to_pylist(), rows["_violations"].to_pylist(), strict=True)
    }


def parquet(rows: list[dict[str, Any]], folder: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=2)
    return folder / "rows.parquet"


def arrow(rows: list[dict[str, Any]], folder: Path) -> Path:
    pyarrow.feather.write_feather(pa.Table.from_pylist(rows), str(folder / "rows.arrow"))
    return folder / "rows.arrow"


def csv(rows: list[dict[str, Any]], folder: Path) -> Path:
    pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(
        json.dumps({name: cell for name, cell in row.items() if cell is not None}).encode() for row in rows
    )


def written(name: str, pack: Callable[[list[dict[str, Any]]], bytes]) -> Callable[[list[dict[str, Any]], Path], Path]:
    def write(rows: list[dict[str, Any]], folder: Path) -> Path:
        (folder / name).write_bytes(pack(rows))
        return folder / name

    return write


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda rows, _: pd.DataFrame(rows), id="pandas"),
        pytest.param(lambda rows, _: pl.DataFrame(rows), id="Polars"),
        pytest.param(lambda rows, _: pl.DataFrame(rows).lazy(), id="lazy Polars"),
        pytest.param(lambda rows, _: pa.Table.from_pylist(rows), id="a table"),
        pytest.param(lambda rows, _: pa.RecordBatch.from_pylist(rows), id="a batch"),
        pytest.param(lambda rows, _: pa.Table.from_pylist(rows).to_reader(), id="a reader"),
        pytest.param(parquet, id="Parquet"),
        pytest.param(arrow, id="an Arrow file"),
        pytest.param(csv, id="CSV"),
        pytest.param(written("r.ndjson", lines), id="NDJSON"),
        pytest.param(written("r.jsonl.gz", lambda rows: gzip.compress(lines(rows))), id="NDJSON, gzip"),
        pytest.param(written("r.ndjson.zst", lambda rows: zstandard.compress(lines(rows))), id="NDJSON, zstd"),
        pytest.param(written("r.json", lambda rows: b"[" + lines(rows).replace(b"\n", b",\n") + b"]"), id="an array"),
        pytest.param(written("l.json", lines), id="lines called JSON"),
    ],
)
def test_every_source_gives_the_same_verdict(
    make: Callable[[list[dict[str, Any]], Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_ROWS", 2)  # several parts, slices among them
    report = check(make(ROWS, tmp_path), FLAT_CONTRACT)
    assert found(report) == BAD
    assert (report.rows_seen, report.bad, report.ok) == (5, 3, False)
    assert [(each.field, each.type, each.count, each.first_rows) for each in report.violations] == [
        ("a", "greater_than_equal", 1, [1]),
        ("a", "missing", 1, [3]),
        ("b", "less_than_equal", 1, [2]),
        ("s", "literal_error", 1, [2]),
    ]


def test_a_relation_of_duckdb_and_its_json() -> None:
    with duckdb.connect() as con:
        relation = con.sql(
            """SELECT * FROM (VALUES (1, '{"k": 1}'::JSON), (2, '{"k": "x"}'::JSON), (3, NULL)) t(a, o)"""
        )
        report = check(relation, contract({"a": INTEGER, "o": {"type": "object", "properties": {"k": INTEGER}}}))
    assert found(report) == {1: {("o.k", "int_type")}}


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_uuids_and_json_of_a_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"r.{kind}"
    with duckdb.connect() as con:
        con.execute(
            f"""COPY (SELECT * FROM (VALUES
                ('4ac7c1e0-6bd5-4b52-8f0c-3b7b7ba1f0aa'::UUID, '{{"k": 1}}'::JSON),
                (NULL, '{{"k": "x"}}'::JSON),
                ('00000000-0000-0000-0000-000000000000'::UUID, NULL)) t(u, o)) TO '{tmp_path}/r.parquet'"""
        )
    if kind == "arrow":
        pyarrow.feather.write_feather(pq.read_table(tmp_path / "r.parquet"), str(path))
    judged = contract(
        {"u": STRING | {"format": "uuid", "pattern": "^4"}, "o": {"type": "object", "properties": {"k": INTEGER}}}
    )
    report = check(path, judged)
    assert found(report) == {1: {("o.k", "int_type")}, 2: {("u", "string_pattern_mismatch")}}
    assert report.rows().select(["u", "o"]).to_pylist() == [
        {"u": None, "o": '{"k": "x"}'},
        {"u": "00000000-0000-0000-0000-000000000000", "o": None},
    ]
    assert check(path, learned_by_type(path)).ok


def learned_by_type(path: Path) -> Contract:
    """The contract that says of each field what the profile of a file says."""
    fields = profile(path).fields
    return contract({field.name: {"type": [*(field.types.keys() - {"absent"}), "null"]} for field in fields})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("r.ndjson", b'{"a":1}\n{"a":2}\n', id="lines"),
        pytest.param("r.ndjson.gz", gzip.compress(b'\xef\xbb\xbf{"a":1}\n{"a":2}\n'), id="lines, gzip"),
        pytest.param("r.ndjson.zst", zstandard.compress(b'\xef\xbb\xbf{"a":1}\n{"a":2}\n'), id="lines, zstd"),
        pytest.param("r.json", b'{"a":1}\n{"a":2}\n', id="lines called JSON"),
        pytest.param("r.json", b' [{"a":1},\n{"a":2}]', id="an array"),
        pytest.param("r.csv", b"a\n1\n2\n", id="CSV"),
    ],
)
def test_a_byte_order_mark_at_the_start_of_a_file_is_skipped(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content if name.endswith((".gz", ".zst")) else b"\xef\xbb\xbf" + content)
    measured = profile(path)
    assert (measured.rows, [dict(field.types) for field in measured.fields]) == (2, [{"integer": 2}])
    report = check(path, FLAT_CONTRACT)
    assert (report.rows_seen, report.ok) == (2, True)


def test_one_event_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text('{\n  "a": -1\n}\n')
    report = check(path, FLAT_CONTRACT)
    assert (found(report), report.rows_seen) == ({0: {("a", "greater_than_equal")}}, 1)


def test_a_broken_line_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "r.ndjson"
    path.write_bytes(b'{"a": 1}\n\n{"a": \n[1]\n{"a": 2}\n{"a": \xff}')
    report = check(path, FLAT_CONTRACT)
    assert found(report) == {
        2: {("", "json_invalid")},
        3: {("", "model_type")},
        5: {("", "json_invalid")},
    }
    assert report.rows_seen == 5
    assert report.rows()["_body"].to_pylist() == ['{"a":', "[1]", '{"a": \N{REPLACEMENT CHARACTER}}']


def test_the_bad_rows_come_with_their_columns() -> None:
    rows = [{"a": -1, "_row": 7, "more": [1]}, {"a": 1, "_row": 8, "more": []}]
    report = check(pa.Table.from_pylist(rows), FLAT_CONTRACT)
    kept = report.rows().to_pylist()
    assert [(row["a"], row["_row"], row["more"], row["_row_"]) for row in kept] == [(-1, 7, [1], 0)]
    assert check(pa.Table.from_pylist([{"a": 1}]), FLAT_CONTRACT).rows().num_rows == 0


def test_objects_of_several_types_in_pandas() -> None:
    frame = pd.DataFrame({"a": [1, "x", None, 2**70]})
    assert found(check(frame, contract({"a": INTEGER}))) == {1: {("a", "int_type")}}


@pytest.mark.parametrize(
    ("cell", "schema", "ok"),
    [
        pytest.param(datetime(2026, 1, 1, tzinfo=UTC), STRING | {"format": "date-time"}, True, id="a moment"),
        pytest.param(datetime(2026, 1, 1), STRING | {"format": "date-time"}, True, id="a time without a zone"),  # noqa: DTZ001
        pytest.param(date(2026, 1, 1), STRING | {"format": "date"}, True, id="a date"),
        pytest.param(date(2026, 1, 1), STRING | {"format": "date-time"}, False, id="a date is no moment"),
        pytest.param(Decimal("1.25"), NUMBER | {"multipleOf": 0.25}, True, id="a decimal"),
        pytest.param(Decimal("1.25"), INTEGER, False, id="a decimal is no integer"),
        pytest.param(1.0, INTEGER, True, id="an integral number"),
        pytest.param(float("nan"), NUMBER, False, id="NaN"),
        pytest.param(float("inf"), {}, False, id="infinity, anywhere"),
        pytest.param(True, INTEGER, False, id="no boolean is a number"),
        pytest.param([1, 2], {"type": "array", "items": INTEGER, "maxItems": 1}, False, id="a list too long"),
        pytest.param({"k": 1.5}, {"type": "object", "properties": {"k": INTEGER}}, False, id="below"),
    ],
)
def test_a_cell(cell: Any, schema: dict[str, Any], ok: bool) -> None:  # noqa: FBT001
    table = pa.table({"x": [cell]})
    assert check(table, contract({"x": schema})).ok is ok


@pytest.mark.parametrize(
    ("cells", "schema", "bad"),
    [
        pytest.param([1, 2, 4], INTEGER | {"enum": [1, 2, 4]}, [], id="a list of values"),
        pytest.param([1, 3, 4], INTEGER | {"enum": [1, 2, 4]}, [1], id="between two values of a list"),
        pytest.param([1, 3, 4], INTEGER | {"enum": [1, 1, 4, 4]}, [1], id="a list that says values twice"),
        pytest.param([1, 2, 3], INTEGER | {"enum": [1, 2, 3], "maximum": 2}, [2], id="a list and a bound"),
        pytest.param([0.5, float("nan"), 0.7], NUMBER | {"minimum": 0, "maximum": 1}, [1], id="NaN among good ones"),
        pytest.param([0.5, float("inf")], NUMBER | {"minimum": 0}, [1], id="infinity without a bound"),
        pytest.param([0.0, 1.0], NUMBER | {"exclusiveMinimum": 0, "maximum": 1}, [0], id="the bound itself, excluded"),
        pytest.param([1, 2**63], INTEGER | {"minimum": 0}, [], id="beyond 64 bits"),
        pytest.param([1, None, 3], INTEGER | {"minimum": 0}, [1], id="a null"),
        pytest.param([2, 4, 5], INTEGER | {"minimum": 0, "maximum": 9, "multipleOf": 2}, [2], id="a multiple"),
        pytest.param([True, False], INTEGER | {"minimum": 0, "maximum": 1}, [0, 1], id="booleans"),
    ],
)
def test_a_column_of_numbers(cells: list[Any], schema: dict[str, Any], bad: list[int]) -> None:
    array = pa.array(cells, pa.uint64()) if 2**63 in cells else pa.array(cells)
    for table in (pa.table({"x": array}), pa.table({"x": pa.concat_arrays([array[:1], array])}).slice(1)):
        assert sorted(found(check(table, contract({"x": schema}, required=["x"])))) == bad


def test_what_is_inside_may_be_a_slice_itself() -> None:
    lists = pa.array([[9], [1, 2], None, [200]], pa.list_(pa.int32())).slice(1)
    inside = pa.StructArray.from_arrays([lists, pa.array([0.5, None, 1.5])], ["l", "a"])
    within = {"l": {"type": "array", "items": INTEGER | {"maximum": 99}}, "a": NUMBER | {"maximum": 1}}
    structs = contract({"o": {"type": "object", "properties": within}})
    assert set(found(check(pa.table({"o": inside}), structs))) == {2}
    nested = pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), lists)
    some = contract({"x": {"type": "array", "items": within["l"]}})
    assert set(found(check(pa.table({"x": nested}), some))) == {0, 1}


def test_unknown_columns_cost_nothing_and_may_be_forbidden() -> None:
    table = pa.table({"a": [1, 2], "more": ["x", None], "f": [1.5, float("nan")]})
    assert found(check(table, FLAT_CONTRACT)) == {1: {("f", "finite_number")}}
    closed = contract({"a": INTEGER, "f": {}}, additionalProperties=False)
    assert found(check(table.drop_columns("f"), closed)) == {0: {("more", "extra_forbidden")}}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param(pa.table({"x": [b"x"]}), 'column "x" has the Arrow type binary', id="bytes"),
        pytest.param(
            pa.table({"x": pa.nulls(1, pa.list_(pa.uuid()))}),
            r'column "x\[\]" has the Arrow type extension<arrow.uuid>, which is not taken; text, numbers',
            id="UUIDs in a list",
        ),
        pytest.param(pa.table([[1], [2]], names=["x", "x"]), 'two columns are named "x"', id="two of a name"),
        pytest.param({"x": [1]}, "a dict cannot be checked", id="a dictionary"),
        pytest.param("nothing.csv", "is no file", id="no file"),
    ],
)
def test_what_cannot_be_checked_is_said(source: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check(source, FLAT_CONTRACT)


@pytest.mark.parametrize("name", ["r.parquet", "r.arrow", "r.json", "r.csv", "r.ndjson.gz", "r.ndjson.zst"])
def test_a_file_that_is_not_what_it_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"[1, \xff\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        check(tmp_path / name, FLAT_CONTRACT)


def test_it_tells_how_far_it_is() -> None:
    shares: list[float] = []
    check(pa.table({"a": range(200_000)}), FLAT_CONTRACT, progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert shares[-1] == 1.0


# ---- CSV, in which everything is text


@pytest.mark.parametrize(
    ("schema", "cells", "bad"),
    [
        pytest.param(STRING | {"pattern": "^[0-9]{5}$"}, ["50667", "", "80331", "1067"], [3], id="zip codes"),
        pytest.param(STRING | {"enum": ["1.50", "2"]}, ["1.50", "2", "1.5"], [2], id="amounts"),
        pytest.param(STRING | {"pattern": r"^\d\d\.\d\d\.\d{4}$"}, ["04.03.2026", "5.03.2026"], [1], id="days"),
        pytest.param(STRING | {"maxLength": 4}, ["9:05", "10:05"], [1], id="times of day"),
        pytest.param(STRING | {"enum": ["true", "no"]}, ["true", "false"], [1], id="truth"),
        pytest.param({"type": ["string", "null"]}, ["1", "", "2"], [], id="null where it may be"),
        pytest.param(STRING | {"format": "date"}, ["2026-01-02", "2026-01-03"], [], id="dates"),
        pytest.param(STRING | {"format": "date-time"}, ["2026-01-02 03:04:05"], [], id="moments"),
        pytest.param(STRING | {"format": "date"}, ["20260102", "7"], [0, 1], id="numbers where dates should be"),
        pytest.param(STRING | {"format": "date-time"}, ["03:04:05"], [0], id="times where moments should be"),
        pytest.param({"type": ["string", "integer"]}, ["1", "2"], [], id="text or a number"),
        pytest.param(
            INTEGER,
            ["1", "x", " 2", "+3", "004", "5.5", "true", "1e400", "nan", ""],
            [1, 5, 6, 7, 8],
            id="numbers, and text",
        ),
        pytest.param(NUMBER | {"maximum": 9}, ["1.5", "x", "10", ".5", "1e1"], [1, 2, 4], id="amounts, and text"),
        pytest.param(INTEGER, ["1", "", "2"], [], id="a number, or nothing"),
        pytest.param({"type": "boolean"}, ["true", "FALSE", "1", "maybe"], [2, 3], id="truth, and more"),
        pytest.param({"type": ["integer", "null"]}, ["1", "", "x"], [2], id="numbers, nothing, and text"),
        pytest.param(
            STRING | {"format": "date-time"},
            ["2026-01-02 03:04:05", "2026-01-02T03:04:05.5+01:00", "soon"],
            [2],
            id="moments, and text",
        ),
        pytest.param(
            STRING | {"format": "date"}, ["2026-01-02", "", "soon", "2026-02-30"], [2, 3], id="days, and text"
        ),
        pytest.param(
            STRING | {"format": "date"},
            ["04.03.2026", "5.3.2026", "soon", "31.02.2026", "2026-03-04x"],
            [2, 3, 4],
            id="German days, and text",
        ),
        pytest.param(
            STRING | {"format": "date", "pattern": "^2026-03"},
            ["03/31/2026", "03/30/2026", "03/04/2026", "04/03/2026", "n/a", "31/03/2026"],
            [3, 4, 5],
            id="American days, and text",
        ),
        pytest.param(STRING | {"format": "date"}, ["soon", "later"], [0, 1], id="no day at all"),
        pytest.param({}, ["1", "x"], [], id="anything"),
    ],
)
def test_the_contract_says_what_is_text_in_a_csv(
    tmp_path: Path, schema: dict[str, Any], cells: list[str], bad: list[int]
) -> None:
    path = tmp_path / "r.csv"
    path.write_text("n,x\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells)))
    report = check(path, contract({"n": INTEGER, "x": schema}))
    assert report.rows_seen == len(cells)
    assert {row: {kind for _, kind in kinds} for row, kinds in found(report).items()}.keys() == set(bad)


def test_text_of_a_csv_may_begin_to_look_like_text_late(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("x\n" + "1\n" * 30_000 + "x\n")
    assert check(path, contract({"x": STRING})).ok
    report = check(path, contract({"x": INTEGER | {"maximum": 1}}))
    assert found(report) == {30_000: {("x", "int_type")}}


MOMENTS = st.integers(-(2**31), 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
#: Cells as they stand in CSV, by what they look like to who guesses.
CELLS: dict[str, st.SearchStrategy[str]] = {
    "integer": st.integers(-(2**40), 2**40).map(str),
    "zip": st.integers(0, 99_999).map("{:05}".format),
    "number": st.floats(-1e9, 1e9).map("{:.2f}".format),
    "day": st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(str),
    "German day": st.dates(date(1900, 1, 1), date(2100, 1, 1)).map("{:%d.%m.%Y}".format),
    "American day": st.dates(date(1900, 1, 1), date(2100, 1, 1)).map("{:%m/%d/%Y}".format),
    "moment": MOMENTS.map("{:%Y-%m-%d %H:%M:%S}".format),
    "moment of a zone": MOMENTS.map("{:%Y-%m-%dT%H:%M:%S+02:00}".format),
    "time of day": st.times().map("{:%H:%M:%S}".format),
    "truth": st.sampled_from(["true", "false"]),
    "word": st.sampled_from(
        ["red", "green", "a-1", "1e5", "null"]
    ),  # NaN and inf are numbers to DuckDB, and none in JSON
    "nothing": st.just(""),
}


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_a_contract_learned_from_a_csv_accepts_it(data: st.DataObject) -> None:
    columns = []
    for looks in data.draw(st.lists(st.sets(st.sampled_from(sorted(CELLS)), min_size=1, max_size=2), min_size=1)):
        few = data.draw(st.lists(st.one_of(*(CELLS[each] for each in sorted(looks))), min_size=1, max_size=12))
        columns.append([few[row % len(few)] for row in range(data.draw(st.sampled_from([100, 600])))])
    rows = list(zip(range(600), *columns, strict=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.csv"
        header = ",".join(["id", *(f"c{i}" for i in range(len(columns)))])
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
        learned = learn(profile(path), dataset="d")
        report = check(path, learned)
    assert report.rows_seen == len(rows)
    assert report.ok, report.violations


# ---- the laws


@given(st.data())
@settings(max_examples=80)
def test_lines_are_judged_as_the_service_does(data: st.DataObject) -> None:
    judged = data.draw(contracts())
    bodies = []
    for event in data.draw(st.lists(events(judged), min_size=1, max_size=8)):
        try:
            bodies.append(json.dumps(event, allow_nan=False).encode())
        except ValueError:
            continue
    judge = Judge(judged, Active(1))
    expected = {place for place, body in enumerate(bodies) if judge.judge(decode_event(body).value)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.ndjson"
        path.write_bytes(b"\n".join(bodies))
        report = check(path, judged)
    assert set(found(report)) == expected
    assert report.rows_seen == len(bodies)


@given(st.data())
@settings(max_examples=120)
def test_columns_are_judged_as_the_service_does(data: st.DataObject) -> None:
    judged = data.draw(contracts(plain=data.draw(st.booleans())))
    rows = data.draw(st.lists(events(judged), min_size=1, max_size=8))
    try:
        table = pa.Table.from_pylist(rows, schema=None)
        sources._distinct(table.column_names)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        assume(False)
    assume(table.num_columns)
    judge = Judge(judged, Active(1))
    expected = {place for place, row in enumerate(table.to_pylist()) if judge.judge(without_missing(row, judged.root))}
    assert set(found(check(table, judged))) == expected


def without_missing(value: Any, field: Field | None) -> Any:
    """What a row's nulls mean: null where the field may be, and else a field that is missing."""
    if isinstance(value, list):
        return [without_missing(each, None if field is None else field.items) for each in value]
    if not isinstance(value, dict):
        return value
    known = {child.name: child for child in field.properties} if field is not None else {}
    return {
        name: without_missing(each, known.get(name))
        for name, each in value.items()
        if each is not None or (name in known and known[name].nullable)
    }
