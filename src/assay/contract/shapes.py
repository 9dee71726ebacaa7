"""What Pydantic must be told so that it judges as a field's JSON Schema says: one description, used live and as source."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import Annotated, Any, Final, Literal, Union

import pydantic
from pydantic import BaseModel, Discriminator, Tag, ValidationError

from assay.contract.document import Field
from assay.contract.patterns import to_rust
from assay.types import Event, Format, Integer, Json, Number, OneOf, json_kind

__all__ = ["MODULE_NAMES", "Shape", "attributes", "cap_words", "is_union", "model_of", "shape_of"]

#: What the annotations of a generated module refer to: a field of such a name gets an alias, a class another name.
MODULE_NAMES: Final = frozenset(
    re.findall(
        "[A-Za-z_]+",
        "Annotated Any ConfigDict Discriminator Event Field Format Integer Json Literal MODELS Number OneOf Tag"
        " annotations bool dict float int json_kind list str",
    )
)
_TAKEN: Final = frozenset(dir(Event)) | MODULE_NAMES
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_EXACT: Final = 2**53

_KINDS: Final = ("number", "string", "boolean", "array", "object")


@dataclass(frozen=True, slots=True)
class Shape:
    """A Pydantic annotation, taken apart: `Annotated[base, Field(**limits), mark] | None`.

    `base` is a name of the generated module; an `Event` is a class of its own, of `field`, and a `Union` goes by
    `choices`, tagged with JSON's kinds. `errors` are the types of Pydantic's errors that a value can get here.
    """

    base: str
    errors: frozenset[str]
    limits: Mapping[str, Any] = attribute(default_factory=dict)
    mark: Integer | Number | Format | OneOf | None = None
    values: tuple[str, ...] = ()
    item: Shape | None = None
    field: Field | None = None
    choices: tuple[tuple[str, Shape], ...] = ()
    nullable: bool = False


def shape_of(field: Field) -> Shape:
    """How Pydantic judges a value of `field`."""
    if field.enum is not None:
        return _of_enum(field, field.enum)
    if not field.types and not _has_rules(field):
        return Shape("Json", frozenset({"finite_number"}))
    shapes = tuple((kind, _of_kind(field, kind)) for kind in _kinds(field))
    if len(shapes) == 1:
        return replace(shapes[0][1], nullable=field.nullable)
    errors = frozenset({"union_tag_invalid"}).union(*(shape.errors for _, shape in shapes))
    return Shape("Union", errors, choices=shapes, nullable=field.nullable)


def is_union(field: Field) -> bool:
    """Whether an error below this field names the kind that was judged, before the rest of its path."""
    return field.enum is None and len(_kinds(field)) > 1 and (bool(field.types) or _has_rules(field))


def model_of(field: Field, name: str) -> type[BaseModel]:
    """A class for an object: Pydantic's model of `field`."""
    definitions: dict[str, Any] = {}
    names = attributes(child.name for child in field.properties)
    for child in field.properties:
        annotation = _annotation(shape_of(child), name + cap_words(child.name))
        default = ... if child.required else None  # a default is not judged: None stands for "missing" alone
        alias = None if names[child.name] == child.name else child.name
        definitions[names[child.name]] = (annotation, pydantic.Field(default, alias=alias))
    kwargs = {} if field.additional else {"extra": "forbid"}
    model: type[BaseModel] = pydantic.create_model(name, __base__=Event, __cls_kwargs__=kwargs, **definitions)
    return model


def attributes(names: Iterable[str]) -> dict[str, str]:
    """A Python attribute for each field: its own name, or one made from it where Pydantic or Python reserves that."""
    names = list(names)
    found = {name: name for name in names if _is_plain(name)}
    taken = set(found.values())
    for name in names:
        if name in found:
            continue
        made = re.sub("[^A-Za-z0-9_]", "_", name).strip("_") or "field"
        made = made if made[0].isalpha() and not made.startswith("model_") else f"field_{made}"
        while made in taken or not _is_plain(made):
            made += "_"
        found[name] = made
        taken.add(made)
    return found


