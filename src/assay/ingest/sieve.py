"""Parts the events that a store takes from those that it refuses, whatever the reason is, by trials that are undone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from assay.ingest.work import Event, Unpacker, Work
from assay.store.protocol import Refused, Transaction

__all__ = ["Write", "refusal", "sieve"]

_MOST_TRIALS: Final = 200

#: Opens the store for one transaction.
Write = Callable[[], AbstractContextManager[Transaction]]


class _Undo(Exception):
    """Leaves a transaction that was only a trial."""


def sieve(events: list[Event], unpack: Unpacker, write: Write) -> tuple[list[Event], list[tuple[Event, str]]]:
    """The events that the store takes, together, and those that it refuses, each with the reason. Nothing is stored."""
    good: list[Event] = []
    refused: list[tuple[Event, str]] = []
    trials = 0
    stack = [events]
    while stack:
        part = stack.pop()
        if not part:
            continue
        reason = refusal(part, unpack, write)
        trials += 1
        if reason is None:
            good += part
        elif len(part) == 1 or trials >= _MOST_TRIALS:
            refused += [(event, reason) for event in part]
        else:
            middle = len(part) // 2
            stack += [part[middle:], part[:middle]]
    reason = refusal(good, unpack, write)
    if reason is not None:  # each half passes, and both together do not: a rule across rows
        return [], [*((event, reason) for event in good), *refused]
    return good, refused


def refusal(events: Sequence[Event], unpack: Unpacker, write: Write) -> str | None:
    """Why the store does not take these events; None when it does. Nothing is stored."""
    tables = unpack.tables(Work(events=list(events)))
    try:
        with contextlib.suppress(_Undo), write() as transaction:
            for contract, table in tables:
                transaction.insert(contract, table)
            raise _Undo
    except Refused as refused:
        return str(refused)
    return None
