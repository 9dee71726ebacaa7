"""A Pydantic class as JSON Schema, and by name what it checks beyond that: validators, conversions, bounds on dates.

The class is read by its own JSON Schema, so nothing is coerced: where lax Pydantic takes "12" for a number, a contract
does not. Classes of `app/contracts.py` come back as the contract that they were made from.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from assay.contract.patterns import to_ecma
from assay.errors import UsageError
from assay.exchange.carried import LeftOut
from assay.types import Event

__all__ = ["class_schema", "load_class"]

#: Whose classes build Pydantic's own types: `IPv4Address` is no validator that somebody wrote.
_BUILDERS: Final = frozenset({"decimal", "fractions", "ipaddress", "pathlib", "re", "uuid", "zoneinfo"})
#: What a core schema may say that its JSON Schema does not, by the type that says it; "" is any.
_UNSAID: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("date", "datetime", "time", "timedelta"), ("ge", "gt", "le", "lt", "now_op")),
    "str": ("strip_whitespace", "to_lower", "to_upper", "coerce_numbers_to_str"),
    "decimal": ("max_digits", "decimal_places"),
    **dict.fromkeys(("url", "multi-host-url"), ("allowed_schemes", "host_required")),
}
_CONFIG: Final = ("str_strip_whitespace", "str_to_lower", "str_to_upper", "str_min_length", "str_max_length")


def load_class(reference: str) -> type[BaseModel]:
    """The Pydantic class that `MODULE:CLASS` names; the module by its name or by the path of its file. Its code runs.

    Raises:
        UsageError: there is no such module or class, its code fails, or it is no Pydantic class.
    """
    where, _, name = reference.rpartition(":")
    module = _module(where)
    found = getattr(module, name, None)
    if found is None:
        named = sorted(each for each, value in vars(module).items() if _is_model(value) and value is not Event)
        raise UsageError(f"{where} has no class {name}; its Pydantic classes are {', '.join(named) or 'none'}")
    if not _is_model(found):
        raise UsageError(f"{reference} is no Pydantic class: a subclass of pydantic.BaseModel is expected")
    model: type[BaseModel] = found
    return model


def class_schema(model: type[BaseModel]) -> tuple[dict[str, Any], list[LeftOut]]:
    """What the class says of an event as JSON Schema, and what it checks that its JSON Schema does not say.

    Raises:
        UsageError: it has no JSON Schema.
    """
    try:
        schema = model.model_json_schema(by_alias=True, mode="validation")
        core = model.__pydantic_core_schema__
    except (PydanticUserError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{model.__name__} has no JSON Schema: {reason}") from error
    left_out = list(dict.fromkeys([*_of_config(model), *_beyond("", core)]))
    return _cleaned(schema, generated=issubclass(model, Event)), left_out


def _module(where: str) -> Any:
    path = Path(where)
    by_path = where.endswith(".py")
    if by_path and not path.is_file():
        raise UsageError(f"{where} is not there")
    if not by_path and not all(part.isidentifier() for part in where.split(".")):
        raise UsageError(f"{where!r} is neither a module's name nor the path of a Python file")
    try:
        return _of_file(path) if by_path else _of_name(where)
    except SyntaxError as error:
        raise UsageError(f"{where}:{error.lineno}: this is no Python: {error.msg}") from error
    except Exception as error:
        raise UsageError(f"{where} cannot be imported: {type(error).__name__}: {_first_line(error)}") from error


def _of_file(path: Path) -> Any:
    # Under a name of its own: whatever else is imported stays as it is.
    spec = importlib.util.spec_from_file_location(f"_assay_import_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where Pydantic looks for what annotations name
    spec.loader.exec_module(module)
    return module


def _of_name(name: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


# ---- what JSON Schema does not say


def _of_config(model: type[BaseModel]) -> Iterator[LeftOut]:
    for name in _CONFIG:
        if model.model_config.get(name):
            yield LeftOut("", f"model_config[{name!r}]", "it is no rule of JSON Schema; say it of the fields")


def _beyond(label: str, node: Any) -> Iterator[LeftOut]:
    """What a core schema and those inside it check beyond their JSON Schema."""
    if isinstance(node, list | tuple):
        for each in node:
            yield from _beyond(label, each)
        return
    if not isinstance(node, dict):
        return
    kind = str(node.get("type", ""))
    if kind.startswith("function-"):
        name = _custom(node["function"].get("function"))
        if name is not None:
            yield LeftOut(
                label, f"the validator {name}", "code is no rule of JSON Schema; its check is not carried over"
            )
    if node.get("post_init"):
        yield LeftOut(label, node["post_init"], "code is no rule of JSON Schema; its check is not carried over")
    for rule in _UNSAID.get(kind, ()):
        if node.get(rule) not in {None, False} if not isinstance(node.get(rule), list) else True:
            yield LeftOut(label, rule, f"it is no rule of JSON Schema for a {kind}")
    if kind == "model-fields":
        for name, field in node["fields"].items():
            alias = field.get("validation_alias", name)
            if not isinstance(alias, str):
                yield LeftOut(_joined(label, name), "validation_alias", "a field has one name; the first one is taken")
                alias = name
            yield from _beyond(_joined(label, alias), field.get("schema"))
        return
    if kind == "definitions":  # classes that stand in several places are told by their own name
        yield from _beyond(label, node["schema"])
        for each in node["definitions"]:
            yield from _beyond(_class_name(each), each)
        return
    below = f"{label}[]" if kind == "list" else label
    for key, value in node.items():
        if key not in {"metadata", "serialization", "default", "computed_fields", "fields", "ref"}:
            yield from _beyond(below if key == "items_schema" else label, value)


def _class_name(node: Mapping[str, Any]) -> str:
    while "cls" not in node and "schema" in node:
        node = node["schema"]
    return str(getattr(node.get("cls"), "__name__", ""))


def _joined(label: str, name: str) -> str:
    return f"{label}.{name}" if label else name


def _custom(function: Any) -> str | None:
    """The name of a validator that a person wrote; None for Pydantic's own, and for those of `assay.types`."""
    while isinstance(function, partial):
        function = function.func
    module = str(getattr(function, "__module__", None) or "")
    name = str(getattr(function, "__qualname__", function))
    root = module.partition(".")[0]
    if module == "assay.types" or (isinstance(function, type) and root in _BUILDERS):
        return None
    if root in {"pydantic", "pydantic_core"}:
        return "Predicate" if "val_func" in name else None
    return name


# ---- what it says


def _cleaned(schema: Any, *, generated: bool) -> Any:
    """Without the titles and defaults that Pydantic adds; a generated class's patterns as its contract has them."""
    if isinstance(schema, list):
        return [_cleaned(each, generated=generated) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "title" or (keyword == "default" and value is None):
            continue
        if keyword in {"properties", "$defs"}:
            found[keyword] = {name: _cleaned(child, generated=generated) for name, child in value.items()}
        elif keyword == "pattern" and generated:
            found[keyword] = to_ecma(value)
        else:
            words = keyword in {"enum", "const", "default", "examples", "required"}
            found[keyword] = value if words else _cleaned(value, generated=generated)
    return found
