"""Tables that fit each contract in turn, and never change a value that is stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.ingest.rows import Rows
from assay.store.protocol import Refused
from tests.lakes import Where, needs_a_file, opened, store_of

INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
STRING = {"type": "string"}


def struct(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


class Table:
    """The table of one dataset, and what is done to it."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self.store = store_of(where)

    def insert(self, version: int, properties: dict[str, Any], *events: dict[str, Any]) -> None:
        contract = Contract.parse({"type": "object", "properties": properties}, dataset="d", version=version)
        count = len(events)
        rows = Rows(contract).table(events, [datetime.now(UTC)] * count, ["s"] * count, [None] * count)
        with self.store.write() as transaction:
            transaction.insert(contract, rows)

    def sql(self, query: str) -> list[Any]:
        with opened(self.where) as con:
            return con.execute(query).fetchall()

    def columns(self) -> dict[str, str]:
        found = self.sql(
            "SELECT column_name, data_type FROM duckdb_columns()"
            " WHERE table_name = 'd' AND database_name = current_database()"
        )
        return {name: kind for name, kind in found if not name.startswith("_")}


@pytest.fixture
def table(where: Where) -> Table:
    return Table(where)


def test_a_new_table_has_the_contracts_columns_then_assays_own(table: Table) -> None:
    table.insert(1, {"b": INTEGER, 'a"b': STRING, "s": struct(x=NUMBER)}, {"b": 1, 'a"b': "x", "s": {"x": 1.5}})
    found = table.sql(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'd' ORDER BY column_index"
    )
    assert found == [
        ("b", "BIGINT"),
        ('a"b', "VARCHAR"),
        ("s", "STRUCT(x DOUBLE)"),
        ("_collected_at", "TIMESTAMP WITH TIME ZONE"),
        ("_source", "VARCHAR"),
        ("_contract", "INTEGER"),
        ("_violations", "JSON"),
        ("_extra", "JSON"),
    ]


@pytest.mark.parametrize(
    ("old", "value", "new", "columns"),
    [
        pytest.param(INTEGER, 5, INTEGER, {"a": "BIGINT"}, id="the same"),
        pytest.param(INTEGER, 5, NUMBER, {"a": "DOUBLE"}, id="integers to numbers"),
        pytest.param(INTEGER, 2**53, NUMBER, {"a": "DOUBLE"}, id="the largest that is exact"),
        pytest.param(
            INTEGER, -(2**53) - 1, NUMBER, {"a": "BIGINT", "a_v2": "DOUBLE"}, id="integers that no double holds"
        ),
        pytest.param(INTEGER, -(2**63), NUMBER, {"a": "BIGINT", "a_v2": "DOUBLE"}, id="the smallest integer"),
        pytest.param(INTEGER, 5, STRING, {"a": "BIGINT", "a_v2": "VARCHAR"}, id="another type"),
        pytest.param(NUMBER, 0.5, INTEGER, {"a": "DOUBLE", "a_v2": "BIGINT"}, id="numbers to integers, no new row"),
        pytest.param(
            struct(x=INTEGER), {"x": 1}, struct(x=INTEGER, y=STRING), {"a": "STRUCT(x BIGINT, y VARCHAR)"}, id="wider"
        ),
        pytest.param(
            struct(x=INTEGER),
            {"x": 1},
            struct(x=STRING),
            {"a": "STRUCT(x BIGINT)", "a_v2": "STRUCT(x VARCHAR)"},
            id="a struct of another type",
        ),
        pytest.param(
            {"type": "array", "items": INTEGER},
            [1],
            {"type": "array", "items": NUMBER},
            {"a": "BIGINT[]", "a_v2": "DOUBLE[]"},
            id="a list",
        ),
    ],
)
def test_a_column_is_widened_or_gets_another_beside_it(
    table: Table, old: dict[str, Any], value: Any, new: dict[str, Any], columns: dict[str, str]
) -> None:
    table.insert(1, {"a": old}, {"a": value})
    before = table.sql("SELECT to_json(a) FROM d")
    table.insert(2, {"a": new}, {"a": {"x": None} if "object" in new.values() else None})
    if old == NUMBER:
        columns = {"a": "DOUBLE"}  # nothing of the new rows needs another column
    assert table.columns() == columns
    ((after,),) = table.sql("SELECT to_json(a) FROM d WHERE _contract = 1")
    stored, kept = json.loads(before[0][0]), json.loads(after)
    assert kept == stored or {name: kept[name] for name in stored} == stored


@pytest.mark.parametrize(
    ("narrow", "value", "wide"),
    [
        pytest.param(INTEGER, 7, NUMBER, id="an integer in a column of numbers"),
        pytest.param(struct(x=INTEGER), {"x": 7}, struct(x=INTEGER, y=STRING), id="a struct in a wider one"),
    ],
)
def test_rows_of_an_older_version_come_after_the_newer_one(
    table: Table, narrow: dict[str, Any], value: Any, wide: dict[str, Any]
) -> None:
    for version in (1, 2, 1, 2, 1):
        table.insert(version, {"a": narrow if version == 1 else wide, "n": INTEGER}, {"a": value, "n": version})
    assert list(table.columns()) == ["a", "n"]
    assert table.sql("SELECT count(a) FROM d") == [(5,)]
    if narrow == INTEGER:
        table.insert(1, {"a": narrow}, {"a": 2**53 + 1})
        assert table.sql("SELECT a, a_v1 FROM d WHERE a_v1 IS NOT NULL") == [(None, 2**53 + 1)]


