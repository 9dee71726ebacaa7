import json
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contract.document import Contract
from assay.ingest.decode import decode_event
from assay.ingest.rows import Rows, to_json
from assay.sql import quoted
from assay.store.columns import columns, sql_type

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def contract(**properties: Any) -> Contract:
    return Contract.parse({"type": "object", "properties": properties}, dataset="d", version=1)


def stored(schema: Contract, *events: Any) -> list[dict[str, Any]]:
    """What a table of these columns holds of the events: through Arrow and a real DuckDB."""
    table = Rows(schema).table(list(events), [NOW] * len(events), ["s"] * len(events), [None] * len(events))
    with duckdb.connect() as con:
        parts = [f"{quoted(column.name)} {sql_type(column)}" for column in columns(schema)]
        meta = ["_collected_at TIMESTAMPTZ", "_source VARCHAR", "_contract INT", "_violations JSON", "_extra JSON"]
        con.execute(f"CREATE TABLE d ({', '.join([*parts, *meta])})")
        con.register("incoming", table)
        con.execute("INSERT INTO d BY NAME SELECT * FROM incoming")
        rows: list[dict[str, Any]] = con.sql("SELECT * FROM d").to_arrow_table().to_pylist()
        return rows


INTEGER, NUMBER, STRING = {"type": "integer"}, {"type": "number"}, {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "value", "held", "extra"),
    [
        pytest.param(INTEGER, 2**63 - 1, 2**63 - 1, None, id="the largest integer"),
        pytest.param(INTEGER, -(2**63), -(2**63), None, id="the smallest integer"),
        pytest.param(INTEGER, 2**63, None, 2**63, id="an integer beyond 64 bits"),
        pytest.param(INTEGER, 3.0, 3, None, id="an integral number"),
        pytest.param(INTEGER, "3", None, "3", id="another type, in observe mode"),
        pytest.param(INTEGER, True, None, True, id="a boolean is no integer"),
        pytest.param(NUMBER, 2**53 + 1, None, 2**53 + 1, id="an integer that no double holds"),
        pytest.param(NUMBER, 2**60, 2.0**60, None, id="a large integer that a double holds"),
        pytest.param(NUMBER, 10**400, None, 10**400, id="an integer beyond all doubles"),
        pytest.param(NUMBER, 0.1, 0.1, None, id="a number"),
        pytest.param({"type": "boolean"}, True, True, None, id="a boolean"),
        pytest.param({"type": "boolean"}, 1, None, 1, id="one is no boolean"),
        pytest.param(STRING, "a\0b", "a\0b", None, id="a string with NUL"),
        pytest.param(STRING, 5, None, 5, id="a number is no string"),
        pytest.param({"type": ["string", "integer"]}, "x", '"x"', None, id="no one type: JSON"),
        pytest.param({"type": ["string", "integer"]}, 2**80, str(2**80), None, id="JSON holds any integer"),
        pytest.param({}, {"a": [1]}, '{"a":[1]}', None, id="no type: JSON"),
        pytest.param({"type": ["integer", "null"]}, None, None, None, id="null"),
        pytest.param({"enum": ["a", "b"]}, "a", "a", None, id="an enumeration of strings"),
        pytest.param({"type": "array", "items": INTEGER}, [1, 2], [1, 2], None, id="a list"),
        pytest.param({"type": "array", "items": INTEGER}, [1, 2**70], None, [1, 2**70], id="a list that does not fit"),
        pytest.param({"type": "array"}, [1, "x"], '[1,"x"]', None, id="a list of anything"),
    ],
)
def test_a_value_is_held_exactly_or_stands_in_extra(schema: Any, value: Any, held: Any, extra: Any) -> None:
    (row,) = stored(contract(x=schema), {"x": value})
    assert row["x"] == held
    assert type(row["x"]) is type(held)
    assert (row["_extra"] and json.loads(row["_extra"])) == (None if extra is None else {"x": extra})


