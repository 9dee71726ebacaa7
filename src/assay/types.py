"""JSON Schema's values as Pydantic types: what stock Pydantic means otherwise, said here once.

Generated contracts import these names. Nothing is coerced: `"12"` is no number and `true` no integer, but `1.0` is an
integer, and its value is 1. A number beyond a double's range is refused. Where strict Pydantic means the same (`str`,
`bool`, `list`, a `float` between bounds), it is used as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import partial
from typing import Annotated, Any, Final, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticKnownError, core_schema

__all__ = ["FORMATS", "Event", "Format", "Integer", "Json", "Number", "OneOf", "format_pattern", "json_kind"]

#: The largest integer that a double can stand for: one more rounds to infinity.
_LARGEST: Final = 2**1024 - 2**970 - 1
#: From here on not every integer is a double.
_EXACT: Final = 2**53

_KEYWORDS: Final = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_KINDS: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def json_kind(value: object) -> str:
    """Which of JSON's six kinds a value is: the tag of fields that may be of several."""
    kind = _KINDS.get(type(value))
    return kind or ("number" if isinstance(value, float) else "object")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounded:
    """A number's bounds, as Pydantic spells them. They compare exactly, integers of any size included."""

    ge: int | float | None = None
    le: int | float | None = None
    gt: int | float | None = None
    lt: int | float | None = None
    multiple_of: int | float | None = None

    def _with_multiple(self, schema: core_schema.CoreSchema) -> core_schema.CoreSchema:
        if self.multiple_of is None:
            return schema
        divide = partial(_divide, self.multiple_of, Fraction(repr(self.multiple_of)))
        return core_schema.no_info_wrap_validator_function(divide, schema)

    def _json_schema(self, name: str) -> dict[str, Any]:
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {"type": name, **{_KEYWORDS[bound]: value for bound, value in given if value is not None}}


class Integer(_Bounded):
    """An integral number, `1.0` included: `Annotated[int, Integer(ge=1, le=12)]`."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        # Integers of 64 bits never leave Rust; the rest is rare and asks Python.
        integral = core_schema.union_schema(
            [
                core_schema.int_schema(strict=True, ge=-(2**63), le=2**63 - 1),
                core_schema.no_info_plain_validator_function(_integral),
            ],
            mode="left_to_right",
            custom_error_type="int_type",
        )
        bounded = core_schema.int_schema(
            strict=False,  # so that an infinity is told as what it is; all else is an integer by now
            ge=None if self.ge is None else math.ceil(self.ge),
            le=None if self.le is None else math.floor(self.le),
            gt=None if self.gt is None else math.floor(self.gt),
            lt=None if self.lt is None else math.ceil(self.lt),
        )
        return self._with_multiple(core_schema.chain_schema([integral, bounded]))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self._json_schema("integer")


class Number(_Bounded):
    """Any finite number, exact beyond 2**53 too: `Annotated[float, Number(ge=0)]`."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return self._with_multiple(core_schema.no_info_plain_validator_function(partial(_number, self)))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self._json_schema("number")


class OneOf:
    """One of these values, equal as JSON Schema says: 1 is 1.0, `true` is not 1, and lists and objects go by content."""

    __slots__ = ("_expected", "_found", "values")

    def __init__(self, *values: Any) -> None:
        self.values = values
        self._found = {_frozen(value): value for value in values}
        self._expected = ", ".join(repr(value) for value in values) or "nothing"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._find)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": list(self.values)}

    def _find(self, value: Any) -> Any:
        try:
            return self._found[_frozen(value)]
        except (KeyError, RecursionError):  # deeper than anything that a contract lists
            raise PydanticKnownError("literal_error", {"expected": self._expected}) from None


