"""However rows are cut into parts, what the parts answer makes the profile that DuckDB has of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.profile.engine import KeyType, Row
from assay.profile.learn import learn
from assay.profile.parts import HEAD_ROWS, ROWS, START, Parted
from assay.profile.summarize import measure_table, summarize

Connection = duckdb.DuckDBPyConnection
reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=4)


class InParts(Parted):
    """Parts of one table, cut before these rows; what Spark does is done here in a loop."""

    def __init__(self, con: Connection, rows: int, cuts: Sequence[int]) -> None:
        ends = [0, *sorted(cuts), rows]
        self.cons = []
        for begin, end in pairwise(ends):
            if begin < end:
                part = con.cursor()
                part.execute("SET TimeZone = 'UTC'")
                part.execute(f"CREATE OR REPLACE TEMP TABLE {ROWS} AS FROM t LIMIT {end - begin} OFFSET {begin}")
                self.cons.append(part)
        head = con.cursor()
        head.execute("SET TimeZone = 'UTC'")
        head.execute(f"CREATE OR REPLACE TEMP TABLE {ROWS} AS FROM t LIMIT {HEAD_ROWS}")
        super().__init__(head)

    def answers(self, sql: str) -> list[Row]:
        # The last part answers first.
        return [con.execute(sql).fetchall()[0] for con in reversed(self.cons)]

    def runs(self, sql: str, starts: Sequence[int] = ()) -> list[list[Row]]:
        starts = starts or [0] * len(self.cons)
        return [
            con.execute(sql.replace(START, str(start))).fetchall() for con, start in zip(self.cons, starts, strict=True)
        ]

    def summed(self, sql: str, key_type: KeyType, most: int | None) -> list[tuple[Any, int]]:
        tally: Counter[Any] = Counter()
        for con in self.cons:
            tally.update(dict(con.execute(sql).fetchall()))
        return sorted(tally.items(), key=lambda pair: (-pair[1], pair[0]))[:most]

    def different(self, sql: str) -> int:
        return len({value for con in self.cons for (value,) in con.execute(sql).fetchall()})


#: Columns of which each takes another way through the queries.
TABLE = """
SELECT i % 3 AS few, i % 3_000 AS many, i AS id, -i AS falling, (hash(i) % 1_000_003) / 7.0 AS real,
 CASE WHEN i % 5 > 0 THEN i % 97 END AS gaps, NULL::INTEGER AS nothing, CASE i % 4 WHEN 0 THEN 'NaN'::DOUBLE ELSE i / 3 END AS nan,
 (i % 1_000 / 100)::DECIMAL(9, 2) AS price, (i::HUGEINT * 10**20)::HUGEINT AS huge, i % 2 = 0 AS yes, 'Ü' || i % 40 AS text,
 'user' || i AS names, uuid() AS u, DATE '2024-01-01' + (i % 400)::INTEGER AS day, to_timestamp(1.7e9 + i) AS "_collected_at",
 strftime(to_timestamp(1.7e9 + i - 2)::TIMESTAMP, '%Y-%m-%dT%H:%M:%SZ') AS happened, [i % 7, i] AS list,
 {'a': i % 11, 'b': 'x' || i % 5} AS object, json_object('q', i % 4, 'w', [1, i], 'o', {'z': i % 2 = 0}) AS json, i % 9 AS low, i % 9 + i % 5 AS high,
 CASE WHEN i % 7 < 3 THEN i END AS odd, CASE WHEN i % 7 = 3 THEN json_object('odd', i::HUGEINT * 10**20) END AS _extra
FROM range(ROWS) r(i)
"""


@pytest.fixture(scope="module", params=[0, 1, 30, 2_500])
def table(request: pytest.FixtureRequest) -> tuple[Connection, int]:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'; SET threads = 1")
    con.execute(f"CREATE TABLE t AS {TABLE.replace('ROWS', str(request.param))}")
    return con, request.param


@reuse
@given(st.data())
def test_parts_tell_the_same_as_the_whole(table: tuple[Connection, int], data: st.DataObject) -> None:
    con, rows = table
    cuts = data.draw(st.lists(st.integers(0, rows), max_size=4))
    expected = summarize(con, "t", dataset="d")
    found = measure_table(InParts(con, rows, cuts), ROWS, dataset="d")
    assert found.to_json() == expected.to_json()
    if rows >= 100:
        assert learn(found).to_json() == learn(expected).to_json()


def test_large_parts_are_sampled_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.profile.measure.SAMPLE_ROWS", 5_000)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'; SET threads = 1")
        con.execute(f"CREATE TABLE t AS {TABLE.replace('ROWS', '20000')}")
        found = measure_table(InParts(con, 20_000, [1, 7_000, 19_000]), ROWS)
        assert found.to_json() == summarize(con, "t").to_json()
