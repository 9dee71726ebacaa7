"""A relation of DuckDB's into its profile.

Columns with a type are measured as they are; JSON, in a column or as whole events, is taken apart first (`shred`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from assay.profile import lag, seasons, shred, stretches
from assay.profile.batch import Batch, Progress
from assay.profile.document import FieldProfile, Profile
from assay.profile.engine import Duck, Engine, Term
from assay.profile.extra import is_json, put_together
from assay.profile.measure import Kind
from assay.profile.relations import Related, find
from assay.profile.roles import is_identifier
from assay.sql import quoted, sql_text

if TYPE_CHECKING:
    import duckdb

__all__ = ["Progress", "measure_table", "summarize", "summarize_events"]

_INTEGERS: Final = frozenset(
    ("tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint")
)
#: Types that stand in JSON as strings of a format. A time of day has none: RFC 3339's need a zone.
_FORMATTED: Final = {
    "date": "date",
    "time": "",
    "uuid": "uuid",
    **dict.fromkeys(
        ("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone", "timestamp_tz"),
        "date-time",
    ),
}

_Finish: TypeAlias = Callable[[int], FieldProfile]


def summarize(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    *,
    dataset: str = "",
    progress: Progress | None = None,
    names: Sequence[str] | None = None,
) -> Profile:
    """The profile of what stands in an SQL FROM clause: a quoted table name, or `(SELECT ...)`; see `measure_table`."""
    return measure_table(Duck(con), relation, dataset=dataset, progress=progress, names=names)


def measure_table(
    engine: Engine,
    relation: str,
    *,
    dataset: str = "",
    progress: Progress | None = None,
    names: Sequence[str] | None = None,
) -> Profile:
    """The profile of a relation with columns of any types.

    A field is a column; its NULLs are `absent`, as a table does not know missing from null. In a dataset's own table
    (one with a column `_collected_at`) the columns whose names begin with `_` are assay's and are left out; values that
    a column could not hold come from `_extra`. `names` are the fields' names where the columns cannot have them.
    `progress` is told the share that is done, in [0, 1].
    """
    columns = engine.columns(relation)
    names = names or [column for column, _ in columns]
    rows = _rows(engine, relation)
    own = "_collected_at" in names
    collected = columns[names.index("_collected_at")][0] if own else ""
    first, last = _times(engine, relation, collected) if own else (None, None)
    kept = _fields(names, columns, own=own)
    if own and "_extra" in names and str(columns[names.index("_extra")][1].id).lower() == "varchar":  # JSON's, too
        relation = put_together(engine, relation, columns, kept, columns[names.index("_extra")][0])
        kept = _fields(names, engine.columns(relation), own=own)
    batch = Batch(engine, relation, rows, received=f"epoch({quoted(collected)})" if own else "")
    planned = [_plan(batch, name, quoted(column), sql_type) for name, column, sql_type in kept]
    batch.run(progress)
    fields = tuple(finish(rows) for finish in planned)
    related = [
        _related(field, quoted(column), "json" if is_json(sql_type) else str(sql_type.id).lower(), "{c}")
        for field, (_, column, sql_type) in zip(fields, kept, strict=True)
    ]
    hours = seasons.measured(engine, relation, batch.received) if own else None
    found = find(engine, relation, related, rows)
    profile = Profile(dataset, rows, fields, first, last, relations=found, hours=hours)
    if progress is not None:
        progress(1.0)
    return profile


def _fields(names: Sequence[str], columns: Sequence[tuple[str, Any]], *, own: bool) -> list[tuple[str, str, Any]]:
    """The fields with their columns and types; `own`: without assay's columns."""
    return [
        (name, column, sql_type)
        for name, (column, sql_type) in zip(names, columns, strict=True)
        if not (own and name.startswith("_"))
    ]