@dataclass(frozen=True, slots=True)
class Format:
    """A string in one of `FORMATS`, which stays the string that it was: `Annotated[str, Format("date-time")]`."""

    name: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        rule = _RULES[self.name]
        check: core_schema.CoreSchema = core_schema.str_schema(pattern=f"^(?:{rule.pattern})$")
        if rule.leap is not None:
            leap = core_schema.str_schema(pattern=f"^(?:{rule.leap})$")
            at_midnight = core_schema.no_info_plain_validator_function(_leap_second)
            check = core_schema.union_schema(
                [check, core_schema.chain_schema([leap, at_midnight])], mode="left_to_right"
            )
        known = rule.error.endswith(("_parsing", "value_error"))
        told = core_schema.custom_error_schema(
            check,
            custom_error_type=rule.error,
            custom_error_message=None if known else f"Input is not a valid {self.name} {rule.source}",
            custom_error_context={"error": f'expected the format "{self.name}" of {rule.source}'} if known else None,
        )
        return core_schema.chain_schema([handler(source), told])

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(cast("core_schema.ChainSchema", schema)["steps"][0]), "format": self.name}

    @property
    def error(self) -> str:
        """The type of the error that a string of another form gets."""
        return _RULES[self.name].error


def _finite(value: Any) -> Any:
    todo = [value]
    while todo:  # no recursion: the depth is the sender's choice
        each = todo.pop()
        kind = type(each)
        if kind is list:
            todo.extend(each)
        elif kind is dict:
            todo.extend(each.values())
        elif (isinstance(each, float) and not math.isfinite(each)) or (
            kind is int and not -_LARGEST <= each <= _LARGEST
        ):
            raise PydanticKnownError("finite_number")
    return value


class _Anything:
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(_finite)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {}


#: Any JSON value, null included, whose numbers a double can hold.
Json = Annotated[Any, _Anything()]


class Event(BaseModel):
    """An event, or an object inside one. Unknown fields are kept; a class with extra="forbid" refuses them."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")
    __pydantic_extra__: dict[str, Json]


def _integral(value: object) -> int | float:
    """An integer, or an infinity for the next step to refuse."""
    if type(value) is int:
        return value if -_LARGEST <= value <= _LARGEST else math.inf
    if isinstance(value, float):
        if value.is_integer():
            return int(value)
        if not math.isfinite(value):
            return value
    raise PydanticKnownError("int_type")


def _number(bounds: Number, value: object) -> int | float:
    number: int | float
    if isinstance(value, float):
        number = value
        finite = math.isfinite(value)
    elif type(value) is int:
        number = float(value) if -_EXACT <= value <= _EXACT else value
        finite = -_LARGEST <= value <= _LARGEST
    else:
        raise PydanticKnownError("float_type")
    if not finite:
        raise PydanticKnownError("finite_number")
    if bounds.ge is not None and number < bounds.ge:
        raise PydanticKnownError("greater_than_equal", {"ge": bounds.ge})
    if bounds.le is not None and number > bounds.le:
        raise PydanticKnownError("less_than_equal", {"le": bounds.le})
    if bounds.gt is not None and number <= bounds.gt:
        raise PydanticKnownError("greater_than", {"gt": bounds.gt})
    if bounds.lt is not None and number >= bounds.lt:
        raise PydanticKnownError("less_than", {"lt": bounds.lt})
    return number


def _divide(divisor: float, exact: Fraction, value: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
    number = handler(value)
    # repr is the shortest decimal that reads back the same: the number as it was written, 19.99 and not 19.989999…
    written = value if isinstance(value, int) else Fraction(repr(value))
    if written % exact:
        raise PydanticKnownError("multiple_of", {"multiple_of": divisor})
    return number


def _frozen(value: Any) -> object:
    """A hashable stand-in: equal for values that JSON Schema calls equal, and for no others."""
    if isinstance(value, bool) or value is None:
        return (value,)  # in a tuple, as True == 1
    if isinstance(value, list):
        return ("[]", *map(_frozen, value))
    if isinstance(value, dict):
        return frozenset((key, _frozen(each)) for key, each in value.items()), "{}"
    return value


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a format is judged: a regular expression for Rust's linear-time engine, whose `[0-9]` is ASCII."""

    pattern: str
    error: str
    source: str
    leap: str | None = None


def _ipv6(groups: int) -> str:
    """RFC 3986's IPv6address; RFC 5321's is the same with at most 6 `groups` beside the `::`, not 7."""
    h = "[0-9A-Fa-f]{1,4}"
    shapes = [f"(?:{h}:){{6}}(?:{h}:{h}|{_IPV4})"]
    for left in range(groups + 1):
        right = groups - left
        head = f"{h}(?::{h}){{{left - 1}}}" if left else ""
        tails = [f"(?:{h}:){{0,{right - 1}}}{h}"] if right else []
        tails += [f"(?:{h}:){{0,{right - 2}}}{_IPV4}"] if right > 1 else []
        shapes.append(f"{head}::" + (f"(?:{'|'.join(tails)})?" if tails else ""))
    return f"(?:{'|'.join(shapes)})"


