"""Which contracts are enforced right now: a folder, watched.

Files are looked at twice a second rather than by the system's notifications: a hundred `stat` calls cost a millisecond,
and hold where notifications do not (network file systems, folders that are swapped by a link, containers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from pathlib import Path
from typing import TypeAlias

from assay.contract.versions import Versions
from assay.errors import AssayError
from assay.ingest.validate import Judge

__all__ = ["Change", "Enforced"]

_Stamp: TypeAlias = tuple[int, int, int] | None


@dataclass(slots=True)
class Change:
    """What a look at the folder found: datasets with a new judge, those without one now, and what could not be read."""

    activated: list[Judge] = attribute(default_factory=list)
    deactivated: list[str] = attribute(default_factory=list)
    problems: dict[str, AssayError] = attribute(default_factory=dict)


class Enforced:
    """The judge of each dataset. Reading it is one dictionary look-up; a request keeps the judge that it began with."""

    def __init__(self, versions: Versions) -> None:
        self.versions = versions
        self.judges: Mapping[str, Judge] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._told: dict[str, str] = {}

    def get(self, dataset: str) -> Judge | None:
        """The dataset's judge, or None while it is learning."""
        return self.judges.get(dataset)

    def refresh(self) -> Change:
        """Look whether something changed, and build the new judges. They count once `adopt` is called with them.

        A contract that cannot be read changes nothing: what was enforced stays enforced, and the change says why, once.
        It is tried again at each look, as files that belong together do not all come at the same moment.
        """
        change = Change()
        datasets = set(self.versions.datasets()) | set(self.judges)
        for dataset in sorted(datasets):
            stamp = _stamp(self.versions.active_path(dataset))
            if self._stamps.get(dataset, ()) == stamp:
                continue
            try:
                active = self.versions.active(dataset)
                if active is not None:
                    change.activated.append(Judge(self.versions.load(dataset, active.contract), active))
                elif dataset in self.judges:
                    change.deactivated.append(dataset)
            except AssayError as problem:
                if self._told.get(dataset) != str(problem):
                    self._told[dataset] = str(problem)
                    change.problems[dataset] = problem
            else:
                self._stamps[dataset] = stamp
                self._told.pop(dataset, None)
        return change

    def adopt(self, change: Change) -> None:
        """Enforce what `refresh` found, from now on, at once for all datasets."""
        judges = dict(self.judges)
        for dataset in change.deactivated:
            judges.pop(dataset, None)
        judges.update((judge.contract.dataset, judge) for judge in change.activated)
        self.judges = judges


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
