"""A large body of lines, judged piece by piece: what one piece leaves, and what all of them come to. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from assay.ingest.intake import take_lines
from assay.ingest.outcome import Outcome, Rejected
from assay.ingest.payload import LoggedRequest, pack
from assay.ingest.record import REJECTS, Kind, Piece, Record
from assay.ingest.validate import Judge

__all__ = ["LargeBody"]

#: As many rejected events are remembered as can be named in an answer: each has one violation at least.
_MOST_REMEMBERED: Final = 100


class LargeBody:
    """One request's body, in pieces that end where lines end: each is judged (`task`) and added (`add`), one after the other."""

    def __init__(
        self,
        *,
        dataset: str,
        judge: Judge | None,
        source: str,
        content_type: str,
        received_us: int,
        atomic: bool = False,
        keep_unknown: bool = True,
    ) -> None:
        self.request: Final = uuid.uuid4().hex
        #: What all pieces so far come to.
        self.outcome: Final = Outcome(dataset, source, judge, atomic=atomic)
        self._content_type = content_type
        self._received_us = received_us
        self._keep_unknown = keep_unknown
        self._index = 0
        self._line = 0
        self._logged = 0
        self._logged_bytes = 0

    def task(self, lines: bytes) -> Callable[[], tuple[Outcome, list[Record]]]:
        """What judges the next lines: what became of them, and what to log of them. It can be pickled."""
        total = self.outcome
        return partial(
            take_lines,
            lines,
            Outcome(total.dataset, total.source, total.judge),
            first_index=self._index,
            first_line=self._line,
            content_type=self._content_type,
            received_us=self._received_us,
            keep_unknown=self._keep_unknown,
        )

    def add(self, lines: bytes, part: Outcome, records: Sequence[Record]) -> list[Piece]:
        """The next lines were judged; what to log of them."""
        total = self.outcome
        self._index += part.accepted + part.refused
        self._line += lines.count(b"\n")
        total.accepted += part.accepted
        total.flagged += part.flagged
        total.more_rejected += part.more_rejected
        self._remember(part.rejected)
        if self._only_rejects:
            records = [record for record in records if record.kind in REJECTS]
        self._logged += len(records)
        self._logged_bytes += sum(len(record.payload) for record in records)
        return [Piece(self.request, record) for record in records]

    def last(self) -> list[Record]:
        """What makes the pieces count; nothing where none was logged. The outcome is what the request is answered with."""
        total = self.outcome
        if self._only_rejects:
            total.accepted = total.flagged = 0
        if not self._logged:
            return []
        contract = None if total.judge is None else total.judge.contract
        events = total.accepted + total.refused
        payload = pack(LoggedRequest(self.request, self._logged_bytes, self._only_rejects))
        return [
            Record(
                Kind.REQUEST,
                total.dataset,
                contract,
                total.source,
                self._content_type,
                self._received_us,
                events,
                payload,
            )
        ]

    @property
    def _only_rejects(self) -> bool:
        return self.outcome.atomic and not self.outcome.ok

    def _remember(self, rejected: list[Rejected]) -> None:
        room = _MOST_REMEMBERED - len(self.outcome.rejected)
        self.outcome.rejected += rejected[:room]
        self.outcome.more_rejected += len(rejected[room:])
