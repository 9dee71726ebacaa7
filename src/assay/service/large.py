"""A large request on its way: its pieces are durable one after the other, and count together or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.ingest.large import LargeBody
from assay.ingest.outcome import Outcome

if TYPE_CHECKING:
    from assay.service.collector import Collector

__all__ = ["LargeRequest"]


class LargeRequest:
    """One of them. Either `finish` is reached, or `abandon` must be called."""

    def __init__(self, collector: Collector, body: LargeBody, *, keep: bool) -> None:
        self._collector = collector
        self._body = body
        self._tally = collector.tally(body.outcome.judge)
        self._keep = keep
        self._learned_bytes = 0
        self._has_pieces = False
        self._is_sent = False

    async def take(self, lines: bytes) -> None:
        """The next lines of the body, judged and durable when this returns.

        Raises:
            Overloaded, LogFailed: abandon it.
        """
        outcome = self._body.outcome
        if outcome.judge is None and self._keep:
            self._collector.learn(outcome.dataset, len(lines))
            self._learned_bytes += len(lines)
        part, records, tally = await self._collector.judge_lines(self._body, lines)
        self._tally.sums.add(tally.sums)
        pieces = self._body.add(lines, part, records)
        if pieces and self._keep:
            self._has_pieces = True
            await self._collector.commit_pieces(pieces)

    async def finish(self) -> Outcome:
        """The body is whole: what it says is durable now, and counts.

        Raises:
            Overloaded, LogFailed: abandon it.
        """
        records = self._body.last()
        if self._keep and records:
            self._is_sent = True  # from here on it is the log that says what becomes of it, whoever waits or does not
            await self._collector.commit_last(self._body, self._tally, records)
        elif self._learned_bytes:
            self._collector.unlearn(self._body.outcome.dataset, self._learned_bytes)
        return self._body.outcome

    def abandon(self) -> None:
        """Leave nothing of it."""
        if self._learned_bytes:
            self._collector.unlearn(self._body.outcome.dataset, self._learned_bytes)
        if self._has_pieces and not self._is_sent:
            self._collector.drop(self._body)
