"""The quarantine as the page has it: the newest refused events by kind, read with a limit, and remembered while the store is held."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from assay.errors import ServiceError
from assay.ui import views
from assay.ui.desk import Desk

__all__ = ["Found", "Quarantine"]

#: What was read this long ago, seconds, is good enough for the next look.
_FRESH_S: Final = 2.0
#: What is older than this is not shown without asking first.
_RECENT_S: Final = 15.0
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
    was_read: bool = True


class Quarantine:
    """Asks the store, at most once every other second for a dataset. Called from threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: dict[str, tuple[float, Found]] = {}
        self._reading: set[str] = set()
        self._forgotten = 0
        self._lock = threading.Lock()

    def groups(self, dataset: str) -> Found:
        """The groups of a dataset. Where the store cannot be read now: those of the last time.

        What was read a moment ago is shown at once, and read anew behind it. Where there was nothing, `trouble` says why.
        """
        known = self._known.get(dataset)
        age_s = math.inf if known is None else time.monotonic() - known[0]
        if known is None or age_s > _RECENT_S:
            return self._read(dataset)
        with self._lock:
            is_due = age_s >= _FRESH_S and dataset not in self._reading
            if is_due:
                self._reading.add(dataset)
        if is_due:
            threading.Thread(target=self._read, args=(dataset,), name="assay-quarantine", daemon=True).start()
        return replace(known[1], age_s=age_s)

    def _read(self, dataset: str) -> Found:
        forgotten = self._forgotten
        try:
            document = self._desk.rejects(dataset, limit=_GROUPS, group=True, timeout_s=_WAIT_S)
            found = Found(views.groups(document), document.get("within"))
            with self._lock:
                if forgotten == self._forgotten:  # else it was read before a replay
                    self._known[dataset] = (time.monotonic(), found)
                while len(self._known) > _REMEMBERED:
                    self._known.pop(next(iter(self._known)))
            return found
        except ServiceError as error:
            known = self._known.get(dataset)
            if known is None:
                return Found([], trouble=str(error), was_read=False)
            return replace(known[1], age_s=time.monotonic() - known[0], trouble=str(error))
        finally:
            with self._lock:
                self._reading.discard(dataset)

    def forget(self, dataset: str) -> None:
        """What was read of a dataset is no longer so: it was replayed."""
        with self._lock:
            self._known.pop(dataset, None)
            self._forgotten += 1
