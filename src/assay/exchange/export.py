"""Contracts in other people's formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from assay.contract.document import Contract
from assay.errors import UsageError
from assay.exchange.carried import Exported
from assay.exchange.schemas import plain_schema

__all__ = ["FORMATS", "export"]


def export(contract: Contract, format: str = "odcs") -> Exported:  # noqa: A002 - the command's own word
    """The contract as `odcs`, `jsonschema`, `pydantic`, `sql` or `pandera`; what that has no room for is in `left_out`.

    The same contract gives the same text.

    Raises:
        UsageError: there is no such format, or what it needs is not installed.
    """
    write = FORMATS.get(format)
    if write is None:
        raise UsageError(f"--format {format}: one of {', '.join(FORMATS)} is expected")
    return write(contract)


def _json_schema(contract: Contract) -> Exported:
    return Exported(json.dumps(plain_schema(contract), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _odcs(contract: Contract) -> Exported:
    from assay.exchange.odcs import to_odcs

    return to_odcs(contract)


def _pandera(contract: Contract) -> Exported:
    from assay.exchange.pandera import to_pandera

    return to_pandera(contract)


def _pydantic(contract: Contract) -> Exported:
    from assay.contract.source import source

    return Exported(source([contract]).decode())


def _sql(contract: Contract) -> Exported:
    from assay.exchange.sql import to_sql

    return to_sql(contract)


FORMATS: Final[Mapping[str, Callable[[Contract], Exported]]] = {
    "odcs": _odcs,
    "jsonschema": _json_schema,
    "pydantic": _pydantic,
    "sql": _sql,
    "pandera": _pandera,
}
