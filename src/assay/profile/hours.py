"""Profiles by the hour, kept: the profile of a week is merged from them, and only hours that changed are measured again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from assay.errors import UsageError
from assay.files import write_atomic
from assay.profile import seasons
from assay.profile.document import Profile
from assay.profile.engine import Duck
from assay.profile.merge import merge
from assay.profile.summarize import summarize
from assay.sql import quoted

if TYPE_CHECKING:
    import duckdb

__all__ = ["Span", "hour_profiles", "profile_since"]

#: From when to when, both in UTC.
Span: TypeAlias = tuple[datetime, datetime]

#: Hours whose profiles are kept, of one dataset: three months.
KEPT: Final = 24 * 92
_HOUR: Final = timedelta(hours=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def profile_since(
    con: duckdb.DuckDBPyConnection,
    dataset: str,
    folder: Path,
    *,
    since: datetime,
    without: Sequence[Span] = (),
) -> tuple[Profile, int]:
    """The profile of what was collected into a dataset's table from the hour of `since` on; and how many hours were left out.

    `folder` keeps the hours' profiles. An hour that touches one of the spans in `without` is left out whole.

    Raises:
        UsageError: nothing is left.
    """
    hours = _hours(con, dataset, since)
    taken = {hour: rows for hour, rows in hours.items() if not any(_touches(hour, span) for span in without)}
    if not taken:
        why = f": in all {len(hours)} hours an alert was firing" if hours else ""
        raise UsageError(f"nothing of {dataset} is left that was collected since {since:%Y-%m-%d %H:%M} UTC{why}")
    profile = merge(list(hour_profiles(con, dataset, folder, taken)))
    volume = seasons.measured(Duck(con), quoted(dataset), "epoch(_collected_at)")
    return replace(profile, hours=volume), len(hours) - len(taken)


def hour_profiles(
    con: duckdb.DuckDBPyConnection, dataset: str, folder: Path, hours: dict[datetime, int]
) -> Iterator[Profile]:
    """The profile of each hour that has so many rows: a kept one where it has as many, else measured and kept.

    The hour that is not over is measured each time.
    """
    running = _EPOCH + timedelta(seconds=time.time() // 3600 * 3600)
    for hour, rows in sorted(hours.items()):
        path = folder / f"{hour:%Y-%m-%dT%H}.profile.json"
        kept = _kept(path)
        if kept is not None and kept.rows == rows:
            yield kept
            continue
        start = int(hour.timestamp())
        relation = (
            f"(SELECT * FROM {quoted(dataset)} WHERE _collected_at >= to_timestamp({start})"
            f" AND _collected_at < to_timestamp({start + 3600}))"
        )
        measured = summarize(con, relation, dataset=dataset)
        if hour < running:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, measured.to_json().encode())
        yield measured
    for old in sorted(folder.glob("*.profile.json"))[:-KEPT]:
        old.unlink(missing_ok=True)


def _kept(path: Path) -> Profile | None:
    try:
        return Profile.load(path) if path.exists() else None
    except UsageError:  # broken, or of another version
        return None


def _hours(con: duckdb.DuckDBPyConnection, dataset: str, since: datetime) -> dict[datetime, int]:
    """The hours that have rows, with how many."""
    first = int(since.timestamp()) // 3600 * 3600
    found = con.execute(
        f"SELECT epoch_us(_collected_at) // 3600000000, count(*) FROM {quoted(dataset)}"
        f" WHERE _collected_at >= to_timestamp({first}) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return {_EPOCH + hour * _HOUR: rows for hour, rows in found}


def _touches(hour: datetime, span: Span) -> bool:
    begin, end = span
    return begin < hour + _HOUR and end >= hour