def summarize_events(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    column: str = "body",
    *,
    dataset: str = "",
    progress: Progress | None = None,
) -> Profile:
    """The profile of events that are JSON texts in one column, as in `_learning`.

    Here `missing` and `null` are told apart, and integers from numbers by how they are written: `1.0` is a number. A
    text that is no JSON object is skipped, and counted in `skipped`.
    """
    engine = Duck(con)
    body = quoted(column)
    is_event = f"json_valid({body}) AND regexp_matches({body}::VARCHAR, '^\\s*\\{{')"
    total = _rows(engine, relation)
    names = {name for name, _ in engine.columns(relation)}
    timed = "received_at" in names
    columns = f"{body}::VARCHAR AS v" + (", epoch(received_at) AS r" if timed else "")
    good = f"(SELECT {columns} FROM {relation} WHERE {is_event})"
    rows = _rows(engine, good)
    if rows == total:
        good = f"(SELECT {columns} FROM {relation})"
    first, last = _times(engine, relation, "received_at") if timed else (None, None)
    fields = shred.objects(engine, good, timed=timed, progress=progress) if rows else ()
    related = [_related(field, f"v{i}", "json", "trim({c}, '\"')") for i, field in enumerate(fields)]
    relations = find(engine, shred.extracted(good, [field.name for field in fields]), related, rows) if fields else ()
    if progress is not None:
        progress(1.0)
    hours = seasons.measured(engine, relation, "epoch(received_at)") if timed else None
    return Profile(dataset, rows, fields, first, last, skipped=total - rows, relations=relations, hours=hours)


def _related(field: FieldProfile, expr: str, sql_type: str, text: str) -> Related:
    """A field as relations are looked for with it. `text` makes a string of `{c}`, an expression of that SQL type."""
    kinds = set(field.kinds)
    absent = field.rows - sum(field.kinds.values())
    if kinds and kinds <= {"integer", "number"}:
        whole = "number" not in kinds
        if sql_type == "json":
            expr = f"TRY_CAST({expr} AS {'HUGEINT' if whole else 'DOUBLE'})"
        if not whole:
            expr = shred.number_column(f"{expr}::DOUBLE", floating=True)[0]
        return Related(field.name, expr, "number", absent, "" if is_identifier(field) else f"({expr})::DOUBLE")
    if kinds == {"string"} and field.strings is not None:
        for name, kind, column in (("date-time", "moment", "TIMESTAMPTZ"), ("date", "day", "DATE")):
            if field.strings.formats.get(name) == field.strings.count:
                if sql_type in {"json", "varchar"}:
                    expr = f"TRY_CAST({text.replace('{c}', expr)} AS {column})"
                return Related(field.name, expr, cast("Any", kind), absent, f"epoch_us({expr}::TIMESTAMP)::DOUBLE")
    return Related(field.name, f"NULLIF({expr}, 'null')" if sql_type == "json" else expr, "other", absent)


def _rows(engine: Engine, relation: str) -> int:
    return int(engine.ask(relation, [Term("count(*)")])[0])


def _times(engine: Engine, relation: str, column: str) -> tuple[str | None, str | None]:
    """The ends of a column of times, in UTC."""
    name = f"epoch_us({quoted(column)})"
    ends = engine.ask(relation, [Term(f"min({name})", "least"), Term(f"max({name})", "greatest")])
    first, last = (None if time is None else _rfc3339(time) for time in ends)
    return first, last


def _rfc3339(epoch_us: int) -> str:
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=epoch_us)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plan(batch: Batch, name: str, expr: str, sql_type: Any) -> _Finish:
    """Ask for all that a column needs; what is returned makes its profile once the batch has run."""
    kind = str(sql_type.id).lower()
    if is_json(sql_type):
        timed = bool(batch.received)
        received = f", {batch.received} AS r" * timed
        relation = f"(SELECT {expr}::VARCHAR AS v0{received} FROM {batch.relation})"
        return lambda rows: (
            shred.cells(batch.engine, relation, [name], unknown="absent", timed=timed)[0] if rows else _empty(name)
        )
    if kind == "struct":
        return _plan_struct(batch, name, expr, sql_type)
    if kind in {"list", "array"}:
        return _plan_list(batch, name, expr, sql_type)
    if kind in {"decimal", "float", "double", "uhugeint"} or kind in _INTEGERS:
        return _plan_number(batch, name, expr, sql_type)
    if kind == "boolean":
        slot = batch.ask(expr, "boolean")
        return lambda rows: _in_time(
            batch,
            expr,
            FieldProfile(name, rows, _types(rows, "boolean", batch.counts[slot]), true=batch.true[slot]),
        )
    if kind in {"varchar", "enum"}:
        slot = batch.ask(expr if kind == "varchar" else f"{expr}::VARCHAR", "text")
        return lambda rows: _in_time(
            batch,
            expr,
            FieldProfile(name, rows, _types(rows, "string", batch.counts[slot]), strings=batch.strings[slot]),
        )
    if kind in _FORMATTED:
        return _plan_formatted(batch, name, expr, _FORMATTED[kind])
    # What JSON has no type for, or none of its own: only whether it is there.
    slot = batch.ask(expr, "count")
    return lambda rows: FieldProfile(name, rows, _types(rows, "other", batch.counts[slot]))


