"""Applies several logs to one store, in turn: what `Applier` is for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from assay.errors import LogFailed, StoreFailed, StoreLocked
from assay.ingest.apply import Applied, Applier, Books, JudgeFor
from assay.ingest.former import Former

__all__ = ["Appliers", "Rounds"]


class Rounds(Protocol):
    """What a worker runs, again and again."""

    def round(self, judge_for: JudgeFor) -> Applied:
        """Move some of what there is to move."""

    def contracts_changed(self) -> None:
        """A contract was activated: look whether events waited for it."""

    def recount(self, in_quarantine: int) -> None:
        """Events were replayed: so many are in quarantine now."""


class Appliers:
    """The first log's `through` stands in `Applied.through`, those of the others follow in order. Not thread-safe."""

    def __init__(self, appliers: Sequence[Applier], formers: Sequence[Former], books: Books) -> None:
        """`books` are those that all share."""
        self._all: list[Applier | Former] = [*appliers, *formers]
        self._places = [0] * len(self._all)
        self._books = books

    def contracts_changed(self) -> None:
        """A contract was activated: look whether events waited for it."""
        self._all[0].contracts_changed()  # they wait in the store, whatever log they came by

    def recount(self, in_quarantine: int) -> None:
        """Events were replayed: so many are in quarantine now."""
        self._books.in_quarantine = in_quarantine

    def round(self, judge_for: JudgeFor) -> Applied:
        """A round of each. A log that cannot be read holds up no other; the store being held ends the round."""
        total = Applied()
        for number, each in enumerate(self._all):
            try:
                applied = each.round(judge_for)
            except LogFailed as failure:
                total.trouble = total.trouble or failure
                continue
            except (StoreLocked, StoreFailed) as failure:
                total.trouble = failure
                break
            self._places[number] = applied.through
            _add(total, applied)
        total.through, *others = self._places
        total.others = tuple(others)
        total.in_quarantine = self._books.in_quarantine
        return total


def _add(total: Applied, applied: Applied) -> None:
    total.events += applied.events
    total.gaps += applied.gaps
    for counts, more in ((total.not_storable, applied.not_storable), (total.expired, applied.expired)):
        for dataset, count in more.items():
            counts[dataset] = counts.get(dataset, 0) + count
    total.quarantined += applied.quarantined
    total.more |= applied.more
    total.waiting |= applied.waiting
    total.held_s += applied.held_s
