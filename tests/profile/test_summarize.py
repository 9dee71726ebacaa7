from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.profile.document import FieldProfile, Numbers, Profile
from assay.profile.engine import Duck
from assay.profile.summarize import measure_table, summarize, summarize_events
from assay.sql import quoted

Connection = duckdb.DuckDBPyConnection
reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)

names = st.sampled_from(
    ["a", "A", "", "a.b", 'quo"te', "it's", "$", "na\u00efve \u2603", "a/b", "a~1b", "0", "new\nline", "\\"]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=4),
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3))
)
events = st.lists(st.dictionaries(names, values, max_size=4), min_size=1, max_size=30)


def profiled(con: Connection, events: list[Any]) -> Profile:
    con.execute("CREATE OR REPLACE TABLE learning (body VARCHAR)")
    con.execute("INSERT INTO learning SELECT unnest(?::VARCHAR[])", [[json.dumps(event) for event in events]])
    return summarize_events(con, "learning", dataset="d")


def json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {type(None): "null", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def check_field(field: FieldProfile, column: list[Any], missing: int) -> None:
    """`field` is what Python finds in the values of a column."""
    expected = Counter(json_type(value) for value in column)
    assert field.types == ({"missing": missing} if missing else {}) | {
        k: expected[k] for k in field.types if k != "missing"
    }
    assert sum(field.types.values()) == field.rows == len(column) + missing
    numbers = [value for value in column if json_type(value) in {"integer", "number"}]
    if numbers:
        assert field.numbers is not None
        assert field.numbers.count == len(numbers)
        assert (float(field.numbers.minimum), float(field.numbers.maximum)) == (
            float(min(numbers)),
            float(max(numbers)),
        )
        assert field.numbers.values is not None
        assert sum(field.numbers.counts) == len(numbers)
        tally = Counter(float(value) for value in numbers)
        found: Counter[float] = Counter()
        for value, rows in field.numbers.values:
            found[float(value)] += rows
        assert found == tally
    texts = [value for value in column if isinstance(value, str)]
    if texts:
        assert field.strings is not None
        assert field.strings.complete
        assert dict(field.strings.values) == Counter(texts)
        assert field.strings.lengths is not None
        assert field.strings.lengths.maximum == max(map(len, texts))
    objects = [value for value in column if isinstance(value, dict)]
    check_fields(field.fields, objects)
    items = [item for value in column if isinstance(value, list) for item in value]
    assert (field.items is not None) == bool(items)
    if field.items is not None:
        check_field(field.items, items, 0)


def check_fields(fields: tuple[FieldProfile, ...], objects: list[dict[str, Any]]) -> None:
    assert {field.name for field in fields} == {name for event in objects for name in event}
    for field in fields:
        column = [event[field.name] for event in objects if field.name in event]
        check_field(field, column, len(objects) - len(column))


@reuse
@given(events=events)
def test_events_are_counted_as_python_would(con: Connection, events: list[dict[str, Any]]) -> None:
    profile = profiled(con, events)
    assert (profile.rows, profile.skipped) == (len(events), 0)
    check_fields(profile.fields, events)
    assert Profile.parse(profile.to_json()) == profile
    assert Profile.parse(profile.to_json()).to_json() == profile.to_json()


@reuse
@given(column=st.lists(st.one_of(st.floats(), st.none()), min_size=1, max_size=60))
def test_doubles_are_measured_as_python_would(con: Connection, column: list[float | None]) -> None:
    con.execute("CREATE OR REPLACE TABLE t (x DOUBLE)")
    # As text: DuckDB 1.5 makes a NULL of a NaN on its way in.
    con.execute("INSERT INTO t SELECT unnest(?::VARCHAR[])::DOUBLE", [[x if x is None else repr(x) for x in column]])
    (field,) = summarize(con, "t").fields
    finite = sorted(x for x in column if x is not None and math.isfinite(x))
    assert field.nonfinite == sum(x is not None and not math.isfinite(x) for x in column)
    assert field.types.get("absent", 0) == len(column) - len(finite)
    if not finite:
        assert field.numbers is None
        return
    assert field.numbers is not None
    assert (field.numbers.minimum, field.numbers.maximum) == (finite[0], finite[-1])
    assert field.numbers.median == finite[math.ceil(0.5 * len(finite)) - 1]
    scale = max(abs(finite[0]), abs(finite[-1]))
    mean = float(sum(map(Fraction, finite), Fraction()) / len(finite))  # exactly, then rounded once
    assert math.isclose(field.numbers.mean, mean, rel_tol=1e-9, abs_tol=scale * 1e-12)
    below = [sum(x <= edge for x in finite) for edge in field.numbers.edges]
    assert list(field.numbers.counts) == [b - a for a, b in zip([0, *below], [*below, len(finite)], strict=True)]
    assert math.isfinite(field.numbers.deviation)


@pytest.mark.parametrize("threads", [1, 4])
def test_large_columns_have_exact_extremes_and_bins(
    con: Connection, threads: int, numbers_of: Callable[[Any], Numbers]
) -> None:
    con.execute(f"SET threads = {threads}")
    con.execute(
        "CREATE TABLE t AS SELECT (hash(i) % 1_000_003)::BIGINT AS wide, (hash(i) % 1_000_003) / 7.0::DOUBLE AS real, "
        "least((hash(i) % 5000)::BIGINT, 4000) AS clipped, (hash(i) % 1_300)::BIGINT AS more, i AS id FROM range(300_000) AS r(i)"
    )
    profile = summarize(con, "t")
    for field in profile.fields:
        column = [row[0] for row in con.execute(f"SELECT {field.name} FROM t").fetchall()]
        expected, found = numbers_of(column), field.numbers
        assert found is not None
        assert (found.largest, found.smallest) == (expected.largest, expected.smallest)
        assert found.mean == pytest.approx(expected.mean, rel=1e-9)
        assert found.deviation == pytest.approx(expected.deviation, rel=1e-9)
        assert found.rising == (field.name == "id")
        assert found.distinct == pytest.approx(expected.distinct, rel=0.25)
        assert sum(found.counts) == 300_000
        if field.name not in {"clipped", "more"}:
            assert all(count == pytest.approx(30_000, rel=0.05) for count in found.counts)
    assert summarize(con, "t").to_json() == profile.to_json()


class _Told(Duck):
    """A DuckDB that says this of how far apart whole numbers are."""

    def __init__(self, con: Connection, span: tuple[int, int] | None) -> None:
        super().__init__(con)
        self.span = span

    def spans(self, relation: str, columns: Sequence[str]) -> list[tuple[int, int] | None]:
        return [self.span] * len(columns)


@pytest.mark.parametrize("span", [None, (0, 1)], ids=["unknown", "wrong"])
@reuse
@given(
    column=st.lists(st.integers(-500, 500) | st.none(), max_size=300)
    | st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=300),
    step=st.integers(1, 3),
)
def test_what_is_known_of_whole_numbers_beforehand_changes_nothing(
    con: Connection, span: tuple[int, int] | None, column: list[int | None], step: int
) -> None:
    con.execute("CREATE OR REPLACE TABLE t (a BIGINT, b INTEGER)")
    if column:
        con.executemany("INSERT INTO t VALUES (?, NULL)", [[value] for value in column])
    con.execute(f"INSERT INTO t SELECT NULL, i * {step} FROM range(1200) r(i)")
    assert measure_table(_Told(con, span), "t").to_json() == measure_table(Duck(con), "t").to_json()


