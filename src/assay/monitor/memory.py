"""Counters in memory that two processes share: one counts, the other reads, and what was counted outlives who counted.

A memory is a file without a name. Its numbers only grow, and are never moved: each series has a slot of its own, named in
a directory that is only added to. So whoever counts takes no lock, and whoever takes over after a death goes on with what
is there. https://man7.org/linux/man-pages/man2/memfd_create.2.html
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Final, TypeAlias

__all__ = ["Memory", "SharedHistogram", "Slot", "new_memory"]

#: A series: the metric's name, and its label values.
Slot: TypeAlias = tuple[str, tuple[str, ...]]

_SLOTS: Final = 1 << 18
_WORD: Final = 8
_DIRECTORY_AT: Final = (_SLOTS + 1) * _WORD
#: Only what was written to takes room.
_SIZE: Final = _DIRECTORY_AT + (64 << 20)


def new_memory() -> int:
    """A new one, all zero: its file descriptor. The caller's to close."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("assay-counters")
    else:  # not on Linux
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, _SIZE)
    return descriptor


class Memory:
    """One worker's counters. One process at a time may add series and count; others read."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` may be closed afterwards."""
        self._map = mmap.mmap(descriptor, _SIZE)
        words = memoryview(self._map)[:_DIRECTORY_AT]
        #: Whole numbers and real ones, by slot: the same memory. The first word says how long the directory is.
        self._used = words[:_WORD].cast("Q")
        self.counts: Final = words[_WORD:].cast("q")
        self.reals: Final = words[_WORD:].cast("d")
        self._read_bytes = 0
        self._slots: dict[Slot, int] = {}
        self._adding = Lock()

    def slots(self) -> dict[Slot, int]:
        """Every series so far, with the place of its number."""
        used = self._used[0]
        if used > self._read_bytes:
            text = self._map[_DIRECTORY_AT + self._read_bytes : _DIRECTORY_AT + used]
            for line in text.splitlines():
                name, *labels = json.loads(line)
                self._slots[name, tuple(labels)] = len(self._slots)
            self._read_bytes = used
        return self._slots

    def slot(self, name: str, labels: tuple[str, ...]) -> int | None:
        """The place of a series' number, made where it is new; None where there is no room for more series."""
        with self._adding:
            slots = self.slots()
            place = slots.get((name, labels))
            if place is not None:
                return place
            line = json.dumps([name, *labels]).encode() + b"\n"
            begin = _DIRECTORY_AT + self._read_bytes
            if len(slots) >= _SLOTS or begin + len(line) > _SIZE:
                return None
            self._map[begin : begin + len(line)] = line
            self._used[0] = self._read_bytes + len(line)  # now it is there, whole
            return self.slots()[name, labels]

    def close(self) -> None:
        """Let go of it; nobody may count any more."""
        for view in (self._used, self.counts, self.reals):
            view.release()


class SharedHistogram:
    """A histogram whose numbers are in a memory. `parts` names them."""

    def __init__(self, memory: Memory, name: str, buckets: Sequence[float]) -> None:
        """`buckets` are the upper bounds, in order, without the last one."""
        self._memory = memory
        self._bounds = list(buckets)
        self._places = [memory.slot(*part) for part in parts(name, buckets)]
        self._lock = Lock()

    def observe(self, amount: float, times: int = 1) -> None:
        """Count one, or several of the same."""
        place, total = self._places[bisect_left(self._bounds, amount)], self._places[-1]
        if place is not None and total is not None:
            with self._lock:
                self._memory.counts[place] += times
                self._memory.reals[total] += amount * times


def parts(name: str, buckets: Sequence[float]) -> Iterator[Slot]:
    """What a histogram is made of: how many fell into each bucket alone, the last one for all beyond, and their sum."""
    for bound in buckets:
        yield name, ("le", str(float(bound)))
    yield name, ("le", "+Inf")
    yield name, ("sum",)