def test_a_column_that_was_made_is_found_again(table: Table) -> None:
    for version, kind, value in (
        (1, INTEGER, 1),
        (2, STRING, "x"),
        (3, INTEGER, 3),
        (4, STRING, "y"),
        (5, STRING, "z"),
    ):
        table.insert(version, {"a": kind}, {"a": value})
    assert table.columns() == {"a": "BIGINT", "a_v2": "VARCHAR"}
    assert table.sql("SELECT a, a_v2 FROM d ORDER BY _contract") == [
        (1, None), (None, "x"), (3, None), (None, "y"), (None, "z"),
    ]  # fmt: skip


def test_another_fields_column_is_never_taken(table: Table) -> None:
    table.insert(1, {"a": STRING, "a_v2": INTEGER}, {"a": "x", "a_v2": 1})
    table.insert(2, {"a": INTEGER, "a_v2": INTEGER}, {"a": 5, "a_v2": 6})
    assert table.sql("SELECT a, a_v2, a_v2_ FROM d ORDER BY _contract") == [("x", 1, None), (None, 6, 5)]


def test_a_name_that_a_new_field_needs_is_not_taken(table: Table) -> None:
    table.insert(1, {"a": STRING}, {"a": "x"})
    table.insert(2, {"a": INTEGER, "A_v2": INTEGER}, {"a": 5, "A_v2": 6})
    assert table.sql('SELECT a, "A_v2", a_v2_ FROM d ORDER BY _contract') == [("x", None, None), (None, 6, 5)]


def test_a_field_that_differs_by_case_alone_goes_to_extra(table: Table) -> None:
    table.insert(1, {"Name": STRING, "name": STRING}, {"Name": "x", "name": "y"})
    table.insert(2, {"name": STRING}, {"name": "z"})
    assert table.columns() == {"Name": "VARCHAR"}
    rows = table.sql('SELECT "Name", _extra FROM d ORDER BY _contract')
    assert rows == [("x", '{"name":"y"}'), ("z", None)]


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param("CREATE INDEX mine ON d (a)", id="an index"),
        pytest.param("CREATE INDEX mine ON d (n)", id="an index on another column"),
        pytest.param("CREATE VIEW mine AS SELECT * FROM d", id="a view"),
        pytest.param('CREATE VIEW mine AS SELECT a FROM "D"', id="a view with other case"),
    ],
)
def test_what_the_user_made_is_left_whole(table: Table, theirs: str) -> None:
    if "INDEX" in theirs:
        needs_a_file(table.where)
    table.insert(1, {"a": INTEGER, "n": INTEGER}, {"a": 1, "n": 1})
    table.sql(theirs)
    table.insert(2, {"a": NUMBER, "n": INTEGER, "new": STRING}, {"a": 1.5, "n": 2, "new": "x"})
    assert table.columns() == {"a": "BIGINT", "n": "BIGINT", "a_v2": "DOUBLE", "new": "VARCHAR"}
    assert table.sql("SELECT a, a_v2, new FROM d ORDER BY n") == [(1, None, None), (None, 1.5, "x")]
    if "VIEW" in theirs:
        assert len(table.sql("SELECT * FROM mine")) == 2


@pytest.mark.parametrize("rule", ["PRIMARY KEY", "CHECK (a > 0)"])
def test_a_column_with_a_rule_of_the_users_is_left_alone(table: Table, rule: str) -> None:
    needs_a_file(table.where)
    table.sql(f"CREATE TABLE d (a BIGINT {rule})")
    table.insert(1, {"a": INTEGER}, {"a": 1})
    if rule == "PRIMARY KEY":
        with pytest.raises(Refused):
            table.insert(1, {"a": INTEGER}, {"a": 1})
        return
    table.insert(2, {"a": NUMBER}, {"a": 1.5})
    assert table.sql("SELECT a, a_v2 FROM d ORDER BY a NULLS LAST") == [(1, None), (None, 1.5)]


def test_a_column_that_the_user_dropped_is_made_again(table: Table) -> None:
    table.insert(1, {"a": INTEGER, "b": INTEGER}, {"a": 1, "b": 1})
    table.sql("ALTER TABLE d DROP COLUMN b")
    table.sql("ALTER TABLE d DROP COLUMN _extra")
    table.insert(1, {"a": INTEGER, "b": INTEGER}, {"a": 2, "b": 2, "c": 3})
    assert table.sql("SELECT a, b, _extra FROM d ORDER BY a") == [(1, None, None), (2, 2, '{"c":3}')]


def test_a_column_of_the_users_own_stays(table: Table) -> None:
    table.insert(1, {"a": INTEGER}, {"a": 1})
    table.sql("ALTER TABLE d ADD COLUMN note VARCHAR DEFAULT 'mine'")
    table.insert(2, {"a": INTEGER}, {"a": 2})
    assert table.sql("SELECT a, note FROM d ORDER BY a") == [(1, "mine"), (2, "mine")]


def test_a_table_that_the_user_made_in_capitals_is_the_datasets(table: Table) -> None:
    table.sql('CREATE TABLE "D" ("A" BIGINT)')
    table.insert(1, {"a": INTEGER}, {"a": 1})
    assert table.sql("SELECT a, _source FROM d") == [(1, "s")]


def test_a_view_in_the_place_of_the_table_refuses(table: Table) -> None:
    table.sql("CREATE VIEW d AS SELECT 1 AS a")
    with pytest.raises(Refused):
        table.insert(1, {"a": INTEGER}, {"a": 1})