def test_threads_change_nothing(con: Connection) -> None:
    con.execute("CREATE TABLE t AS SELECT sin(i) AS x, (i * 7919) % 100003 AS y FROM range(500_000) AS r(i)")
    found = set()
    for threads in (1, 2, 8):
        con.execute(f"SET threads = {threads}")
        found.add(summarize(con, "t").to_json())
    assert len(found) == 1


def test_a_bad_body_is_skipped_and_counted(con: Connection) -> None:
    con.execute("CREATE TABLE learning (body VARCHAR, received_at TIMESTAMPTZ)")
    con.execute("SET TimeZone = 'America/New_York'")
    con.execute(
        """INSERT INTO learning SELECT b, '2024-02-29 12:00:00+00' FROM
        (VALUES ('{"a": 1}'), ('{"a"'), ('[1]'), (' {"a": 2.0} '), (NULL), ('')) AS v(b)"""
    )
    profile = summarize_events(con, "learning")
    assert (profile.rows, profile.skipped) == (2, 4)
    assert profile.fields[0].types == {"integer": 1, "number": 1}
    assert profile.first == profile.last == "2024-02-29T12:00:00.000000Z"


def test_no_events_have_no_fields(con: Connection) -> None:
    assert profiled(con, []) == Profile("d", 0, ())


def test_keys_that_are_data_are_no_fields(con: Connection) -> None:
    (field,) = profiled(con, [{"by_user": {f"u{i}": 1}} for i in range(1_500)]).fields
    assert field.types == {"object": 1_500}
    assert field.fields == ()


