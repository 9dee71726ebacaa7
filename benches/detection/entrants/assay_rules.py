"""assay: the contract that it learns, the bins that it counts, and the alerting rules that it generates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from assay.contract.document import Contract, Field
from assay.contract.structs import struct_plan
from assay.monitor.bins import Binner
from assay.monitor.recording import RARE
from assay.profile.learn import learn
from assay.profile.relation import profile
from benches.detection.column import LOOK, LOOKS, NULL, OTHER, WINDOWS, Array, Column, Table, chunks, windows
from benches.detection.entrants.generated import Constants, expression, floor_rows

__all__ = ["Assay", "Judge"]

_DRIFT: Final = expression("assay:drift")
_DRIFT_LIMIT: Final = expression("assay:drift_limit")
_RARE_SHARE: Final = expression("assay:rare_share")
_RARE_LIMIT: Final = expression("assay:rare_limit")
_VIOLATION_LIMIT: Final = expression("assay:violation_limit")
_REJECT_LIMIT: Final = expression("assay:reject_limit")


class Assay:
    """The product's own code from end to end; only the windows are counted in events."""

    name = "assay"
    slow = False
    every = 1

    def learn(self, table: Table) -> _Watch:
        """Profile, learn, and read the rules' numbers."""
        contract = learn(profile(_arrow(table), dataset="bench"))
        return _Watch(contract)


@dataclass(frozen=True)
class _FieldWatch:
    binner: Binner
    judge: Judge
    expected: Array
    floored: Array
    rows: float
    rare: Array
    rare_share: Array
    drift_base: float
    drift_k: float
    violation_share: float


class _Watch:
    def __init__(self, contract: Contract) -> None:
        constants = Constants(contract)
        self.reject_share = constants.of("assay:reject_share")
        self.fields = {
            field.name: _field_watch(field, constants) for field in contract.fields if field.bins is not None
        }

    def alarms(self, name: str, column: Column, since: int) -> Array:  # noqa: ARG002 - all looks at once
        """FieldDrift, FieldRareBin, FieldViolations and RejectRate, over each window."""
        field = self.fields[name]
        counted = _bins(field.binner, column)
        kinds = field.judge.violations(column)
        violations = np.stack([chunks(kinds == kind) for kind in range(1, Judge.KINDS)], axis=1)
        found = np.zeros(LOOKS, dtype=bool)
        for window in WINDOWS:
            found |= _over(field, self.reject_share, windows(counted, window), windows(violations, window))
        return found


def _over(field: _FieldWatch, reject_share: float, values: Array, violations: Array) -> Array:
    """Whether any of the rules' conditions holds, at each look; never where a window is not full (NaN)."""
    total = values.sum(axis=1)
    share = values / total[:, None]
    drift = _DRIFT(assay_share=share, assay_expected=field.expected, assay_expected_floored=field.floored)
    limit = _DRIFT_LIMIT(
        assay_drift_base=field.drift_base, assay_drift_k=field.drift_k, assay_total=total, assay_rows=field.rows
    )
    rare_limit = _RARE_LIMIT(assay_rare_share=field.rare_share, assay_total=total[:, None])
    violation_limit = _VIOLATION_LIMIT(assay_violation_share_field=field.violation_share, assay_events=total)
    reject_limit = _REJECT_LIMIT(assay_reject_share=reject_share, assay_events=total)
    return np.asarray(
        (drift > limit)
        | (values[:, field.rare] > rare_limit).any(axis=1)
        | (violations > violation_limit[:, None]).any(axis=1)
        | (violations.sum(axis=1) > reject_limit)
    )


def _field_watch(field: Field, constants: Constants) -> _FieldWatch:
    bins = field.bins
    assert bins is not None
    expected = np.array([bins.share.get(label, 0.0) for label in bins.labels])
    rare = np.array([re.fullmatch(RARE, label) is not None for label in bins.labels])
    rows = constants.of("assay:rows", field.name)
    return _FieldWatch(
        binner=Binner(bins),
        judge=Judge(field),
        expected=expected,
        floored=np.maximum(expected, floor_rows() / rows),
        rows=rows,
        rare=rare,
        rare_share=_RARE_SHARE(assay_expected=expected[rare], assay_rows=rows),
        drift_base=constants.of("assay:drift_base", field.name),
        drift_k=constants.of("assay:drift_k", field.name),
        violation_share=constants.violation_share(field.name),
    )


def _bins(binner: Binner, column: Column) -> Array:
    """How many values of each chunk fall into each bin."""
    other = binner.labels.index("_other")
    missing = column.kind != 0
    array = pa.array(column.values, mask=missing, type=pa.string() if column.text else pa.float64())
    counted = np.array([binner.count_array(array.slice(i * LOOK, LOOK)) for i in range(LOOKS)], dtype=np.float64)
    mistyped = chunks(column.kind == OTHER)
    counted[:, other] += mistyped
    counted[:, binner.labels.index("null")] -= mistyped
    return counted


class Judge:
    """What a learned contract says of one field's values, for whole columns (a test holds it to the contract's own verdicts)."""

    KINDS: Final = 7
    _MISSING, _TYPE, _WHOLE, _LOW, _HIGH, _VALUE = range(1, KINDS)

    def __init__(self, field: Field) -> None:
        self.field = field
        root = Field("", frozenset({"object"}), properties=(field,))
        plan = struct_plan(Contract("", None, {}, root))
        self._residual = plan.residuals[0].accepts if plan is not None and plan.residuals else None
        self._known: dict[Any, bool] = {}

    def violations(self, column: Column) -> Array:
        """For each event 0, or which kind of rule it breaks."""
        field, values = self.field, column.values
        found = np.zeros(len(values), dtype=np.int8)
        if column.text:
            found[~self._accepted(values, column.kind == 0)] = self._VALUE
        else:
            if field.enum is not None:
                found[~np.isin(values, [value for value in field.enum if isinstance(value, int | float)])] = self._VALUE
            with np.errstate(invalid="ignore"):
                if field.minimum is not None:
                    found[values < field.minimum] = self._LOW
                if field.maximum is not None:
                    found[values > field.maximum] = self._HIGH
                if field.types == {"integer"}:
                    found[values != np.trunc(values)] = self._WHOLE
        found[column.kind == NULL] = self._MISSING if field.required or not field.nullable else 0
        found[column.kind == OTHER] = self._TYPE
        return found

    def _accepted(self, values: Array, there: Array) -> Array:
        """Of texts: each distinct one once."""
        field = self.field

        def accepts(value: Any) -> bool:
            if field.enum is not None:
                return value in field.enum
            if field.max_length is not None and len(value) > field.max_length:
                return False
            return self._residual is None or self._residual(value)

        for value in set(values[there]) - self._known.keys():
            self._known[value] = accepts(value)
        known = self._known
        return np.array([not here or known[value] for value, here in zip(values, there, strict=True)], dtype=bool)


def _arrow(table: Table) -> pa.Table:
    columns = {}
    for name, column in table.items():
        kind = pa.string() if column.text else pa.int64() if column.whole else pa.float64()
        columns[name] = pa.array([None if value != value else value for value in column.json()], type=kind)  # noqa: PLR0124
    return pa.table(columns)
