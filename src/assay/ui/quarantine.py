"""The quarantine as the page has it: the newest refused events by kind, read with a limit, and remembered while the store is held."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from assay.errors import ServiceError
from assay.ui import views
from assay.ui.desk import Desk

__all__ = ["Found", "Quarantine"]

#: What was read this long ago, seconds, is good enough for the next look.
_FRESH_S: Final = 2.0
#: How long a page waits for a store that is being written to.
_WAIT_S: Final = 1.5
_GROUPS: Final = 50
_REMEMBERED: Final = 100


@dataclass(frozen=True, slots=True)
class Found:
    """Groups of refused events, the most frequent first, as of `age_s` seconds ago. `trouble` says why they are not newer.

    They are of the newest refused events, of which `within` were looked at; None: of all.
    """

    groups: Sequence[views.Group]
    within: int | None = None
    age_s: float = 0.0
    trouble: str = ""


class Quarantine:
    """Asks the store, at most once every other second for a dataset. Called from threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: dict[str, tuple[float, Found]] = {}
        self._lock = threading.Lock()

    def groups(self, dataset: str) -> Found:
        """The groups of a dataset. Where the store cannot be read now: those of the last time, if there was one.

        Raises:
            StoreLocked, StoreFailed: it cannot be read, and never was.
        """
        now_s = time.monotonic()
        known = self._known.get(dataset)
        if known is not None and now_s - known[0] < _FRESH_S:
            return known[1]
        try:
            document = self._desk.rejects(dataset, limit=_GROUPS, group=True, timeout_s=_WAIT_S)
        except ServiceError as error:
            if known is None:
                raise
            return Found(known[1].groups, known[1].within, now_s - known[0], str(error))
        found = Found(views.groups(document), document.get("within"))
        with self._lock:
            self._known[dataset] = (time.monotonic(), found)
            while len(self._known) > _REMEMBERED:
                self._known.pop(next(iter(self._known)))
        return found

    def forget(self, dataset: str) -> None:
        """What was read of a dataset is no longer so: it was replayed."""
        with self._lock:
            self._known.pop(dataset, None)
