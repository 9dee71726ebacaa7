"""What came of a dataset, counted as the service would have counted it under a contract: from its table and from quarantine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.contract.violation import Violation
from assay.errors import BadBody
from assay.frames.table import OWN, column_types, selections
from assay.frames.verdict import Bad, Verdict
from assay.ingest.again import is_unopened
from assay.ingest.arrow_values import flat_plain
from assay.ingest.cloudevents import ENVELOPE, KEY_REUSED, STRUCTURED, open_structured
from assay.ingest.decode import decode_event
from assay.monitor.audit import Counted, Counts
from assay.monitor.bins import Columns

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["History"]

_ROWS: Final = 65_536
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Events that no contract has refused, and so no other will take.
_NOT_JUDGED: Final = frozenset((ENVELOPE, KEY_REUSED))
_NOT_STORABLE: Final = "not_storable"
_OUTCOMES: Final = ("accepted", "flagged", "rejected")


class History:
    """What is stored of a contract's dataset. Every event is judged by the contract, whichever one judged it when it came.

    A refused event that was replayed is in the table, and counts from there.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, contract: Contract, active: Active | None, *, step_s: float
    ) -> None:
        """`active`: how the contract is enforced; None: all of it. A step, from one scrape to the next, takes `step_s`."""
        self._con = con
        self._contract = contract
        self._step_us = round(step_s * 1e6)
        self._verdict = Verdict(contract, active)
        self._columns = Columns(contract)
        self._types = column_types(con, contract.dataset)
        self._has_quarantine = bool(column_types(con, "_quarantine"))

    def counted(self, first: int, last: int) -> Counted:
        """What came in the steps first ... last - 1; step i begins at i times its length after 1970 and lasts to the next."""
        into = _Count(Counted(last - first), first * self._step_us, self._step_us, self._verdict, self._columns)
        span = [_EPOCH + timedelta(microseconds=step * self._step_us) for step in (first, last)]
        if "_collected_at" in self._types:
            self._stored(into, span)
        if self._has_quarantine:
            self._refused(into, span)
        return into.counted

    def _stored(self, into: _Count, span: list[datetime]) -> None:
        where = "_collected_at >= ? AND _collected_at < ?"
        meta = ("_source", "_extra", "_collected_at")
        for select, texts in selections(self._con, self._contract, self._types, where, span, meta=meta):
            with self._con.sql(select, params=span).to_arrow_reader(_ROWS) as reader:
                for batch in reader:
                    into.rows(batch, texts)

    def _refused(self, into: _Count, span: list[datetime]) -> None:
        found = self._con.execute(
            "SELECT epoch_us(received_at), source, content_type, body, violations FROM _quarantine"
            " WHERE dataset = ? AND received_at >= ? AND received_at < ? AND replayed_at IS NULL",
            [self._contract.dataset, *span],
        )
        while some := found.fetchmany(_ROWS):
            for received_us, source, content_type, body, violations in some:
                into.refused(received_us, source, content_type, body, json.loads(violations))


