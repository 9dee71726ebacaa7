"""The hours of a stream are counted, where there is history enough."""

from __future__ import annotations

import duckdb

from assay.profile.document import Hours, Profile
from assay.profile.engine import Duck
from assay.profile.seasons import measured
from assay.profile.summarize import summarize

#: Hours since 1970; a Monday's first.
FIRST = 486_000 - (486_000 - 96) % 168


def test_whole_hours_are_counted() -> None:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(
            f"CREATE TABLE t AS SELECT 1 AS a, to_timestamp(({FIRST} + h) * 3600.0 + 1800) AS _collected_at"
            " FROM range(400) r(h), range(3) s(i) WHERE h <> 77"
        )
        profile = summarize(con, "t", dataset="t")
        assert profile.hours == Hours(FIRST + 1, tuple(0 if hour == 77 else 3 for hour in range(1, 399)))
        assert Profile.parse(profile.to_json()) == profile
        con.execute("DELETE FROM t")
        assert measured(Duck(con), "t", "epoch(_collected_at)") is None
