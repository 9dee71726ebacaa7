"""What a column could not hold is profiled with what it could: a table's profile is that of the events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import duckdb
import pytest

from assay.profile.document import FieldProfile, Profile
from assay.profile.learn import learn
from assay.profile.summarize import summarize
from assay.settings import load
from assay.workspace import Workspace
from tests.conftest import Bench

ROWS = 3_000
OWN = "to_timestamp(1.79e9 + i / 2) AS _collected_at"


def stored(con: duckdb.DuckDBPyConnection, columns: str, extra: str) -> Profile:
    con.execute("SET TimeZone = 'America/New_York'; SET threads = 1")
    con.execute(f"CREATE OR REPLACE TABLE t AS SELECT {columns}, {OWN}, {extra} AS _extra FROM range({ROWS}) r(i)")
    return summarize(con, "t", dataset="t")


def field(profile: Profile, name: str) -> FieldProfile:
    return next(each for each in profile.fields if each.name == name)


def test_values_of_another_type_are_seen(con: duckdb.DuckDBPyConnection) -> None:
    columns = (
        "CASE WHEN i % 3 > 0 THEN i END AS whole, i::DOUBLE AS real, CASE WHEN i % 3 = 1 THEN i % 2 = 0 END AS yes"
    )
    columns += ", CASE WHEN i % 3 > 0 THEN [i, 1] END AS list, CASE WHEN i % 3 > 0 THEN '\"' || i END AS \"a/b~c'd\""
    values = """'{"whole": 100000000000000000000, "yes": "no", "list": ["x"], "a/b~c''d": 5, "new": 1}'"""
    profile = stored(con, columns, f"CASE WHEN i % 3 = 0 THEN {values}::JSON END")
    assert {each.name: each.types for each in profile.fields} == {
        "whole": {"integer": 3_000},
        "real": {"number": 3_000},
        "yes": {"absent": 1_000, "boolean": 1_000, "string": 1_000},
        "list": {"array": 3_000},
        "a/b~c'd": {"integer": 1_000, "string": 2_000},
    }
    numbers, items, yes = field(profile, "whole").numbers, field(profile, "list").items, field(profile, "yes")
    assert numbers is not None
    assert (numbers.maximum, numbers.minimum) == (10**20, 1)
    assert items is not None
    assert items.types == {"integer": 4_000, "string": 1_000}
    assert yes.true == 500


def test_moments_are_those_that_they_were(con: duckdb.DuckDBPyConnection) -> None:
    """Nanoseconds among them change nothing that is learned: format, lag, and no bounds."""
    moment = "to_timestamp(1.79e9 + i / 2) - to_microseconds((hash(i) % 5000000)::BIGINT) AS ts"
    plain = stored(con, moment, "NULL::JSON")
    con.execute("CREATE TABLE whole AS FROM t")
    con.execute(
        "CREATE OR REPLACE TABLE t AS SELECT CASE WHEN stray THEN NULL ELSE ts END AS ts, _collected_at, CASE WHEN stray THEN"
        " json_object('ts', strftime(make_timestamp(epoch_us(ts)), '%Y-%m-%dT%H:%M:%S.%f999Z')) END AS _extra"
        " FROM (SELECT *, hash(ts) % 3 = 0 AS stray FROM whole)"
    )
    found = summarize(con, "t", dataset="t")
    one, other = field(found, "ts"), field(plain, "ts")
    assert one.types == other.types == {"string": ROWS}
    assert one.strings is not None
    assert one.strings.formats == {"date-time": ROWS}
    assert one.lag == other.lag
    assert one.lag is not None
    assert (found.first, found.last, found.hours) == (plain.first, plain.last, plain.hours)
    rules, plain_rules = ([replace(each, evidence={}) for each in learn(profile).fields] for profile in (found, plain))
    assert rules == plain_rules


def test_relations_hold_over_what_stands_there(con: duckdb.DuckDBPyConnection) -> None:
    columns = "CASE WHEN i % 2 = 0 THEN i * 7 % 1000 END AS part_size, i * 7 % 1000 + i % 5 AS whole_size"
    profile = stored(con, columns, "CASE WHEN i % 2 > 0 THEN json_object('part_size', i * 7 % 1000) END")
    assert [(each.kind, each.fields, each.rows) for each in profile.relations] == [
        ("order", ("part_size", "whole_size"), ROWS)
    ]


def test_stretches_are_cut_all_the_same(con: duckdb.DuckDBPyConnection) -> None:
    plain = stored(con, "(hash(i) % 4)::BIGINT AS kind", "NULL::JSON")
    columns = "CASE WHEN i % 3 > 0 THEN (hash(i) % 4)::BIGINT END AS kind"
    odd = stored(con, columns, "CASE WHEN i % 3 = 0 THEN json_object('kind', hash(i) % 4) END")
    assert field(odd, "kind") == field(plain, "kind")
    assert field(plain, "kind").stretches


@pytest.mark.parametrize("extra", ['\'{"cloudevent": {"id": 1}}\'::JSON', "'[1]'::JSON", '\'{"o": {"a": "x"}}\'::JSON'])
def test_what_is_not_told_apart_stays(con: duckdb.DuckDBPyConnection, extra: str) -> None:
    """A CloudEvent's attributes, and what could not be held within an object."""
    columns = "CASE WHEN i % 2 = 0 THEN 'x' END AS cloudevent, {'a': CASE WHEN i % 2 = 0 THEN i END} AS o"
    assert stored(con, columns, extra).fields == stored(con, columns, "NULL::JSON").fields


def test_a_contract_learned_again_is_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(bench.folder))
    workspace = Workspace(load(port=1))
    events: list[Any] = [
        {"n": i, "ts": "2026-11-01T10:00:00.531969374Z", "big": 10_000_000_000_000_000_000 + i} for i in range(3_000)
    ]
    with bench.service() as service:
        service.lines("/collect/d", *events)
        service.flush()
    first = workspace.learn("d")
    assert first.version == 1
    bench.activate("d")
    with bench.service() as service:
        service.lines("/collect/d", *events)
        service.flush()
    second = workspace.learn("d")
    assert {each.name: (each.types, each.nullable, each.required, each.format) for each in second.fields} == {
        each.name: (each.types, each.nullable, each.required, each.format) for each in first.fields
    }
    assert ["null" in each.bins.share for each in second.fields if each.bins is not None] == [False] * 3
