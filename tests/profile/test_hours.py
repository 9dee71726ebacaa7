"""Profiles by the hour: kept, merged, measured again where rows have come, and left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from assay.errors import UsageError
from assay.profile import hours
from assay.profile.hours import profile_since
from assay.profile.summarize import summarize

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """A table with five hours of events, 600 each; in the fourth something went wrong."""
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE d AS SELECT (hash(i) % 100)::BIGINT + CASE WHEN i // 600 = 3 THEN 1000 ELSE 0 END AS n, "
        "to_timestamp(1772323200 + i * 6) AS _collected_at, 'x' AS _source FROM range(3000) AS r(i)"
    )
    return con


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_hours_are_measured_once(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "d"
    profile, left_out = profile_since(con, "d", folder, since=DAY)
    whole = summarize(con, "d", dataset="d")
    assert (profile.rows, left_out) == (3_000, 0)
    assert (profile.first, profile.last) == (whole.first, whole.last)
    assert profile.fields[0].numbers is not None
    assert whole.fields[0].numbers is not None
    assert profile.fields[0].numbers.values == whole.fields[0].numbers.values
    assert names(folder) == [f"2026-03-01T0{hour}.profile.json" for hour in range(5)]

    measured: list[str] = []

    def counting(con: duckdb.DuckDBPyConnection, relation: str, *, dataset: str) -> object:
        measured.append(relation)
        return summarize(con, relation, dataset=dataset)

    monkeypatch.setattr(hours, "summarize", counting)
    assert profile_since(con, "d", folder, since=DAY)[0] == profile
    assert measured == []
    con.execute("INSERT INTO d VALUES (5, '2026-03-01 02:30:00+00', 'late')")
    (folder / "2026-03-01T04.profile.json").write_text("broken")
    assert profile_since(con, "d", folder, since=DAY)[0].rows == 3_001
    assert len(measured) == 2


def test_since_is_a_whole_hour(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    profile, _ = profile_since(con, "d", tmp_path, since=DAY + timedelta(hours=3, minutes=59))
    assert profile.rows == 1_200


def test_hours_that_are_left_out(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    wrong = (DAY + timedelta(hours=3, minutes=10), DAY + timedelta(hours=3, minutes=50))
    profile, left_out = profile_since(con, "d", tmp_path, since=DAY, without=[wrong])
    assert (profile.rows, left_out) == (2_400, 1)
    assert profile.fields[0].numbers is not None
    assert profile.fields[0].numbers.maximum < 100
    around = (DAY + timedelta(hours=2, minutes=59), DAY + timedelta(hours=4))
    assert profile_since(con, "d", tmp_path, since=DAY, without=[around])[1] == 3
    with pytest.raises(UsageError, match="in all 5 hours an alert was firing"):
        profile_since(con, "d", tmp_path, since=DAY, without=[(DAY, DAY + timedelta(days=1))])


def test_the_hour_that_is_not_over_is_not_kept(tmp_path: Path) -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE d AS SELECT 1 AS n, now() AS _collected_at FROM range(10)")
    folder = tmp_path / "d"
    assert profile_since(con, "d", folder, since=datetime.now(UTC))[0].rows == 10
    assert not folder.exists()


def test_nothing_there(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing of d is left that was collected since 2030-01-01 00:00 UTC$"):
        profile_since(con, "d", tmp_path, since=datetime(2030, 1, 1, tzinfo=UTC))


def test_no_more_than_three_months_are_kept(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hours, "KEPT", 2)
    profile_since(con, "d", tmp_path, since=DAY)
    assert names(tmp_path) == ["2026-03-01T03.profile.json", "2026-03-01T04.profile.json"]
