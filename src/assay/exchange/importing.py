"""Contracts from other people's documents and classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from assay.contract.document import DIALECT, Contract, no_json
from assay.contract.places import place_of
from assay.errors import NotASchema, UsageError
from assay.exchange.carried import Imported, LeftOut
from assay.exchange.inlined import inlined

__all__ = ["import_contract"]

_YAML: Final = {".yaml", ".yml"}


def import_contract(source: Any, dataset: str = "") -> Imported:
    """The contract that a JSON Schema, an ODCS document or a Pydantic class says, for a dataset. It is not written.

    `source` is the path of a JSON or YAML file, `MODULE:CLASS` (`app/contracts.py:Flights`), a class, or a schema as a dict.
    A contract enforces each keyword exactly: what it could not is refused by name. What the source claims that is no
    rule for one event (a validator in Python, a key that is unique) is in `left_out`.

    Raises:
        UsageError: it cannot be read.
        NotASchema: it says of a value what a contract cannot.
    """
    if isinstance(source, dict):
        return _of_document(source, dataset, where="schema")
    if isinstance(source, type):
        return _of_class(source, dataset, where=source.__name__)
    name = str(source)
    path = Path(name)
    if not path.exists() and name.rpartition(":")[2].isidentifier() and ":" in name:
        from assay.exchange.pydantic_class import load_class

        return _of_class(load_class(name), dataset, where=name)
    if path.suffix == ".py":
        raise UsageError(f"{name}: name the class too, as {name}:CLASS")
    text, document = _read(path)
    try:
        return _of_document(document, dataset, where=name)
    except NotASchema as error:
        place = _place_in_yaml if path.suffix.lower() in _YAML else place_of
        raise error.placed(place(text, error.pointer)) from error


def _of_document(document: Any, dataset: str, *, where: str) -> Imported:
    left_out: list[LeftOut] = []
    if isinstance(document, dict) and document.get("kind") == "DataContract" and "apiVersion" in document:
        from assay.exchange.odcs import from_odcs

        schema, left_out = from_odcs(document, dataset, where=where)
    else:
        schema = document
    return Imported(_parsed(schema, dataset, where), tuple(left_out))


def _of_class(model: type[Any], dataset: str, *, where: str) -> Imported:
    from assay.exchange.pydantic_class import class_schema

    schema, left_out = class_schema(model)
    return Imported(_parsed(schema, dataset, where), tuple(left_out))


def _parsed(schema: Any, dataset: str, where: str) -> Contract:
    try:
        plain = inlined(schema, where=where)
    except RecursionError as error:
        raise NotASchema("", "it is nested too deeply", where=where) from error
    return Contract.parse({"$schema": DIALECT, **plain}, dataset=dataset, where=where)


def _read(path: Path) -> tuple[str, Any]:
    """The text of a file, and what it says."""
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}; a file, or MODULE:CLASS, is expected") from error
    try:
        return text, _from_yaml(text, where) if path.suffix.lower() in _YAML else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise no_json(error, where) from error


def _from_yaml(text: str, where: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        place = (mark.line + 1, mark.column + 1) if mark is not None else None
        raise NotASchema("", f"not YAML: {reason}", where=where, place=place) from error


def _place_in_yaml(text: str, pointer: str) -> tuple[int, int]:
    """As `place_of`, in YAML; references are not followed."""
    import yaml

    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:  # an empty file
        return 1, 1
    mark = node.start_mark
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, yaml.MappingNode):
            members = {key.value: (key.start_mark, value) for key, value in node.value}
        elif isinstance(node, yaml.SequenceNode):
            members = {str(place): (value.start_mark, value) for place, value in enumerate(node.value)}
        else:
            break
        if name not in members:
            break
        mark, node = members[name]
    return mark.line + 1, mark.column + 1
