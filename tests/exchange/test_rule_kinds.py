"""One rule at a time: just beyond it an event is refused by every path alike, and just inside it is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
from pydantic import ValidationError

import assay
from assay.contract.document import _KEYWORDS, Contract
from assay.contract.models import live_model
from assay.contract.versions import Active
from assay.exchange.export import export
from assay.ingest.validate import Judge
from assay.types import FORMATS

ABSENT: Final = object()

# A rule, a value just inside, a value just beyond.
RULES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("type: integer", {"type": "integer"}, 2.0, 2.5),
    ("type: integer, no text", {"type": "integer"}, 2, "2"),
    ("type: integer, no boolean", {"type": "integer"}, 1, True),
    ("type: number", {"type": "number"}, 2, "2"),
    ("type: string", {"type": "string"}, "2", 2),
    ("type: boolean", {"type": "boolean"}, True, 1),
    ("type: null", {"type": ["string", "null"]}, None, False),
    ("type: not null", {"type": "string"}, "", None),
    ("type: one of two", {"type": ["integer", "string"]}, "1", 1.5),
    ("type: array", {"type": "array"}, [], {}),
    ("type: object", {"type": "object"}, {}, []),
    ("minimum", {"type": "number", "minimum": 0.1}, 0.1, 0.09999999999999999),
    ("minimum of an integer", {"type": "integer", "minimum": -3}, -3, -4),
    ("maximum", {"type": "number", "maximum": 150000}, 150000, 150000.00000000003),
    ("maximum of an integer", {"type": "integer", "maximum": 12}, 12, 13),
    ("maximum beyond a double's integers", {"type": "integer", "maximum": 2**53}, 2**53, 2**53 + 1),
    ("exclusiveMinimum", {"type": "number", "exclusiveMinimum": 0}, 5e-324, 0),
    ("exclusiveMinimum of an integer", {"type": "integer", "exclusiveMinimum": 0}, 1, 0),
    ("exclusiveMaximum", {"type": "number", "exclusiveMaximum": 1}, 0.9999999999999999, 1),
    ("exclusiveMaximum of an integer", {"type": "integer", "exclusiveMaximum": 10}, 9, 10),
    ("multipleOf", {"type": "number", "multipleOf": 0.01}, 19.99, 19.995),
    ("multipleOf of an integer", {"type": "integer", "multipleOf": 5}, 15, 16),
    ("minLength", {"type": "string", "minLength": 2}, "é😀", "😀"),
    ("maxLength", {"type": "string", "maxLength": 2}, "é😀", "é😀!"),
    ("pattern", {"type": "string", "pattern": r"^\d{3}$"}, "012", "01"),
    ("pattern, its end", {"type": "string", "pattern": r"^\d$"}, "1", "1\n"),
    ("pattern beyond ASCII", {"type": "string", "pattern": r"^\w$"}, "a", "é"),
    ("format: date", {"type": "string", "format": "date"}, "2024-02-29", "2023-02-29"),
    ("format: date-time", {"type": "string", "format": "date-time"}, "2024-02-29T23:59:59+14:00", "2024-02-29 23:59:59Z"),
    ("format: time", {"type": "string", "format": "time"}, "23:59:59Z", "24:00:00Z"),
    ("format: duration", {"type": "string", "format": "duration"}, "P1DT2H", "P1D2H"),
    ("format: uuid", {"type": "string", "format": "uuid"}, "2EB8AA08-AA98-11EA-B4AA-73B441D16380", "2eb8aa08aa9811eab4aa73b441d16380"),
    ("format: email", {"type": "string", "format": "email"}, "joe@example.com", "joe.@example.com"),
    ("format: ipv4", {"type": "string", "format": "ipv4"}, "255.255.255.255", "255.255.255.256"),
    ("format: ipv6", {"type": "string", "format": "ipv6"}, "::ffff:1.2.3.4", "1::2::3"),
    ("format: uri", {"type": "string", "format": "uri"}, "http://example.com/a?b#c", "//example.com/a"),
    ("enum", {"type": "string", "enum": ["EWR", "JFK"]}, "JFK", "jfk"),
    ("enum of numbers", {"enum": [1, 2.5]}, 1.0, 1.5),
    ("enum of mixed values", {"enum": [1, "a", None, [1]]}, [1.0], [1, 1]),
    ("const", {"const": True}, True, 1),
    ("items", {"type": "array", "items": {"type": "integer"}}, [1, 2], [1, 2.5]),
    ("items, none null", {"type": "array", "items": {"type": "string"}}, ["a"], ["a", None]),
    ("items, their bounds", {"type": "array", "items": {"type": "number", "maximum": 5}}, [5, 4.5], [5, 5.5]),
    ("items, their pattern", {"type": "array", "items": {"type": "string", "pattern": "^a"}}, ["a", "ab"], ["a", "ba"]),
    ("minItems", {"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 2], [1]),
    ("maxItems", {"type": "array", "items": {"type": "integer"}, "maxItems": 2}, [1, 2], [1, 2, 3]),
    ("properties", {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}, {"a": 1}, {"a": 0}),
    ("required below", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 1}, {}),
    ("additionalProperties below", {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}, {"a": 1}, {"a": 1, "b": 1}),
    ("properties of items", {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}, [{"a": 1}], [{"a": 1}, {}]),
    ("required", {"type": "integer"}, 1, ABSENT),
]  # fmt: skip

CLEAN: dict[str, Any] = {"id": 7, "name": "ok"}


def contract(rule: dict[str, Any]) -> Contract:
    """A contract in which one field has a rule, among others."""
    properties = {"id": {"type": "integer"}, "x": rule, "name": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["id", "x"], "additionalProperties": False}
    return Contract.parse(schema, dataset="flights", version=1)


# ---- every path, as: does it accept the event?


def pydantic_accepts(of: Contract, event: Any, _folder: Path) -> bool:
    try:
        live_model(of).model_validate_json(json.dumps(event))
    except ValidationError:
        return False
    return True


def rendered_accepts(of: Contract, event: Any, _folder: Path) -> bool:
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(export(of, "pydantic").text, "contracts.py", "exec", dont_inherit=True), module)
    try:
        module["MODELS"]["flights"].model_validate(event)
    except ValidationError:
        return False
    return True


def fast_path_accepts(of: Contract, event: Any, _folder: Path) -> bool:
    """As the service does: what the structs do not surely accept is asked of Pydantic."""
    judge = Judge(of, Active(1))
    if judge.fast is not None and judge.fast.sift([json.dumps(event).encode()]).structs:
        return True
    return not judge.judge(event)


def check_accepts(of: Contract, event: Any, folder: Path) -> bool:
    path = folder / "event.ndjson"
    path.write_text(json.dumps(event) + "\n")
    return bool(assay.check(path, of).ok)


def sql_accepts(of: Contract, event: Any, _folder: Path) -> bool:
    with duckdb.connect() as con:
        con.execute(export(of, "sql").text)
        try:
            row = "SELECT flights_row(?::JSON) AS r"
            con.execute(f"INSERT INTO flights SELECT unnest(r) FROM ({row})", [json.dumps(event)])
        except duckdb.InvalidInputException as error:
            return "does not accept the event" not in str(error)
    return True


PATHS: dict[str, Callable[[Contract, Any, Path], bool]] = {
    "Pydantic": pydantic_accepts,
    "rendered": rendered_accepts,
    "fast path": fast_path_accepts,
    "check": check_accepts,
    "SQL": sql_accepts,
}


@pytest.mark.parametrize(("rule", "inside", "beyond"), [pytest.param(*each, id=name) for name, *each in RULES])
def test_every_path_draws_the_line_alike(rule: dict[str, Any], inside: Any, beyond: Any, tmp_path: Path) -> None:
    of = contract(rule)
    for value, good in ((inside, True), (beyond, False)):
        event = CLEAN if value is ABSENT else {**CLEAN, "x": value}
        found = {name: accepts(of, event, tmp_path) for name, accepts in PATHS.items()}
        assert found == dict.fromkeys(PATHS, good), event


def test_the_event_itself_is_ruled_too(tmp_path: Path) -> None:
    of = contract({"type": "integer"})
    for event in ({**CLEAN, "x": 1, "more": 1}, {"x": 1}):
        assert not any(accepts(of, event, tmp_path) for accepts in PATHS.values()), event


def test_every_keyword_and_format_has_its_rule() -> None:
    text = json.dumps([rule for _, rule, _, _ in RULES])
    assert [keyword for keyword in _KEYWORDS if f'"{keyword}"' not in text] == []
    assert [name for name in FORMATS if f'"format": "{name}"' not in text] == []


# ---- the CHECKs by themselves, on rows

_NOT_OF_A_ROW: Final = (
    *("type: integer", "type: integer, no text", "type: integer, no boolean", "type: number", "type: string"),
    *("type: boolean", "type: null", "const", "items", "additionalProperties below", "required", "type: not null"),
    *("enum of mixed values", "items, their pattern", "properties of items"),
)


@pytest.mark.parametrize(
    ("rule", "inside", "beyond"),
    [pytest.param(*each, id=name) for name, *each in RULES if name not in _NOT_OF_A_ROW],
)
def test_the_checks_of_the_table_draw_the_line_too(rule: dict[str, Any], inside: Any, beyond: Any) -> None:
    """But for what DuckDB casts away before, and what `left_out` names."""
    exported = export(contract(rule), "sql")
    assert exported.left_out == ()
    with duckdb.connect() as con:
        con.execute(exported.text)
        kinds = dict(
            con.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'flights'").fetchall()
        )
        value = f"from_json(?::JSON, '{json.dumps(structure(kinds['x']))}')"
        con.execute(f"INSERT INTO flights BY NAME SELECT 7 AS id, {value} AS x", [json.dumps(inside)])
        with pytest.raises(duckdb.ConstraintException):
            con.execute(f"INSERT INTO flights BY NAME SELECT 7 AS id, {value} AS x", [json.dumps(beyond)])


def structure(kind: str) -> Any:
    """A type of DuckDB's in the words of `from_json`."""
    if kind.endswith("[]"):
        return [structure(kind[:-2])]
    if kind.startswith("STRUCT("):
        name, _, inner = kind[len("STRUCT(") : -1].partition(" ")
        return {name.strip('"'): structure(inner)}
    return kind
