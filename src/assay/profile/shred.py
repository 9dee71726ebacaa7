"""JSON texts of any shape, made into flat typed columns and measured.

Every text is read by DuckDB, in parallel and without Python's lock, by one `json_extract` with a JSON Pointer (RFC 6901) for each
field: names with quotes, dots, dollar signs or another's letters in another case are safe there, as they would not be as names
of columns. A value's JSON type is told by its first character, so `1` and `1.0` stay different. Where a key is
repeated within an object, the first counts here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from assay.profile import lag, stretches
from assay.profile.batch import Batch, Progress
from assay.profile.document import FieldProfile
from assay.profile.engine import Engine, Term, tally
from assay.sql import sql_text

__all__ = ["cells", "extracted", "number_column", "objects", "pointer"]

#: Beyond so many keys an object is taken for a map: its keys are data, not fields.
FIELDS_KEPT: Final = 1_000
LEVELS_KEPT: Final = 10

_KIND: Final = r"""CASE left({v}, 1) WHEN '"' THEN 'string' WHEN '{' THEN 'object' WHEN '[' THEN 'array'
WHEN 't' THEN 'true' WHEN 'f' THEN 'false' WHEN 'n' THEN 'null' ELSE
CASE WHEN NOT regexp_full_match({v}, '-?[0-9]+') THEN 'number'
WHEN length({v}) <= 18 THEN 'integer' WHEN length({v}) <= 38 THEN 'long' ELSE 'vast' END END"""
_STRING: Final = r"""CASE WHEN left({v}, 1) <> '"' THEN NULL
WHEN contains({v}, '\') THEN json_extract_string({v}, '$') ELSE substr({v}, 2, length({v}) - 2) END"""
_TYPES: Final = ("missing", "absent", "null", "boolean", "integer", "number", "string", "array", "object")


def objects(
    engine: Engine,
    relation: str,
    level: int = 0,
    *,
    timed: bool = False,
    progress: Progress | None = None,
) -> tuple[FieldProfile, ...]:
    """The fields of JSON objects: `relation` has their texts in a column `v`; `timed`: and in `r` when they came, Unix time."""
    names = _keys(engine, relation) if level < LEVELS_KEPT else []
    if not names:
        return ()
    return cells(engine, extracted(relation, names, timed=timed), names, level=level, timed=timed, progress=progress)


def extracted(relation: str, names: Sequence[str], *, timed: bool = False) -> str:
    """The members of these names of the JSON objects in a column `v`, as JSON texts in columns `v0`, `v1`, ...

    `timed`: the column `r` comes along.
    """
    pointers = ", ".join(map(pointer, names))
    columns = ", ".join([f"x[{i + 1}]::VARCHAR AS v{i}" for i in range(len(names))] + (["r"] if timed else []))
    return f"(SELECT {columns} FROM (SELECT json_extract(v, [{pointers}]) AS x{', r' * timed} FROM {relation}))"


def pointer(name: str) -> str:
    """The JSON Pointer to a member, as SQL."""
    return sql_text("/" + name.replace("~", "~0").replace("/", "~1"))


def cells(
    engine: Engine,
    relation: str,
    names: Sequence[str],
    *,
    unknown: str = "missing",
    level: int = 0,
    timed: bool = False,
    progress: Progress | None = None,
) -> tuple[FieldProfile, ...]:
    """Fields whose JSON texts are the columns `v0`, `v1`, ... of a relation; an SQL NULL is of the type `unknown`."""
    found = _kinds(engine, relation, len(names))
    rows = sum(found[0].values())
    typed = [term for i, kinds in enumerate(found) for term in _typed(f"v{i}", i, kinds)]
    if not typed:
        return tuple(
            FieldProfile(name, rows, _types(kinds, unknown), true=kinds.get("true", 0))
            for name, kinds in zip(names, found, strict=True)
        )
    with engine.held(f"SELECT {', '.join([*typed, *(['r'] if timed else [])])} FROM {relation}") as table:
        batch = Batch(engine, table, rows, received="r" if timed else "")
        asked: list[dict[str, int]] = []
        for i, kinds in enumerate(found):
            slots = {}
            if number := _number(kinds):
                slots["numbers"] = batch.ask(*number_column(f"n{i}", floating=number == "DOUBLE"))
            if "string" in kinds:
                slots["strings"] = batch.ask(f"s{i}", "text")
            if "array" in kinds:
                slots["sizes"] = batch.ask(f"json_array_length(a{i})::BIGINT", "integer")
            asked.append(slots)
        batch.run(progress)
        fields = []
        for i, (name, kinds, slots) in enumerate(zip(names, found, asked, strict=True)):
            numbers = batch.numbers[slots["numbers"]] if "numbers" in slots else None
            numeric = sum(kinds.get(kind, 0) for kind in ("integer", "long", "vast", "number"))
            inner = f"(SELECT o{i} AS v{', r' * timed} FROM {table} WHERE o{i} IS NOT NULL)"
            elements = f"(SELECT unnest(json_extract(a{i}, '$[*]'))::VARCHAR AS v0 FROM {table} WHERE a{i} IS NOT NULL)"
            field = FieldProfile(
                name=name,
                rows=rows,
                types=_types(kinds, unknown),
                numbers=numbers,
                strings=batch.strings[slots["strings"]] if "strings" in slots else None,
                true=kinds.get("true", 0),
                nonfinite=numeric - (numbers.count if numbers is not None else 0),
                fields=objects(engine, inner, level + 1, timed=timed) if "object" in kinds else (),
                items=_items(engine, elements, level + 1) if "array" in kinds else None,
                sizes=batch.numbers[slots["sizes"]] if "sizes" in slots else None,
            )
            value = next((f"{kind[0]}{i}" for kind in ("numbers", "strings") if kind in slots), f"b{i}")
            field = replace(field, lag=lag.measured(batch, value, field))
            # Below the events the rows of the table are not those that the bins count.
            cut = stretches.measured(batch, value, field) if not level else ()
            fields.append(replace(field, stretches=cut))
    return tuple(fields)


def number_column(name: str, *, floating: bool) -> tuple[str, Any, str]:
    """What to measure of a column of numbers: of doubles, those that JSON has a word for, which are taken from all."""
    return (f"CASE WHEN isfinite({name}) THEN {name} END", "float", name) if floating else (name, "integer", "")


def _items(engine: Engine, relation: str, level: int) -> FieldProfile | None:
    if level >= LEVELS_KEPT or not engine.ask(relation, [Term("count(*)")])[0]:
        return None
    return cells(engine, relation, ["[]"], level=level)[0]


def _kinds(engine: Engine, relation: str, width: int) -> list[dict[str, int]]:
    """How many rows of each column are of which kind; a NULL's kind is the empty text."""
    terms = [tally(f"CASE WHEN v{i} IS NULL THEN '' ELSE {_KIND.replace('{v}', f'v{i}')} END") for i in range(width)]
    return [kinds or {} for kinds in engine.ask(relation, terms)]


def _number(kinds: dict[str, int]) -> str:
    """The SQL type that holds all numbers of a column."""
    if "number" in kinds or "vast" in kinds:
        return "DOUBLE"
    return "HUGEINT" if "long" in kinds else "BIGINT" if "integer" in kinds else ""


def _typed(text: str, i: int, kinds: dict[str, int]) -> Iterator[str]:
    if number := _number(kinds):
        yield f"TRY_CAST({text} AS {number}) AS n{i}"
    if "true" in kinds or "false" in kinds:
        yield f"CASE {text} WHEN 'true' THEN true WHEN 'false' THEN false END AS b{i}"
    if "string" in kinds:
        yield f"{_STRING.replace('{v}', text)} AS s{i}"
    for kind, first in (("object", "{"), ("array", "[")):
        if kind in kinds:
            yield f"CASE WHEN left({text}, 1) = '{first}' THEN {text} END AS {kind[0]}{i}"


def _types(kinds: dict[str, int], unknown: str) -> dict[str, int]:
    counted = {
        unknown: kinds.get("", 0),
        "boolean": kinds.get("true", 0) + kinds.get("false", 0),
        "integer": sum(kinds.get(kind, 0) for kind in ("integer", "long", "vast")),
    }
    return {name: rows for name in _TYPES if (rows := counted.get(name, kinds.get(name, 0)))}


def _keys(engine: Engine, relation: str) -> list[str]:
    """The keys of JSON objects, as they follow one another there; none where there are too many to be fields."""
    each = f"(SELECT unnest(json_keys(v)) AS k FROM {relation})"
    known = {key for key, _ in engine.counted(each, "k", "VARCHAR", most=FIELDS_KEPT + 1)}
    if len(known) > FIELDS_KEPT:
        return []
    order: list[str] = []
    for (keys,) in engine.first(relation, ["json_keys(v)"], 1_000):
        at = 0
        for key in keys:
            if key in order:
                at = order.index(key) + 1
            else:
                order.insert(at, key)
                at += 1
    return order + sorted(known - set(order))
