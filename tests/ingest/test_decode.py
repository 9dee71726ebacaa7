import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import BadBody
from assay.ingest.decode import MAX_DEPTH, Beyond, decode_array, decode_event, decode_line, is_array, is_plain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_decodes_what_the_standard_library_encodes(value: Any) -> None:
    assert decode_event(json.dumps(value).encode()).value == value
    assert decode_event(json.dumps(value, ensure_ascii=False).encode()).value == value


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]))
def test_the_elements_of_an_array_keep_their_own_bytes(values: list[Any], indent: int | None) -> None:
    events = decode_array(json.dumps(values, indent=indent).encode())
    assert [event.value for event in events] == values
    assert [json.loads(event.raw) for event in events] == values


@pytest.mark.parametrize(
    ("body", "byte"),
    [
        pytest.param(b"", 0, id="empty"),
        pytest.param(b'{"a":', 5, id="cut"),
        pytest.param(b'{"a":NaN}', 5, id="NaN"),
        pytest.param(b'{"a":Infinity}', 5, id="Infinity"),
        pytest.param(b'{"a":-Infinity}', 6, id="-Infinity"),
        pytest.param(b'{"a":01}', 6, id="leading zero"),
        pytest.param(b'{"a":1} x', 8, id="trailing text"),
        pytest.param(b'{"a":"\xff"}', 6, id="bad UTF-8"),
        pytest.param(b'{"\xff":1}', 2, id="bad UTF-8 in a name"),
        pytest.param(b'{"a":"\\ud800"}', 6, id="lone surrogate at the end"),
        pytest.param(b'{"a":"\\ud800 and more text behind it"}', 6, id="lone high surrogate"),
        pytest.param(b'{"a":"\\\\ud800 \\udc00"}', 14, id="lone low surrogate"),
        pytest.param(b'{"a":"\x01"}', 6, id="control character"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', 0, id="byte order mark"),
        pytest.param(b"{'a':1}", 1, id="single quotes"),
    ],
)
def test_says_where_a_body_broke(body: bytes, byte: int) -> None:
    with pytest.raises(BadBody) as error:
        decode_event(body)
    assert error.value.byte is not None
    assert abs(error.value.byte - byte) <= 1


@pytest.mark.parametrize("text", ["1e400", "-1e400", "9" * 400, "-" + "9" * 400, "1" * 309 + "." + "5"])
def test_a_number_beyond_a_double_remembers_how_it_was_written(text: str) -> None:
    event = decode_event(f'{{"a": {text}, "b": [{text}], "c": 1}}'.encode())
    number = event.value["a"]
    if math.isinf(number):
        assert isinstance(number, Beyond)
        assert number.text == text
        assert (number < 0) == text.startswith("-")
    assert event.value["c"] == 1


def test_large_integers_stay_exact() -> None:
    assert decode_event(b'{"a": 123456789012345678901234567890}').value == {"a": 123456789012345678901234567890}


def test_the_last_of_repeated_names_counts() -> None:
    assert decode_event(b'{"a": 1, "a": 2}').value == {"a": 2}
    assert decode_event(b'{"a": 1e400, "a": 2}').value == {"a": 2}


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 2, 5_000, 200_000])
def test_nesting_is_bounded(open_: str, close: str, depth: int) -> None:
    body = (open_ * depth + "1" + close * depth).encode()
    with pytest.raises(BadBody, match="nested deeper"):
        decode_event(body)
    with pytest.raises(BadBody, match="nested deeper"):
        decode_array(b"[" + body + b"]")


def test_nesting_up_to_the_bound_is_taken() -> None:
    decode_event(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


@pytest.mark.parametrize("line", [b"", b" ", b"\r", b" \t\r"])
def test_an_empty_line_is_no_event(line: bytes) -> None:
    assert decode_line(line) is None


def test_a_line_is_its_event_without_the_space_around_it() -> None:
    event = decode_line(b' {"a":1}\r')
    assert event is not None
    assert (event.raw, event.value) == (b'{"a":1}', {"a": 1})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[" * MAX_DEPTH, True),
        (b"{" * MAX_DEPTH + b"[", False),
        (b'{"a":' + b"1" * 400 + b"}", False),
        (b'{"a":"' + b"1 " * 400 + b'"}', True),
    ],
    ids=["deep", "deeper", "a long number", "long text"],
)
def test_is_plain(body: bytes, *, expected: bool) -> None:
    assert is_plain(body) is expected


@pytest.mark.parametrize(("body", "expected"), [(b" \n[1]", True), (b"{}", False), (b"", False), (b' "["', False)])
def test_is_array(body: bytes, *, expected: bool) -> None:
    assert is_array(body) is expected