def _plan_number(batch: Batch, name: str, expr: str, sql_type: Any) -> _Finish:
    kind = str(sql_type.id).lower()
    whole = kind in _INTEGERS or kind == "uhugeint" or (kind == "decimal" and dict(sql_type.children)["scale"] == 0)
    slot_kind: Kind
    taken_from = ""
    if kind in _INTEGERS:
        asked, slot_kind = expr, "integer"
    elif kind == "decimal" and whole:
        asked, slot_kind = f"{expr}::HUGEINT", "integer"
    else:
        asked, slot_kind, taken_from = shred.number_column(f"{expr}::DOUBLE", floating=True)
    slot = batch.ask(asked, slot_kind, taken_from)
    present = batch.ask(expr, "count") if slot_kind == "float" else None

    def finish(rows: int) -> FieldProfile:
        numbers = batch.numbers[slot]
        finite = numbers.count if numbers is not None else 0
        nonfinite = batch.counts[present] - finite if present is not None else 0
        types = _types(rows, "integer" if whole else "number", finite)
        return _in_time(batch, expr, FieldProfile(name, rows, types, numbers=numbers, nonfinite=nonfinite))

    return finish


def _in_time(batch: Batch, expr: str, field: FieldProfile) -> FieldProfile:
    """The field with what is known of it in time: the lag of the moments that it tells, and how its values change."""
    field = replace(field, lag=lag.measured(batch, expr, field))
    return replace(field, stretches=stretches.measured(batch, expr, field))


def _plan_formatted(batch: Batch, name: str, expr: str, text_format: str) -> _Finish:
    slot = batch.ask(expr, "temporal")

    def finish(rows: int) -> FieldProfile:
        strings = batch.strings[slot]
        if strings is not None:
            formats = {text_format: strings.count} if text_format else {}
            strings = replace(strings, formats=formats, temporal=text_format != "uuid")
        types = _types(rows, "string", batch.counts[slot])
        return _in_time(batch, expr, FieldProfile(name, rows, types, strings=strings))

    return finish


def _plan_struct(batch: Batch, name: str, expr: str, sql_type: Any) -> _Finish:
    slot = batch.ask(expr, "count")
    children = [
        _plan(batch, child, f"struct_extract({expr}, {sql_text(child)})", child_type)
        for child, child_type in sql_type.children
        if child
    ]

    def finish(rows: int) -> FieldProfile:
        there = batch.counts[slot]
        return FieldProfile(name, rows, _types(rows, "object", there), fields=tuple(child(there) for child in children))

    return finish


def _plan_list(batch: Batch, name: str, expr: str, sql_type: Any) -> _Finish:
    item_type = dict(sql_type.children)["child"]
    # An ARRAY has a length of its own; as a LIST it is like any other.
    as_list = expr if str(sql_type.id).lower() == "list" else f"CAST({expr} AS {item_type}[])"
    slot = batch.ask(expr, "count")
    sizes = batch.ask(f"len({as_list})", "integer")
    relation = f"(SELECT unnest({as_list}) AS item FROM {batch.relation})"

    def finish(rows: int) -> FieldProfile:
        there = batch.counts[slot]
        items = None
        if there and (elements := _rows(batch.engine, relation)):
            inner = Batch(batch.engine, relation, elements)
            finish_item = _plan(inner, "[]", "item", item_type)
            inner.run()
            items = finish_item(elements)
        return FieldProfile(name, rows, _types(rows, "array", there), items=items, sizes=batch.numbers[sizes])

    return finish


def _types(rows: int, kind: str, there: int) -> dict[str, int]:
    return {name: count for name, count in (("absent", rows - there), (kind, there)) if count}


def _empty(name: str) -> FieldProfile:
    return FieldProfile(name, 0, {})
