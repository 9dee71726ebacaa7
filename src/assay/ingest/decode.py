"""Bytes to events, or where they broke. Knows nothing of contracts.

JSON is RFC 8259's. msgspec decodes; it is strict in all that matters here (NaN, lone surrogates, bad UTF-8, trailing
text). Where it gives up on a number beyond a double's range, which is a violation of the event and not of the body, the
standard library decodes again, and the number is handed on as an infinity that knows its text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn, Self

import msgspec

from assay.errors import BadBody

__all__ = [
    "MAX_DEPTH",
    "SPACE",
    "Beyond",
    "Decoded",
    "decode_array",
    "decode_element",
    "decode_event",
    "decode_line",
    "is_array",
    "is_plain",
    "split_array",
]

#: How deep objects and arrays may nest in an event.
MAX_DEPTH: Final = 64

_BYTE: Final = re.compile(r" \(byte (\d+)\)$")
_PREFIX: Final = "JSON is malformed: "
#: JSON's white space.
SPACE: Final = b" \t\n\r"
_LONG_DIGITS: Final = re.compile(rb"[0-9]{309}")

_decode_any: Final = msgspec.json.Decoder().decode
_decode_raw_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Beyond(float):
    """A number beyond a double's range: an infinity that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        """The infinity of the number's sign."""
        value = super().__new__(cls, "-inf" if text.startswith("-") else "inf")
        value.text = text
        return value


class Decoded(msgspec.Struct, frozen=True):
    """One event of a body: its own bytes, and what they say. `error` is set where they say nothing: a broken line.

    A number beyond a double's range stands as a `Beyond` in `value`.
    """

    raw: bytes
    value: Any = None
    error: BadBody | None = None


def is_array(body: bytes) -> bool:
    """Whether a JSON body is an array."""
    return body.lstrip(SPACE)[:1] == b"["


def decode_event(body: bytes) -> Decoded:
    """One JSON value.

    Raises:
        BadBody: it is not JSON; with the byte where it broke.
    """
    try:
        value = _decode_any(body)
    except msgspec.ValidationError:
        return Decoded(body, _decode_wide(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _broken(body, error)
    except RecursionError:
        _too_deep()
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if len(body) > 309 and _LONG_DIGITS.search(body):
        return Decoded(body, _decode_wide(body))
    return Decoded(body, value)


def is_plain(body: bytes) -> bool:
    """Whether it surely nests no deeper than it may, and has no number that a double cannot hold and msgspec can."""
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        return False
    return len(body) <= 309 or _LONG_DIGITS.search(body) is None


def split_array(body: bytes) -> list[bytes]:
    """The elements of a JSON array, each as its own bytes. Their inside is looked at no closer than to find their end.

    Raises:
        BadBody: it is not JSON; with the byte where it broke.
    """
    try:
        return [bytes(each) for each in _decode_raw_list(body)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _broken(body, error)
    except RecursionError:
        _too_deep()


def decode_element(body: bytes, raw: bytes) -> Decoded:
    """One element of the array `body`, `raw` being its bytes.

    Raises:
        BadBody: it is not JSON; with the byte of the body where it broke.
    """
    try:
        return decode_event(raw)
    except BadBody as error:
        if error.byte is None:
            raise
        start = body.find(raw)
        raise BadBody(error.reason, byte=start + error.byte) from error


def decode_array(body: bytes) -> list[Decoded]:
    """The elements of a JSON array.

    Raises:
        BadBody: it is not JSON, at whichever element; with the byte where it broke.
    """
    return [decode_element(body, raw) for raw in split_array(body)]


def decode_line(line: bytes) -> Decoded | None:
    """A line of NDJSON; None where it is empty.

    Raises:
        BadBody: it is not JSON.
    """
    raw = line.strip(SPACE)
    return decode_event(raw) if raw else None


def _decode_wide(body: bytes) -> Any:
    """Decode with numbers of any size, those beyond a double's range as `Beyond`."""
    try:
        value = json.loads(body.decode(), parse_int=_integer, parse_float=_real, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        _broken(body, error)
    _check_depth(value)
    return value


def _integer(text: str) -> int | float:
    if len(text) > 310:
        return Beyond(text)
    value = int(text)
    try:
        float(value)
    except OverflowError:
        return Beyond(text)
    return value


def _real(text: str) -> float:
    value = float(text)
    return Beyond(text) if math.isinf(value) else value


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _check_depth(value: Any) -> None:
    level: Sequence[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    _too_deep()


def _too_deep() -> NoReturn:
    raise BadBody(f"nested deeper than {MAX_DEPTH} levels")


def _broken(body: bytes, error: Exception) -> NoReturn:
    """Say where it broke, as exactly as can be known."""
    try:
        body.decode()
    except UnicodeDecodeError as bad:
        raise BadBody("not UTF-8", byte=bad.start) from error
    text = str(error)
    place = _BYTE.search(text)
    if "surrogate" in text or (place is None and _surrogate(body) < len(body)):
        raise BadBody("not JSON: a lone surrogate", byte=_surrogate(body)) from error
    if place:
        reason = text[: place.start()].removeprefix(_PREFIX)
        beyond = reason == "trailing characters"  # told of the byte behind the first of them
        raise BadBody(f"not JSON: {reason}", byte=int(place[1]) - beyond) from error
    reason = "not JSON: the text ends too early" if "truncated" in text else f"not JSON: {text}"
    raise BadBody(reason, byte=len(body)) from error


def _surrogate(body: bytes) -> int:
    """Where the first surrogate escape without its partner begins."""
    pairs = re.compile(
        rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    )
    for match in pairs.finditer(body):
        if match[1]:
            return match.start()
    return len(body)
