from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter, ValidationError

from assay.contract.document import json_equal
from assay.types import FORMATS, Event, Format, Integer, Json, Number, OneOf, json_kind
from tests.strategies import NASTY


def passes(annotation: Any, value: object) -> bool:
    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError:
        return False
    return True


@given(st.integers(-(10**6), 10**6), st.integers(0, 4), st.integers(1, 999), st.integers(0, 4))
def test_multiples_are_exact_in_decimal(digits: int, places: int, step: int, step_places: int) -> None:
    value, divisor = digits / 10**places, step / 10**step_places
    exact = Decimal(repr(value)) % Decimal(repr(divisor)) == 0
    assert passes(Annotated[float, Number(multiple_of=divisor)], value) == exact


@given(st.integers(-(2**60), 2**60), st.integers(-2, 2) | st.floats(-3, 3))
def test_bounds_are_exact_beyond_what_a_double_holds(bound: int, step: float) -> None:
    value = bound + int(step)
    for name, holds in (("ge", value >= bound), ("gt", value > bound), ("le", value <= bound), ("lt", value < bound)):
        assert passes(Annotated[float, Number(**{name: bound})], value) == holds
        assert passes(Annotated[int, Integer(**{name: bound})], value) == holds


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(-5, 5))
def test_an_integers_bound_may_be_a_fraction(bound: float, value: int) -> None:
    for name, holds in (("ge", value >= bound), ("gt", value > bound), ("le", value <= bound), ("lt", value < bound)):
        assert passes(Annotated[int, Integer(**{name: bound})], value) == holds


@given(st.lists(st.sampled_from(NASTY), max_size=4), st.sampled_from(NASTY))
def test_one_of_goes_by_json_schemas_equality(values: list[Any], value: Any) -> None:
    assert passes(Annotated[Any, OneOf(*values)], value) == any(json_equal(value, each) for each in values)


def test_what_is_too_deep_to_be_listed_is_not_listed() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert not passes(Annotated[Any, OneOf(1)], deep)
    assert passes(Json, deep)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (True, "boolean"), (1, "number"), (1.5, "number"), ("", "string"), ([], "array"), ({}, "object")],
)
def test_the_six_kinds(value: object, kind: str) -> None:
    assert json_kind(value) == kind


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("date", ["2024-02-29", "0000-01-01"], ["2023-02-29", "2024-02-29\n", "٢٠٢٤-01-01", "20240229"]),
        (
            "date-time",
            ["1998-12-31T23:59:60Z", "1998-12-31t15:59:60.5-08:00", "2024-01-01T00:00:00+00:00"],
            ["1998-12-31T22:59:60Z", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00", "2024-01-01T24:00:00Z"],
        ),
        ("time", ["01:29:60+01:30", "12:00:00z"], ["23:59:60+00:30", "12:00:00", "12:00Z"]),
        ("duration", ["P1Y2M3DT4H5M6S", "P2W", "PT1M2S"], ["P", "PT", "P1Y2D", "PT1H2S", "P1.5D"]),
        ("uuid", ["2EB8AA08-aa98-11ea-B4AA-73B441D16380"], ["{2eb8aa08-aa98-11ea-b4aa-73b441d16380}"]),
        (
            "email",
            ['"a b"@example.com', "a@[IPv6:::1]", "a+b@x"],
            ["a@", "a..b@x.com", "a@-x.com", "a@[IPv6:1:2:3:4:5:6:7::]"],
        ),
        ("ipv4", ["0.0.0.0", "255.255.255.255"], ["256.0.0.0", "01.2.3.4", "1.2.3"]),
        ("ipv6", ["::", "1:2:3:4:5:6:7::", "::ffff:1.2.3.4"], ["1:2:3:4:5:6:7:8::", ":::", "::1%eth0", "1:2"]),
        ("uri", ["a:", "http://[v1.a]:80/?#", "urn:x:%20"], ["http://[::1", "a b:c", "/a", "http://é"]),
    ],
)
def test_formats(name: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes + no if passes(FORMATS[name], text)] == yes


def test_every_format_is_tried_above() -> None:
    (mark,) = (mark for mark in test_formats.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_long_text_is_judged_in_linear_time(name: str) -> None:
    for text in ("1" * 200_000, "a." * 100_000, ":" * 200_000, "a@" + "a-" * 100_000, "P" + "1D" * 100_000):
        assert passes(FORMATS[name], text) in {True, False}


def test_json_schema_gets_back_what_was_said() -> None:
    class Model(Event):
        n: Annotated[int, Integer(ge=1, lt=5)]
        x: Annotated[float, Number(gt=0.5, multiple_of=0.01)]
        one: Annotated[Any, OneOf(1, "a", None)]
        at: Annotated[str, Format("date-time")]
        any: Json

    properties = Model.model_json_schema()["properties"]
    for schema in properties.values():
        schema.pop("title")
    assert properties == {
        "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": 5},
        "x": {"type": "number", "exclusiveMinimum": 0.5, "multipleOf": 0.01},
        "one": {"enum": [1, "a", None]},
        "at": {"type": "string", "format": "date-time"},
        "any": {},
    }


def test_unknown_fields_are_kept_and_judged() -> None:
    assert Event.model_validate({"a": [1.5]}).model_dump() == {"a": [1.5]}
    with pytest.raises(ValidationError, match=re.escape("finite")):
        Event.model_validate({"a": [{"b": 10**400}]})
