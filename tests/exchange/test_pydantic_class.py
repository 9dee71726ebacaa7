"""Pydantic classes as contracts, and what no contract can say by name."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

import annotated_types as at
import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    RootModel,
    StringConstraints,
    field_validator,
    model_validator,
)

from assay.errors import NotASchema, UsageError
from assay.exchange.importing import import_contract


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Leg(BaseModel):
    origin: Annotated[str, at.Len(3, 3)]
    minutes: Annotated[int, at.Ge(0)]


class Flight(BaseModel):
    model_config = ConfigDict(extra="forbid")

    carrier: Literal["AA", "UA"]
    price: float = Field(ge=0, description="in euros")
    seats: int | None = None
    at: AwareDatetime
    day: dt.date
    id: UUID
    ip: IPv4Address = Field(alias="from")
    colour: Colour | None = None
    legs: list[Leg] = Field(min_length=1)
    either: int | str
    note: Any = None


def test_a_class_is_the_contract_that_its_json_schema_says() -> None:
    found = import_contract(Flight, "flights")
    assert found.left_out == ()
    leg = {
        "type": "object",
        "properties": {
            "origin": {"type": "string", "minLength": 3, "maxLength": 3},
            "minutes": {"type": "integer", "minimum": 0},
        },
        "required": ["origin", "minutes"],
    }
    assert found.contract.schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "required": ["carrier", "price", "at", "day", "id", "from", "legs", "either"],
        "properties": {
            "carrier": {"type": "string", "enum": ["AA", "UA"]},
            "price": {"type": "number", "minimum": 0, "description": "in euros"},
            "seats": {"type": ["integer", "null"]},
            "at": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "id": {"type": "string", "format": "uuid"},
            "from": {"type": "string", "format": "ipv4"},
            "colour": {"type": ["string", "null"], "enum": ["red", "blue", None]},
            "legs": {"type": "array", "minItems": 1, "items": leg},
            "either": {"type": ["integer", "string"]},
            "note": {},
        },
    }


class Inner(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def is_odd(cls, value: int) -> int:
        return value


class Checked(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    total: Annotated[int, at.Predicate(lambda value: value > 3)]
    half: Annotated[float, AfterValidator(lambda value: value / 2)]
    since: Annotated[dt.date, Field(ge=dt.date(2020, 1, 1))]
    url: HttpUrl
    name: Annotated[str, StringConstraints(to_upper=True)]
    price: Decimal = Field(max_digits=5)
    inner: list[Inner]
    other: Inner
    old: int = Field(validation_alias=AliasChoices("old", "older"))

    @model_validator(mode="after")
    def adds_up(self) -> Checked:
        return self

    def model_post_init(self, context: Any) -> None:
        assert self.total


def test_what_no_contract_can_say_is_named() -> None:
    found = import_contract(Checked, "d")
    named = {(each.field, each.rule) for each in found.left_out}
    assert named == {
        ("", "the validator Checked.adds_up"),
        ("", "model_post_init"),
        ("", "model_config['str_strip_whitespace']"),
        ("total", "the validator Predicate"),
        ("half", "the validator <lambda>"),
        ("since", "ge"),
        ("url", "allowed_schemes"),
        ("name", "to_upper"),
        ("price", "max_digits"),
        ("Inner.n", "the validator Inner.is_odd"),
        ("old", "validation_alias"),
    }
    assert found.contract.fields[0].types == {"integer"}


class Unlike(BaseModel):
    tags: set[str] = set()


class Keyed(BaseModel):
    counts: dict[str, int] = {}


class Raw(BaseModel):
    body: bytes


class Opaque(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    thing: object.__class__ = object  # type: ignore[valid-type]


class Recursive(BaseModel):
    below: list[Recursive] = []


class Listed(RootModel[list[int]]):
    pass


@pytest.mark.parametrize(
    ("model", "pointer"),
    [
        (Unlike, "/properties/tags/uniqueItems"),
        (Keyed, "/properties/counts/additionalProperties"),
        (Raw, "/properties/body/format"),
        (Listed, "/type"),
    ],
)
def test_what_json_schema_says_and_no_contract_can_is_refused_by_name(model: type[BaseModel], pointer: str) -> None:
    with pytest.raises(NotASchema) as caught:
        import_contract(model, "d")
    assert caught.value.pointer == pointer


def test_a_class_inside_itself_has_no_end() -> None:
    with pytest.raises(NotASchema, match="leads to itself"):
        import_contract(Recursive, "d")


def test_a_class_without_json_schema_is_refused() -> None:
    with pytest.raises(UsageError, match="Opaque has no JSON Schema"):
        import_contract(Opaque, "d")
