"""Requests with a key, one at a time for each key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, TypeVar

from assay.ingest.claims import Claims
from assay.ingest.keys import Slot

__all__ = ["Flights"]

_T = TypeVar("_T")


class Flights:
    """Who is under way with which key. For one event loop; `claims` keep other processes apart."""

    def __init__(self, claims: Claims | None = None) -> None:
        self._claims = claims
        self._flying: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, slots: Iterable[Slot], work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Do `work` when no other has one of its keys in flight. It goes on when the caller goes away: it may be half logged.

        Raises:
            Overloaded: nobody can say what became of a key in another process.
        """
        claims = self._claims
        wanted: set[Hashable] = set(slots) if claims is None else set(claims.places(slots))
        while ahead := {self._flying[place] for place in wanted & self._flying.keys()}:
            await asyncio.wait(ahead)
        # No await from here until the keys are taken.
        task = asyncio.get_running_loop().create_task(work() if claims is None else _claimed(claims, slots, work))
        for place in wanted:
            self._flying[place] = task
        task.add_done_callback(lambda _: self._land(wanted, task))
        return await asyncio.shield(task)

    def _land(self, wanted: Iterable[Hashable], task: asyncio.Task[Any]) -> None:
        for place in wanted:
            del self._flying[place]
        if not task.cancelled():
            task.exception()  # looked at, should the caller have gone away


async def _claimed(claims: Claims, slots: Iterable[Slot], work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    places = claims.places(slots)
    await claims.take(places)
    try:
        return await work()
    finally:
        claims.release(places)