class _Count:
    """Adds to the counts of one stretch of time."""

    def __init__(self, counted: Counted, from_us: int, step_us: int, verdict: Verdict, columns: Columns) -> None:
        self.counted = counted
        self._from_us = from_us
        self._step_us = step_us
        self._verdict = verdict
        self._columns = columns

    # ---- what is in the table

    def rows(self, batch: pa.RecordBatch, texts: frozenset[str]) -> None:
        """Rows as `selections` gives them; `texts` are the columns that hold JSON."""
        import pyarrow as pa

        names = batch.schema.names
        own = {name: batch.column(names.index(name)) for name in ("_source", "_extra", "_collected_at")}
        events = batch.select([name for name in names if name not in OWN])
        at_us = own["_collected_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        steps = (at_us - self._from_us) // self._step_us
        bad = list(self._verdict.of_batch(events, texts, own["_extra"]))
        self._outcomes(steps, own["_source"], bad)
        self._last(steps, at_us)
        self._values(events, steps, at_us / 1e6, texts, own["_extra"])

    def _outcomes(self, steps: npt.NDArray[np.int64], sources: pa.Array, bad: Sequence[Bad]) -> None:
        outcomes = np.zeros(len(steps), dtype=np.int64)
        for place, found in bad:
            outcomes[place] = 2 if self._verdict.judge.rejects(found) else 1
            self._violations(int(steps[place]), [(self._verdict.label(each), each.type) for each in found])
        coded = sources.dictionary_encode()
        names = [*coded.dictionary.to_pylist(), "unknown"]
        codes = coded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
        for code, name in enumerate(names):
            for outcome, what in enumerate(_OUTCOMES):
                mine = steps[(codes == code) & (outcomes == outcome)]
                if len(mine):
                    self._events(name, what)[:] += np.bincount(mine, minlength=self.counted.steps)

    def _values(
        self,
        events: pa.RecordBatch,
        steps: npt.NDArray[np.int64],
        at_s: npt.NDArray[np.float64],
        texts: frozenset[str],
        extra: pa.Array,
    ) -> None:
        import pyarrow as pa

        # What a column could not hold, what is nested and what is JSON is looked at event by event.
        odd = np.ones(len(steps), dtype=bool)
        if self._columns.is_flat and not texts & self._columns.labels.keys():
            odd = extra.is_valid().to_numpy(zero_copy_only=False)
        if not odd.all():
            rest = events if not odd.any() else events.filter(pa.array(~odd))
            given = dict(zip(rest.schema.names, rest.columns, strict=True))
            nothing = pa.nulls(rest.num_rows)
            arrays = {name: flat_plain(given.get(name, nothing)) for name in self._columns.labels}
            own = steps[~odd]
            for label, places in self._columns.places(arrays, at_s[~odd]):
                self._add_values(label, places, own)
        grouped: dict[int, list[Mapping[str, Any]]] = {}
        for place, event in self._verdict.rows(events, np.flatnonzero(odd).tolist(), texts, extra):
            grouped.setdefault(int(steps[place]), []).append(event)
        for step, some in grouped.items():
            self._count(step, some)

    # ---- what was refused

    def refused(
        self, received_us: int, source: str, content_type: str, body: bytes, violations: Sequence[Mapping[str, Any]]
    ) -> None:
        """A body in quarantine, with the reasons that were kept."""
        step = (received_us - self._from_us) // self._step_us
        kinds = [each["type"] for each in violations]
        event = None if _NOT_JUDGED.intersection(kinds) else _event(content_type, body)
        if event is None:
            self._events(source, "rejected")[step] += 1
            kept = [Violation(tuple(each["loc"]), each["type"], each["msg"]) for each in violations]
            self._violations(step, [(self._verdict.label(each), each.type) for each in kept])
        else:
            found = self._verdict.judge.judge(event)
            outcome = "rejected" if self._verdict.judge.rejects(found) else "flagged" if found else "accepted"
            self._events(source, outcome)[step] += 1
            self._violations(step, [(self._verdict.label(each), each.type) for each in found])
            if isinstance(event, dict):
                self._count(step, [event])
        if _NOT_STORABLE in kinds:
            if self.counted.not_storable is None:
                self.counted.not_storable = np.zeros(self.counted.steps, dtype=np.int64)
            self.counted.not_storable[step] += 1
        self._last(np.array([step]), np.array([received_us]))

    # ---- adding

    def _events(self, source: str, outcome: str) -> Counts:
        return self._row(self.counted.events, (source, outcome))

    def _violations(self, step: int, found: Sequence[tuple[str, str]]) -> None:
        for each in found:
            self._row(self.counted.violations, each)[step] += 1

    def _row(self, rows: dict[tuple[str, str], Counts], key: tuple[str, str]) -> Counts:
        if key not in rows:
            rows[key] = np.zeros(self.counted.steps, dtype=np.int64)
        return rows[key]

    def _last(self, steps: npt.NDArray[np.int64], at_us: npt.NDArray[np.int64]) -> None:
        if self.counted.last is None:
            self.counted.last = np.zeros(self.counted.steps)
        np.maximum.at(self.counted.last, steps, at_us / 1e6)

    def _count(self, step: int, events: Sequence[Mapping[str, Any]]) -> None:
        # To a step: no bin of a lag is that fine.
        now_s = (self._from_us + (step + 0.5) * self._step_us) / 1e6
        for label, counts in self._columns.count(events, now_s):
            self._of(label)[:, step] += counts

    def _add_values(self, label: str, places: npt.NDArray[np.intp], steps: npt.NDArray[np.int64]) -> None:
        counts = self._of(label)
        counts += np.bincount(places * self.counted.steps + steps, minlength=counts.size).reshape(counts.shape)

    def _of(self, label: str) -> Counts:
        if label not in self.counted.values:
            shape = (len(self._columns.labels[label]), self.counted.steps)
            self.counted.values[label] = np.zeros(shape, dtype=np.int64)
        return self.counted.values[label]


def _event(content_type: str, body: bytes) -> Any:
    """The event that a refused body was; None where it was none, or a row of Arrow's."""
    if is_unopened(content_type):
        return None
    try:
        if content_type == STRUCTURED:
            opened = open_structured(body).events[0]
            return None if opened.found else opened.value
        return decode_event(body).value
    except BadBody:
        return None