_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = rf"(?:{_OCTET}(?:\.{_OCTET}){{3}})"
_LEAP_YEAR: Final = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE: Final = (
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_ZONE: Final = rf"(?:\.[0-9]+)?(?:[Zz]|[+-]{_CLOCK})"
_TIME: Final = f"{_CLOCK}:[0-5][0-9]{_ZONE}"
_LEAP: Final = f"{_CLOCK}:60{_ZONE}"
_SPAN: Final = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DAYS: Final = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_ATEXT: Final = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_LOCAL: Final = rf'(?:{_ATEXT}(?:\.{_ATEXT})*|"(?:[ !#-\[\]-~]|\\[ -~])*")'
_MAILBOX: Final = rf"{_LOCAL}@(?:{_LABEL}(?:\.{_LABEL})*|\[(?:{_IPV4}|(?i:IPv6:){_ipv6(6)})\])"
_PLAIN: Final = r"A-Za-z0-9._~!$&'()*+,;=\-"
_ESCAPED: Final = "%[0-9A-Fa-f]{2}"
_PCHAR: Final = f"(?:[{_PLAIN}:@]|{_ESCAPED})"
_HOST: Final = rf"(?:\[(?:{_ipv6(7)}|[vV][0-9A-Fa-f]+\.[{_PLAIN}:]+)\]|(?:[{_PLAIN}]|{_ESCAPED})*)"
_URI: Final = (
    f"[A-Za-z][A-Za-z0-9+.-]*:(?://(?:(?:[{_PLAIN}:]|{_ESCAPED})*@)?{_HOST}(?::[0-9]*)?(?:/{_PCHAR}*)*"
    rf"|/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?|{_PCHAR}+(?:/{_PCHAR}*)*|)(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
)
_HEX: Final = "[0-9A-Fa-f]"
_RULES: Final = {
    "date": _Rule(_DATE, "date_parsing", "RFC 3339"),
    "date-time": _Rule(f"{_DATE}[Tt]{_TIME}", "datetime_parsing", "RFC 3339", f"{_DATE}[Tt]{_LEAP}"),
    "time": _Rule(_TIME, "time_parsing", "RFC 3339", _LEAP),
    "duration": _Rule(f"P(?:{_DAYS}(?:{_SPAN})?|{_SPAN}|[0-9]+W)", "time_delta_parsing", "RFC 3339"),
    "uuid": _Rule(f"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}", "uuid_parsing", "RFC 4122"),
    "email": _Rule(_MAILBOX, "value_error", "RFC 5321"),
    "ipv4": _Rule(_IPV4, "ip_v4_address", "RFC 2673"),
    "ipv6": _Rule(_ipv6(7), "ip_v6_address", "RFC 4291"),
    "uri": _Rule(_URI, "url_parsing", "RFC 3986"),
}

#: Every format that is asserted, exactly, and the type that does it.
FORMATS: Final[Mapping[str, Any]] = {name: Annotated[str, Format(name)] for name in _RULES}


def format_pattern(name: str) -> str:
    """The regular expression of a format, for the whole string. Whatever has it passes; leap seconds pass beside it."""
    return _RULES[name].pattern


_LEAP_PARTS: Final = re.compile(r"([0-9]{2}):([0-9]{2}):60(?:\.[0-9]+)?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))\Z")


def _leap_second(value: str) -> str:
    """A leap second ends a day of UTC, whatever the clock shows there."""
    parts = _LEAP_PARTS.search(value)
    assert parts is not None  # the pattern has matched
    minute = int(parts[1]) * 60 + int(parts[2])
    if parts[3]:
        minute -= int(f"{parts[3]}1") * (int(parts[4]) * 60 + int(parts[5]))
    if minute % 1440 != 1439:
        raise ValueError("a leap second comes at 23:59:60 UTC")
    return value