DATE_TIME = {"type": "string", "format": "date-time"}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02t03:04:05.678901z", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2026-01-02T03:04:05.678901000+00:00", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("1969-12-31T23:59:59.5Z", datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.6789012Z", None),
        ("2016-12-31T23:59:60Z", None),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59+00:01", datetime(9999, 12, 31, 23, 58, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59-00:01", None),
        ("0001-01-01T00:00:00-05:00", datetime(1, 1, 1, 5, tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:00", None),
        ("0000-01-01T00:00:00Z", None),
        ("2026-01-02", None),
    ],
)
def test_a_time_is_held_to_the_microsecond_or_stands_in_extra(text: str, held: datetime | None) -> None:
    (row,) = stored(contract(t=DATE_TIME), {"t": text})
    assert row["t"] == held
    assert (row["_extra"] is None) == (held is not None)


def test_unknown_fields_are_kept_with_their_nesting() -> None:
    inner = {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}}
    (row,) = stored(contract(o=inner), {"o": {"a": 1, "b": 2**70, "c": 3}, "new": {"x": 1}})
    assert row["o"] == {"a": 1, "b": None}
    assert json.loads(row["_extra"]) == {"o": {"b": 2**70, "c": 3}, "new": {"x": 1}}


def test_unknown_fields_of_the_objects_in_a_list_leave_the_list_where_it_is() -> None:
    items = {"type": "array", "items": {"type": "object", "properties": {"a": INTEGER}}}
    (row,) = stored(contract(x=items), {"x": [{"a": 1}, {"a": 2, "new": [3]}, {"a": 2**70}]})
    assert row["x"] == [{"a": 1}, {"a": 2}, {"a": None}]
    assert json.loads(row["_extra"]) == {"x": [{}, {"new": [3]}, {"a": 2**70}]}


def test_unknown_fields_can_be_dropped_but_never_those_of_the_contract() -> None:
    table = Rows(contract(_a=INTEGER, b=INTEGER), keep_unknown=False).table(
        [{"_a": 1, "b": 2**70, "c": 3}], [NOW], ["s"], [None]
    )
    assert json.loads(table["_extra"][0].as_py()) == {"_a": 1, "b": 2**70}


def test_names_that_no_column_can_have_live_in_extra() -> None:
    (row,) = stored(contract(**{"_x": INTEGER, "": INTEGER, "A": INTEGER, "a": INTEGER, "q\0": INTEGER}), {
        "_x": 1, "": 2, "A": 3, "a": 4, "q\0": 5,
    })  # fmt: skip
    assert row["A"] == 3
    assert json.loads(row["_extra"]) == {"_x": 1, "": 2, "a": 4, "q\0": 5}


def test_a_number_beyond_a_double_is_kept_as_it_was_written() -> None:
    event = decode_event(b'{"x": 1e400, "y": {"z": [-1e999, 2]}}').value
    (row,) = stored(contract(x=NUMBER, y={"type": "object"}), event)
    assert row["x"] is None
    assert row["_extra"].replace(" ", "") == '{"x":1e400}'
    assert row["y"].replace(" ", "") == '{"z":[-1e999,2]}'


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), JSON_VALUES), min_size=1, max_size=4))
def test_nothing_of_any_event_is_lost(events: list[dict[str, Any]]) -> None:
    schema = contract(a=INTEGER, b=NUMBER, c={"type": "array", "items": STRING}, d={"type": "object"})
    for event, row in zip(events, stored(schema, *events), strict=True):
        extra = json.loads(row["_extra"]) if row["_extra"] else {}
        for name, value in event.items():
            if value is None:
                assert row[name] is None
                continue
            held = json.loads(row[name]) if name == "d" and row[name] is not None else row[name]
            kept = extra.get(name, held)
            assert kept == value
            assert isinstance(kept, bool) == isinstance(value, bool)


@given(JSON_VALUES)
def test_to_json_is_exact(value: Any) -> None:
    assert json.loads(to_json(value)) == value
