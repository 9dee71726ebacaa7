"""Requests with a key, one at a time for each key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from assay.ingest.keys import Slot

__all__ = ["Flights"]

_T = TypeVar("_T")


class Flights:
    """Who is under way with which key. For one event loop."""

    def __init__(self) -> None:
        self._flying: dict[Slot, asyncio.Task[Any]] = {}

    async def run(self, slots: Iterable[Slot], work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Do `work` when no other has one of its keys in flight. It goes on when the caller goes away: it may be half logged."""
        wanted = set(slots)
        while ahead := {self._flying[slot] for slot in wanted & self._flying.keys()}:
            await asyncio.wait(ahead)
        # No await from here until the keys are taken.
        task = asyncio.get_running_loop().create_task(work())
        for slot in wanted:
            self._flying[slot] = task
        task.add_done_callback(lambda _: self._land(wanted, task))
        return await asyncio.shield(task)

    def _land(self, slots: Iterable[Slot], task: asyncio.Task[Any]) -> None:
        for slot in slots:
            del self._flying[slot]
        if not task.cancelled():
            task.exception()  # looked at, should the caller have gone away
