"""The soft rules of a contract over data at rest: how many rows break each. They make no row a bad one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from assay.contract.document import Contract
from assay.contract.relations import NEAR, Relation, relations

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Soft"]


class Soft:
    """Counts, by rule. A cell of another kind than a rule speaks of breaks nothing."""

    def __init__(self, contract: Contract) -> None:
        self.relations = relations(contract)
        self.broken = dict.fromkeys((relation.rule for relation in self.relations), 0)

    def add_lines(self, lines: Sequence[bytes]) -> None:
        """Count events that are JSON, one a line."""
        if not self.relations:
            return
        for line in lines:
            try:
                event = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # no event: that is said elsewhere
            if isinstance(event, dict):
                for relation in self.relations:
                    self.broken[relation.rule] += relation.breaks(event)

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Count rows."""
        for relation in self.relations:
            self.broken[relation.rule] += _broken(relation, batch)


def _broken(relation: Relation, batch: pa.RecordBatch) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    present = set(batch.schema.names)
    arrays = [batch.column(name) if name in present else pa.nulls(batch.num_rows) for name in relation.fields]
    first, *others = arrays
    if relation.kind == "together":
        breaks = pc.xor(first.is_null(), others[0].is_null())
        for other in others[1:]:
            breaks = pc.or_(breaks, pc.xor(first.is_null(), other.is_null()))
    elif all(map(_is_number, arrays)):
        breaks = _numbers_break(relation, arrays)
    elif relation.kind == "order" and pa.types.is_temporal(first.type) and first.type == others[0].type:
        breaks = pc.greater(first, others[0])
    elif all(pa.types.is_string(array.type) or pa.types.is_large_string(array.type) for array in arrays):
        rows = zip(*(array.to_pylist() for array in arrays), strict=True)
        return sum(relation.breaks(dict(zip(relation.fields, row, strict=True))) for row in rows)
    else:
        return 0
    return int(pc.sum(breaks).as_py() or 0)


def _is_number(array: pa.Array) -> bool:
    import pyarrow as pa

    kind = array.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _numbers_break(relation: Relation, arrays: list[Any]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if len({array.type for array in arrays}) > 1 or relation.kind == "sum":
        arrays = [array.cast(pa.float64(), safe=False) for array in arrays]
    if relation.kind == "order":
        return pc.greater(arrays[0], arrays[1])
    if relation.kind == "equal":
        return pc.not_equal(arrays[0], arrays[1])
    first, *parts = arrays
    total = parts[0]
    for part in parts[1:]:
        total = pc.add(total, part)
    most = pc.max_element_wise(*(pc.abs(each) for each in (first, *parts)), skip_nulls=False)
    return pc.greater(pc.abs(pc.subtract(first, total)), pc.multiply(most, NEAR))