def cap_words(name: str) -> str:
    """A class's name for a dataset or a field: `order_items` gives `OrderItems`."""
    return "".join(word[0].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", name))


def _is_plain(name: str) -> bool:
    return (
        _PLAIN.fullmatch(name) is not None
        and not keyword.iskeyword(name)
        and name not in _TAKEN
        and not name.startswith("model_")
    )


def _annotation(shape: Shape, name: str) -> Any:
    found = _base(shape, name)
    metadata = ([pydantic.Field(**shape.limits)] if shape.limits else []) + ([shape.mark] if shape.mark else [])
    if metadata:
        found = Annotated[found, *metadata]
    return Union[found, None] if shape.nullable else found  # noqa: UP007 - Any | None is not made at run time


def _base(shape: Shape, name: str) -> Any:
    if shape.base == "Literal":
        return Literal[shape.values]
    if shape.base == "Union":
        choices = tuple(Annotated[_annotation(choice, name), Tag(kind)] for kind, choice in shape.choices)
        return Annotated[Union[choices], Discriminator(json_kind)]  # noqa: UP007 - made at run time
    if shape.item is not None:
        return list[_annotation(shape.item, f"{name}Item")]  # type: ignore[misc] # made at run time
    if shape.field is not None:
        return model_of(shape.field, name)
    return _BASES[shape.base]


_BASES: Final[Mapping[str, Any]] = {
    "Any": Any,
    "Json": Json,
    "bool": bool,
    "float": float,
    "int": int,
    "str": str,
    "dict[str, Json]": dict[str, Json],
}


def _of_enum(field: Field, values: tuple[Any, ...]) -> Shape:
    # The values that the field's other keywords refuse never pass: what is left is all there is to say.
    judge = model_of(Field("", properties=(replace(field, name="value", enum=None),)), "Value")
    passing = []
    for value in values:
        try:
            judge.model_validate({"value": value})
        except ValidationError:
            continue
        passing.append(value)
    texts = tuple(dict.fromkeys(value for value in passing if isinstance(value, str)))
    errors = frozenset({"literal_error"})
    if texts and all(isinstance(value, str) or value is None for value in passing):
        return Shape("Literal", errors, values=texts, nullable=None in passing)
    return Shape("Any", errors, mark=OneOf(*passing))


def _kinds(field: Field) -> tuple[str, ...]:
    return tuple(
        kind
        for kind in _KINDS
        if not field.types or kind in field.types or (kind == "number" and "integer" in field.types)
    )


def _has_rules(field: Field) -> bool:
    return not field.additional or any(
        rule is not None and rule != ()
        for rule in (
            *(field.minimum, field.maximum, field.exclusive_minimum, field.exclusive_maximum, field.multiple_of),
            *(field.min_length, field.max_length, field.pattern, field.format),
            *(field.min_items, field.max_items, field.items, field.properties),
        )
    )


def _of_kind(field: Field, kind: str) -> Shape:
    if kind == "number":
        return _of_number(field)
    if kind == "string":
        return _of_string(field)
    if kind == "boolean":
        return Shape("bool", frozenset({"bool_type"}))
    if kind == "array":
        limits = _given(min_length=field.min_items, max_length=field.max_items)
        errors = {"list_type", *_ERRORS_OF_ITEMS.keys() & limits.keys()}
        item = shape_of(field.items) if field.items else Shape("Json", frozenset({"finite_number"}))
        return Shape("list", frozenset(_ERRORS_OF_ITEMS.get(name, name) for name in errors), limits, item=item)
    if field.properties or not field.additional:
        return Shape("Event", frozenset({"model_type"}), field=field)
    return Shape("dict[str, Json]", frozenset({"dict_type"}))


_ERRORS_OF_ITEMS: Final = {"min_length": "too_short", "max_length": "too_long"}
_ERRORS_OF_TEXT: Final = {
    "min_length": "string_too_short",
    "max_length": "string_too_long",
    "pattern": "string_pattern_mismatch",
}
_ERRORS_OF_NUMBERS: Final = {
    "ge": "greater_than_equal",
    "gt": "greater_than",
    "le": "less_than_equal",
    "lt": "less_than",
    "multiple_of": "multiple_of",
}


def _of_number(field: Field) -> Shape:
    limits = _given(
        ge=field.minimum,
        gt=field.exclusive_minimum,
        le=field.maximum,
        lt=field.exclusive_maximum,
        multiple_of=field.multiple_of,
    )
    errors = frozenset({"finite_number"}).union(_ERRORS_OF_NUMBERS[name] for name in limits)
    if field.types and "number" not in field.types:
        return Shape("int", errors | {"int_type"}, mark=Integer(**limits))
    bounded = limits.keys() & {"ge", "gt"} and limits.keys() & {"le", "lt"} and "multiple_of" not in limits
    if bounded and all(abs(bound) < _EXACT for bound in limits.values()):
        # Between such bounds every integer is a double: Pydantic's own float compares exactly.
        return Shape("float", errors | {"float_type"}, limits)
    return Shape("float", errors | {"float_type"}, mark=Number(**limits))


def _of_string(field: Field) -> Shape:
    pattern = None if field.pattern is None else to_rust(field.pattern)
    limits = _given(min_length=field.min_length, max_length=field.max_length, pattern=pattern)
    errors = frozenset({"string_type"}).union(_ERRORS_OF_TEXT[name] for name in limits)
    mark = None if field.format is None else Format(field.format)
    return Shape("str", errors | ({mark.error} if mark else set()), limits, mark=mark)


def _given(**limits: Any) -> dict[str, Any]:
    return {name: limit for name, limit in limits.items() if limit is not None}
