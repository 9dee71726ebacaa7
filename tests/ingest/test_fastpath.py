"""The fast path may only say 'accepted' when Pydantic would, and then with the same row."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.ingest.decode import decode_event
from assay.ingest.fastpath import FastPath, fast_path
from assay.ingest.rows import Rows
from assay.ingest.validate import Judge
from tests.strategies import contracts, events

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def path_of(**properties: Any) -> FastPath:
    required = [name for name in properties if not name.startswith("may_")]
    found = fast_path(Contract.parse({"type": "object", "properties": properties, "required": required}, dataset="d"))
    assert found is not None
    return found


@given(st.data())
@settings(max_examples=400)
def test_it_accepts_only_what_pydantic_accepts_and_with_the_same_row(data: st.DataObject) -> None:
    contract = data.draw(contracts(plain=True))
    path = fast_path(contract)
    if path is None:
        return
    event = data.draw(events(contract))
    try:
        body = json.dumps(event, allow_nan=False).encode()
    except ValueError:
        return
    check(contract, path, body)


def check(contract: Contract, path: FastPath, body: bytes) -> bool:
    """Whether the fast path accepts; when it does, Pydantic must, and the row must be the same."""
    struct = path.event(body)
    table = None if struct is None else path.table([struct])
    sifted = path.sift([body])
    assert (len(sifted.structs), list(sifted.rest)) == ((0, [0]) if struct is None else (1, []))
    assert (path.array(b"[" + body + b"]") is None) == (struct is None)
    if struct is None or table is None:
        return False
    event = decode_event(body).value
    assert Judge(contract, Active(1)).judge(event) == ()
    slow = Rows(contract).table([event], [NOW], ["s"], [None])
    assert slow["_extra"].to_pylist() == [None]
    for name, array in table.items():
        assert array.type == slow[name].type
        assert array.to_pylist() == slow[name].to_pylist()
    return True


INTEGER, NUMBER, STRING = {"type": "integer"}, {"type": "number"}, {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "text", "accepted"),
    [
        pytest.param(INTEGER, "1", True, id="integer"),
        pytest.param(INTEGER, "1.0", False, id="an integral number: ask"),
        pytest.param(INTEGER, "true", False, id="true"),
        pytest.param(INTEGER, "9223372036854775807", True, id="the largest that a column holds"),
        pytest.param(INTEGER, "9223372036854775808", False, id="the next one"),
        pytest.param(INTEGER | {"minimum": 0.5}, "1", True, id="above a fractional bound"),
        pytest.param(INTEGER | {"minimum": 0.5}, "0", False, id="below a fractional bound"),
        pytest.param(INTEGER | {"exclusiveMaximum": 5}, "5", False, id="at an exclusive bound"),
        pytest.param(INTEGER | {"exclusiveMaximum": 5}, "4", True, id="below an exclusive bound"),
        pytest.param(INTEGER | {"minimum": 2**70}, "1", False, id="a bound beyond 64 bits"),
        pytest.param(INTEGER | {"enum": [1, 2]}, "2", True, id="one of two"),
        pytest.param(INTEGER | {"enum": [1, 2]}, "3", False, id="none of two"),
        pytest.param(INTEGER | {"enum": [1, 2], "maximum": 1}, "2", False, id="enum and bound"),
        pytest.param(NUMBER, "9007199254740993", False, id="an integer that no double holds"),
        pytest.param(NUMBER, "1e400", False, id="beyond a double"),
        pytest.param(NUMBER, "5", True, id="an integer is a number"),
        pytest.param(NUMBER | {"multipleOf": 0.01}, "19.99", True, id="multipleOf in decimal"),
        pytest.param(NUMBER | {"multipleOf": 0.01}, "19.995", False, id="no multiple"),
        pytest.param(NUMBER | {"minimum": 0, "exclusiveMinimum": 1}, "1", False, id="two lower bounds"),
        pytest.param(STRING | {"maxLength": 2}, '"😀😀"', True, id="code points"),
        pytest.param(STRING | {"pattern": r"^\d+$"}, '"12"', True, id="pattern"),
        pytest.param(STRING | {"pattern": r"^\d+$"}, '"1\\n"', False, id="a line end is no end"),
        pytest.param(STRING | {"pattern": r"^\d+$"}, '"٣"', False, id="an Arabic digit"),
        pytest.param(STRING | {"format": "date"}, '"2026-02-29"', False, id="no such day"),
        pytest.param(STRING | {"format": "date-time"}, '"2026-02-28T01:02:03.5+02:00"', True, id="time"),
        pytest.param(STRING | {"format": "date-time"}, '"2016-12-31T23:59:60Z"', False, id="a leap second: ask"),
        pytest.param(STRING | {"enum": ["a", "b"]}, '"a"', True, id="enum"),
        pytest.param({"type": ["integer", "null"]}, "null", True, id="null"),
        pytest.param(INTEGER, "null", False, id="no null"),
        pytest.param({"type": "boolean"}, "false", True, id="boolean"),
        pytest.param({"type": "boolean"}, "0", False, id="zero is no boolean"),
    ],
)
def test_one_value(schema: dict[str, Any], text: str, *, accepted: bool) -> None:
    contract = Contract.parse(
        {"type": "object", "properties": {"x": schema}, "required": ["x"]}, dataset="d", version=1
    )
    path = fast_path(contract)
    assert path is not None
    assert check(contract, path, f'{{"x": {text}}}'.encode()) is accepted


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": 1, "y": 2}',
        b"{}",
        b"[]",
        b"5",
        b'{"x": 1} {"x": 2}',
        b'{"x": "\xff"}',
        b'{"x":1',
        b"",
        b'{"x":1,"x":"a"}',
    ],
)
def test_it_declines_what_it_does_not_know(body: bytes) -> None:
    assert path_of(x=INTEGER).event(body) is None


def test_an_optional_field_may_be_missing_but_not_null() -> None:
    path = path_of(x=INTEGER, may_y=INTEGER)
    assert path.event(b'{"x": 1}') is not None
    assert path.event(b'{"x": 1, "may_y": null}') is None


@pytest.mark.parametrize("rule", [{"multipleOf": 2}, {"enum": [2**53]}], ids=["multipleOf", "enum"])
def test_a_number_that_lost_digits_is_not_judged_by_what_is_left(rule: dict[str, Any]) -> None:
    path = path_of(x=NUMBER | rule)
    assert path.event(b'{"x": 9007199254740993}') is None
    assert list(path.sift([b'{"x": 9007199254740993}']).rest) == [0]
    assert path.array(b'[{"x": 9007199254740993}]') is None


@pytest.mark.parametrize(
    ("moment", "plain"),
    [
        ("0000-01-01T00:00:00Z", False),
        ("0001-01-01T00:00:00Z", True),
        ("0001-01-01T00:00:00+05:00", False),
        ("0002-01-01T00:00:00+05:00", True),
        ("9998-12-31T23:59:59-23:59", True),
        ("9999-12-31T23:59:59-23:59", False),
        ("9999-12-31T23:59:59.999999Z", True),
    ],
)
def test_moments_of_other_years_than_1_to_9999_are_left_to_a_closer_look(moment: str, *, plain: bool) -> None:
    path = path_of(x=STRING | {"format": "date-time"})
    sifted = path.sift([json.dumps({"x": moment}).encode()])
    assert len(sifted.structs) == 1
    assert (path.table(sifted.structs) is not None) == plain


def test_events_are_sifted_one_by_one() -> None:
    path = path_of(x=INTEGER, s=STRING | {"format": "date"})
    good, bad, ask = b'{"x":1,"s":"2026-01-01"}', b'{"x":"1","s":"2026-01-01"}', b'{"x":1,"s":"2026-13-01"}'
    sifted = path.sift([good, bad, good, ask, good])
    assert list(sifted.places) == [0, 2, 4]
    assert list(sifted.rest) == [1, 3]
    assert path.table(sifted.structs) is not None


def test_bad_events_in_a_row_do_not_hide_the_good_ones_after_them_for_long() -> None:
    path = path_of(x=INTEGER)
    raws = [b'{"x":"1"}'] * 100 + [b'{"x":1}'] * 900
    sifted = path.sift(raws)
    assert sorted([*sifted.places, *sifted.rest]) == list(range(1000))
    assert set(range(100)) <= set(sifted.rest)
    assert len(sifted.places) > 890


def test_names_that_the_contract_does_not_know_are_learned() -> None:
    path = path_of(x=INTEGER)
    raws = [b'{"x":1,"a":[1,{"b":2}]}', b'{"x":2}', b'{"x":3,"c":null,"a":1}', b'{"x":"4","d":1}']
    extended, sifted = path.sift_unknown(raws)
    assert list(sifted.rest) == [3]
    table, count = path.table_with_extra(sifted.structs, extended, keep_unknown=True)
    assert table is not None
    assert count == 3
    extras = [None if text is None else json.loads(text) for text in table["_extra"].to_pylist()]
    assert extras == [{"a": [1, {"b": 2}]}, None, {"c": None, "a": 1}]
    table, count = path.table_with_extra(sifted.structs, extended, keep_unknown=False)
    assert table is not None
    assert "_extra" not in table
    assert count == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":1,"a":1e400}',
        b'{"x":1,"a":' + b"9" * 400 + b"}",
        b'{"x":1,"a":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"x":1,"a":"\xff"}',
        b'{"x":1,"a":"\\ud800"}',
        b'{"x":1,"a\\"":1}',
        b"[1]",
        b"",
    ],
    ids=[
        "beyond a double",
        "many digits",
        "too deep",
        "no UTF-8",
        "a lone surrogate",
        "an odd name",
        "a list",
        "empty",
    ],
)
def test_unknown_fields_that_need_a_closer_look(body: bytes) -> None:
    _, sifted = path_of(x=INTEGER).sift_unknown([body])
    assert list(sifted.rest) == [0]


def test_a_sender_of_ever_new_names_is_left_to_the_ordinary_way() -> None:
    path = path_of(x=INTEGER)
    raws = [f'{{"x":1,"n{i}":1}}'.encode() for i in range(200)]
    extended, _ = path.sift_unknown(raws)
    assert len(extended.names) == 64
    _, sifted = path.sift_unknown(raws[:64])
    assert len(sifted.structs) == 64


def test_a_contract_that_allows_no_others_takes_none() -> None:
    closed = {"type": "object", "properties": {"x": INTEGER}, "additionalProperties": False}
    path = fast_path(Contract.parse(closed, dataset="d"))
    assert path is not None
    assert path.unknown is None
    with pytest.raises(ValueError, match="no unknown field"):
        path.sift_unknown([b'{"x":1,"a":1}'])


def test_of_repeated_names_the_last_counts() -> None:
    path = path_of(x=INTEGER)
    event = path.event(b'{"x": 1, "x": 2}')
    assert event is not None
    table = path.table([event])
    assert table is not None
    assert table["x"].to_pylist() == [2]


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({"x": {"type": "object"}}, id="an object"),
        pytest.param({"x": {"type": "array"}}, id="a list"),
        pytest.param({"x": {}}, id="anything"),
        pytest.param({"x": {"type": ["integer", "string"]}}, id="two types"),
        pytest.param({"_x": INTEGER}, id="a name without a column"),
        pytest.param({"a": INTEGER, "A": INTEGER}, id="two names of one column"),
        pytest.param({'q"': INTEGER}, id="a name that msgspec cannot have"),
        pytest.param({}, id="no fields"),
    ],
)
def test_it_declines_contracts(properties: dict[str, Any]) -> None:
    assert fast_path(Contract.parse({"type": "object", "properties": properties}, dataset="d")) is None