def test_fields_follow_the_order_of_the_data(con: Connection) -> None:
    profile = profiled(con, [{"z": 1, "b": 1}, {"z": 1, "a": 1, "b": 1}, {"c": 1}])
    assert [field.name for field in profile.fields] == ["c", "z", "a", "b"]


def test_every_type_of_column(con: Connection) -> None:
    con.execute(
        """CREATE TABLE t AS SELECT 1.50::DECIMAL(9, 2) AS "decimal", 7::DECIMAL(9, 0) AS whole,
        170141183460469231731687303715884105727::HUGEINT AS huge, 18446744073709551615::UBIGINT AS unsigned, true AS yes,
        DATE '2024-02-29' AS "date", TIMESTAMP '2024-02-29 12:00:00' AS naive, TIMESTAMPTZ '2024-02-29 12:00:00Z' AS zoned,
        TIME '12:00' AS "time", uuid() AS id, 'a'::ENUM ('a') AS kind, {'x': 1, 'y': [{'z': 1.5::FLOAT}]} AS nested,
        array_value(1, 2) AS pair, '{"q": [1, "a", null]}'::JSON AS mixed, MAP {'a': 1} AS map, 'x'::BLOB AS raw,
        NULL AS nothing, [NULL, 3] AS list FROM range(3)"""
    )
    found = {label: dict(field.types) for label, field in summarize(con, "t").walk()}
    assert found == {
        **{key: {"number": 3} for key in ("decimal", "nested.y[].z")},
        **{key: {"integer": 3} for key in ("whole", "huge", "unsigned", "nested.x")},
        "yes": {"boolean": 3},
        **{key: {"string": 3} for key in ("date", "naive", "zoned", "time", "id", "kind")},
        **{key: {"object": 3} for key in ("nested", "nested.y[]", "mixed")},
        **{key: {"array": 3} for key in ("nested.y", "pair", "mixed.q", "list")},
        "pair[]": {"integer": 6},
        "mixed.q[]": {"null": 3, "integer": 3, "string": 3},
        **{key: {"other": 3} for key in ("map", "raw")},
        "nothing": {"absent": 3},
        "list[]": {"absent": 3, "integer": 3},
    }


def test_a_dataset_s_own_columns_are_left_out(con: Connection) -> None:
    con.execute(
        "CREATE TABLE t AS SELECT 1 AS a, TIMESTAMPTZ '2024-01-01 00:00:00Z' AS _collected_at, 'x' AS _source, "
        "1 AS _contract, NULL::JSON AS _violations, '{}'::JSON AS _extra"
    )
    profile = summarize(con, "t", dataset="t")
    assert [field.name for field in profile.fields] == ["a"]
    assert profile.first == "2024-01-01T00:00:00.000000Z"


def test_nothing_is_left_behind_on_a_read_only_connection(tmp_path: Any) -> None:
    path = tmp_path / "store.duckdb"
    with duckdb.connect(path) as con:
        con.execute("""CREATE TABLE learning AS SELECT '{"a": {"b": [1]}}' AS body FROM range(5)""")
    with duckdb.connect(path, read_only=True) as con:
        told: list[float] = []
        summarize_events(con, "learning", progress=told.append)
        assert told[-1] == 1.0
        assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary").fetchone() == (0,)


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["2024-02-29", "2023-01-01"], {"date": 2}),
        (["2024-02-29", "2023-02-29", "2023-12-31"], {"date": 2}),
        (["2024-02-29T12:00:00Z", "2024-02-29T12:00:00.25+05:30"], {"date-time": 2}),
        (["00000000-0000-0000-0000-000000000000"], {"uuid": 1}),
        (["2024-02-29 12:00:00"], {}),
        (["12", "2024-02-29"], {}),
    ],
)
def test_formats(con: Connection, texts: list[str], formats: dict[str, int]) -> None:
    (field,) = profiled(con, [{"t": text} for text in texts]).fields
    assert field.strings is not None
    assert field.strings.formats == formats


def test_quoted() -> None:
    assert quoted('a"b') == '"a""b"'


def test_a_column_may_be_called_as_the_queries_call_their_own(con: Connection) -> None:
    columns = ", ".join(f"'A' || i % 7 AS {name}" for name in ("s", "n", "k", "c", "v", "c0", "piece"))
    con.execute(f"CREATE TABLE t AS SELECT {columns}, {{'s': 'b' || i % 3}} AS o FROM range(3000) r(i)")
    profile = summarize(con, "t")
    for label, field in profile.walk():
        if field.strings is not None:
            assert field.strings.distinct == len(field.strings.values) == (3 if label == "o.s" else 7), label
            assert field.strings.shapes == (("a0" if label == "o.s" else "A0", 3000),), label
