"""Contracts to monitor."""

from __future__ import annotations

from typing import Any

from assay.contract.document import Contract

NASTY_NAMES = (
    'quo"te',
    "back\\slash",
    "{{ .Value }}",
    "naïve ☃",
    "$1 ${field}",
    "a: b # c",
    "new\nline",
    "'",
    "%s %q",
    "`",
)


def contract(dataset: str, properties: dict[str, Any], *, version: int = 1, rows: int = 0) -> Contract:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if rows:
        schema["x-assay"] = {"rows": rows}
    return Contract.parse(schema, dataset=dataset, version=version)


def numbers(rows: int = 10_000, *, bins: int = 10, null: float = 0.0) -> dict[str, Any]:
    share = {f"b{i}": (1 - null) / bins for i in range(bins)}
    if null:
        share["null"] = null
    edges = [float(10 * i) for i in range(1, bins)]
    return {"rows": rows, "edges": edges, "share": share, "low": 0.0, "high": 10.0 * bins}


def categories(rows: int = 10_000, **share: float) -> dict[str, Any]:
    return {"rows": rows, "values": [value for value in share if value != "_other"], "share": share}


def types_only() -> Contract:
    """As written by hand, before anything was learned."""
    return contract("agrawal", {"salary": {"type": "number"}, "car": {"type": "integer"}})


def learned(dataset: str = "shop", rows: int = 10_000) -> Contract:
    """Of all kinds of fields, nested ones too."""
    flag = {"rows": rows, "values": [False, True], "share": {"false": 0.9, "true": 0.1}}
    properties = {
        "price": {"type": "number", "x-assay": {"bins": numbers(rows), "refusals": {"maximum": 2e-4}}},
        "age": {"type": ["integer", "null"], "x-assay": {"bins": numbers(rows, bins=4, null=0.05)}},
        "city": {
            "type": "string",
            "x-assay": {"bins": categories(rows, rome=0.6, oslo=0.3, bonn=0.0999, _other=0.0001)},
        },
        "member": {"type": "boolean", "x-assay": {"bins": flag}},
        "to": {
            "type": "object",
            "properties": {"zip": {"type": "string", "x-assay": {"bins": categories(rows, a=0.5, b=0.5)}}},
        },
        "note": {"type": "string"},
    }
    return contract(dataset, properties, version=3, rows=rows)


def moments(rows: int = 10_000) -> Contract:
    """A time that is watched by its lag."""
    bins = {"rows": rows, "edges": [10.0], "share": {"b0": 0.999, "b1": 0.001}, "low": -60, "high": 90, "lag": "ms"}
    return contract("clocks", {"at": {"type": "integer", "x-assay": {"bins": bins}}}, rows=rows)


def nasty(rows: int = 5_000) -> Contract:
    """Names and categories that break whoever does not escape."""
    bins = {"rows": rows, "values": list(NASTY_NAMES), "share": dict.fromkeys(NASTY_NAMES, 1 / len(NASTY_NAMES))}
    fields: dict[str, Any] = {name: {"type": "string", "x-assay": {"bins": bins}} for name in NASTY_NAMES}
    return contract("nasty", fields, rows=rows)
