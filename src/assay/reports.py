"""What a report shows, gathered: from the store, from files, and from the contracts of a workspace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assay.contract.document import Contract
from assay.contract.evidence import Bins
from assay.contract.versions import is_dataset_name
from assay.errors import UsageError
from assay.frames.counts import Counts, count_source, count_stored
from assay.monitor.bins import binned_fields
from assay.ui.first_look import shape
from assay.ui.history import Bar
from assay.ui.report import Against, Broken, Report
from assay.ui.views import groups
from assay.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

    from assay.profile.batch import Progress
    from assay.profile.document import Profile

__all__ = ["gather"]

_BARS: Final = 60
_GROUPS: Final = 20
#: Widths of a bar that a reader can name, in seconds.
_WIDTHS: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 86_400, 7 * 86_400, 30 * 86_400)


@dataclass(frozen=True, slots=True)
class _Source:
    """A dataset or a file."""

    workspace: Workspace
    name: str

    @property
    def path(self) -> Path | None:
        """The file; None for a dataset.

        Raises:
            UsageError: it is neither.
        """
        if Path(self.name).exists():
            return Path(self.name)
        if not is_dataset_name(self.name):
            raise UsageError(f"{self.name} is neither a file that is there nor the name of a dataset")
        return None

    def profile(self, progress: Progress) -> Profile:
        """Its statistics."""
        if self.path is None:
            return self.workspace.profile(self.name, progress=progress)
        from assay.profile.relation import profile

        return profile(self.path, progress=progress)

    def counts(self, contracts: list[Contract], progress: Progress) -> list[Counts]:
        """Its values in the bins of contracts."""
        if self.path is not None:
            return count_source(self.path, contracts, progress=progress)
        with self.workspace.connection() as con:
            return count_stored(con, self.name, contracts, progress=progress)


def gather(
    workspace: Workspace, what: str, *, against: str | None = None, contract: str | None = None, progress: Progress
) -> Report:
    """Everything that a report on a dataset or a file shows, beside another one as a reference where there is one.

    `contract` is a version's number, `DATASET@N` or a path; by default a dataset's active one, and none for a file.

    Raises:
        UsageError, UnknownDataset, NotASchema: there is no such data, or no such contract.
        ServiceError: the store cannot be read.
    """
    source = _Source(workspace, what)
    reference = None if against is None else _Source(workspace, against)
    steps = 4 if reference is None else 6
    profile = source.profile(_part(progress, 0, 2 / steps))
    base = profile if reference is None else reference.profile(_part(progress, 2 / steps, 4 / steps))
    fine, coarse = shape(base, fine=True), shape(base, fine=False)
    own, own_coarse = source.counts([fine, coarse], _part(progress, (steps - 2) / steps, (steps - 1) / steps))
    beside, base_counts = None, None
    if reference is not None and against is not None:
        (base_counts,) = reference.counts([fine], _part(progress, (steps - 1) / steps, 1))
        bins: dict[str, Bins] = {
            label: field.bins
            for label, field in binned_fields(coarse)
            if field.bins is not None and any(own_coarse[label])
        }
        beside = Against(_called(against), base, bins, own_coarse)
    held = _contract(workspace, source, contract)
    report = Report(_called(what), profile, fine, own, held, beside, base_counts)
    report = _of_dataset(workspace, report, what) if source.path is None else _of_file(report, source.path)
    progress(1.0)
    return report


def _called(name: str) -> str:
    return Path(name).name if Path(name).exists() else name


def _contract(workspace: Workspace, source: _Source, reference: str | None) -> Contract | None:
    if reference is not None:
        return workspace.candidate(source.name, reference) if source.path is None else workspace.contract(reference)
    if source.path is not None or workspace.versions.active(source.name) is None:
        return None
    return workspace.candidate(source.name, None)


def _of_file(report: Report, path: Path) -> Report:
    """With what of the file breaks the contract."""
    from assay.frames.check import check

    if report.contract is None:
        return report
    found = check(path, report.contract)
    broken = [Broken(each.field, each.msg, each.count) for each in found.violations]
    return replace(report, checked=(found.rows_seen, found.bad), broken=broken)


def _of_dataset(workspace: Workspace, report: Report, dataset: str) -> Report:
    """With what was refused, and events over time."""
    from assay.store.quarantine import groups as listed

    with workspace.connection() as con:
        refused = groups(listed(con, dataset, limit=_GROUPS))
        bars, width_s = _over_time(con, dataset)
    return replace(report, groups=refused, bars=bars, bar_s=width_s)


def _over_time(con: duckdb.DuckDBPyConnection, dataset: str) -> tuple[list[Bar], float]:
    """What was stored, flagged and refused in each of at most sixty stretches of time, and how long one is."""
    from assay.sql import quoted, sql_text

    tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()}
    parts = []
    if dataset in tables:
        stored = f"SELECT epoch(_collected_at) AS t, CASE WHEN _violations IS NULL THEN 0 ELSE 1 END AS kind FROM {quoted(dataset)}"
        parts.append(stored)
    if "_quarantine" in tables:
        refused = f"SELECT epoch(received_at) AS t, 2 AS kind FROM _quarantine WHERE dataset = {sql_text(dataset)} AND replayed_at IS NULL"
        parts.append(refused)
    if not parts:
        return [], 0.0
    every = " UNION ALL ".join(parts)
    ((first, last),) = con.execute(f"SELECT min(t), max(t) FROM ({every})").fetchall()
    if first is None or not last > first:
        return [], 0.0
    width_s = next(
        (float(width) for width in _WIDTHS if (last - first) / width < _BARS - 1), (last - first) / (_BARS - 1)
    )
    begin = first // width_s * width_s
    rows = con.execute(
        f"SELECT CAST(floor((t - ?) / ?) AS BIGINT) AS bar, kind, count(*) FROM ({every}) GROUP BY ALL",
        [begin, width_s],
    ).fetchall()
    counts: dict[int, list[int]] = {}
    for bar, kind, count in rows:
        counts.setdefault(bar, [0, 0, 0])[kind] = count
    bars = [Bar(begin + (i + 1) * width_s, *counts.get(i, [0, 0, 0])) for i in range(max(counts) + 1)]
    return bars, width_s


def _part(progress: Progress, first: float, last: float) -> Progress:
    """Tell the share of a part as a share of the whole."""
    return lambda share: progress(first + share * (last - first))
