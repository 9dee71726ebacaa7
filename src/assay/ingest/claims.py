"""Keys in flight, held against the other workers: two of them never work on the same key at once.

The lock is the system's, on one byte of a file for each of 4,096 sorts of keys: it takes the locks of a process that dies
back by itself, when nothing of that process can write any more. A worker also holds a byte while its log is open. A log
that is not open was left by a worker that died; what its last transaction came to is settled when it is opened again.
https://man7.org/linux/man-pages/man2/fcntl.2.html (advisory record locking)
"""

from __future__ import annotations

import asyncio
import fcntl
import time
import zlib
from collections.abc import Iterable
from typing import Final

from assay.errors import Overloaded
from assay.ingest.keys import Slot

__all__ = ["Claims"]

#: Two requests whose keys are of one sort wait for each other.
_SORTS: Final = 4_096
#: The keys of CloudEvents have bytes of their own: whoever holds some of these never waits for the others.
_EVENTS_AT: Final = _SORTS
_LOGS_AT: Final = 2 * _SORTS
_SHORTEST_S: Final = 0.001
_LONGEST_S: Final = 0.05
_PATIENCE_S: Final = 10.0


class Claims:
    """One worker's. For one event loop: what is claimed twice here is held once, so `Flights` keeps its own apart."""

    def __init__(self, descriptor: int, number: int, workers: int) -> None:
        """`descriptor` is a file that all workers share, open for writing. It must stay open, and no copy be closed."""
        self._descriptor = descriptor
        self._own = _LOGS_AT + number
        self._others = [_LOGS_AT + other for other in range(workers) if other != number]

    @staticmethod
    def places(slots: Iterable[Slot]) -> set[int]:
        """Where keys are held: keys of one place at one time."""
        return {
            zlib.crc32("\0".join(slot).encode()) % _SORTS + (_EVENTS_AT if slot.key.startswith("ce ") else 0)
            for slot in slots
        }

    def open(self) -> None:
        """Say that this worker's log is open, until the process ends."""
        while not self._take(self._own):
            time.sleep(_SHORTEST_S)  # somebody just looks whether it is

    async def take(self, places: Iterable[int]) -> None:
        """Hold places, when no other worker does, and every log is open. In order: so no two wait for each other.

        Raises:
            Overloaded: a log that another worker left was not opened again in time; nothing is held.
        """
        taken: list[int] = []
        try:
            for place in sorted(places):
                pause_s = _SHORTEST_S
                while not self._take(place):
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_S)
                taken.append(place)
            await self._opened()
        except BaseException:
            self.release(taken)
            raise

    def release(self, places: Iterable[int]) -> None:
        """Let go of them."""
        for place in places:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, place)

    async def _opened(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not self._all_open():
            if time.monotonic() > deadline:
                raise Overloaded("a process that takes events was lost, and its log is not open again; try again")
            await asyncio.sleep(_LONGEST_S)

    def _take(self, place: int, how: int = fcntl.LOCK_EX) -> bool:
        try:
            fcntl.lockf(self._descriptor, how | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _all_open(self) -> bool:
        for place in self._others:
            if self._take(place, fcntl.LOCK_SH):  # so nobody holds it
                self.release([place])
                return False
        return True
