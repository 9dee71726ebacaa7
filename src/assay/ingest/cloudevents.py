"""CloudEvents 1.0.2: an envelope taken apart into the event (`data`) and what is said about it.

Structured mode and batches by the JSON event format, binary mode by the HTTP protocol binding. An envelope that breaks
the specification is a rejected event, with violations that say where; only what is no JSON at all is a bad body.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from pydantic import TypeAdapter, ValidationError

from assay.contract.violation import Violation
from assay.errors import BadBody
from assay.ingest.decode import decode_element, decode_event, is_array, split_array
from assay.ingest.keys import digest_of
from assay.ingest.rows import has_beyond, to_json
from assay.types import FORMATS

__all__ = [
    "BATCH",
    "ENVELOPE",
    "KEY_REUSED",
    "STRUCTURED",
    "CloudEvent",
    "Opened",
    "is_json_type",
    "open_batch",
    "open_binary",
    "open_structured",
    "wrap",
]

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
#: The type of a violation of the envelope. Its field is the envelope's, none of the contract's.
ENVELOPE: Final = "cloudevent"
#: The type of the violation that another event has come with the same source and id.
KEY_REUSED: Final = "key_reused"

_REQUIRED: Final = ("id", "source", "specversion", "type")
_NO_ATTRIBUTES: Final = frozenset({"data", "data_base64"})
_NAME: Final = re.compile(r"[a-z0-9]+")
#: Control characters, halves of surrogate pairs and noncharacters: no CloudEvents String.
_NO_STRING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
_URI_REFERENCE: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_JSON_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:[a-z0-9!#$&^_.+-]+\+)?json", re.IGNORECASE)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_INT32: Final = range(-(2**31), 2**31)

_is_time: Final = TypeAdapter(FORMATS["date-time"]).validate_python
_is_uri: Final = TypeAdapter(FORMATS["uri"]).validate_python
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_sorted: Final = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One CloudEvent. `raw` is its own bytes; `data` those of its event, `value` what they say.

    `found` is what is wrong with the envelope; then there is no event to judge. `key` stands for `source` and `id`, where
    it has them; two with the same key are the same when their `digest`, of type and event, is.
    """

    raw: bytes
    data: bytes
    value: Any
    attributes: Mapping[str, Any]
    found: tuple[Violation, ...]
    key: str | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A body's CloudEvents. `content_type` is that of each; `single` says that the body was one and no batch."""

    events: Sequence[CloudEvent]
    content_type: str
    single: bool


def open_structured(body: bytes) -> Opened:
    """A body of `application/cloudevents+json`.

    Raises:
        BadBody: it is not JSON.
    """
    return Opened([_open(body, decode_event(body).value)], STRUCTURED, single=True)


def open_batch(body: bytes) -> Opened:
    """A body of `application/cloudevents-batch+json`.

    Raises:
        BadBody: it is not a JSON array.
    """
    if not is_array(body):
        decode_event(body)
        raise BadBody("a batch of CloudEvents is a JSON array", byte=0)
    elements = split_array(body)
    return Opened([_open(raw, decode_element(body, raw).value) for raw in elements], STRUCTURED, single=False)


def open_binary(headers: Iterable[tuple[bytes, bytes]], content_type: str, body: bytes) -> Opened:
    """A body that is the event, with attributes in `ce-` headers.

    Raises:
        BadBody: the body is not JSON.
    """
    attributes: dict[str, Any] = {}
    found: list[Violation] = []
    for name, value in headers:
        if not name.startswith(b"ce-"):
            continue
        attribute = name[3:].decode("latin-1")
        try:
            attributes[attribute] = _unescaped(value)
        except UnicodeDecodeError:
            found.append(_violation(attribute, "is not UTF-8, percent-encoded", value.decode("latin-1")))
    attributes["datacontenttype"] = content_type
    event = decode_event(body).value if body.strip() else None
    found += _violations(attributes)
    return Opened([_made(body, body, event, attributes, found)], content_type, single=True)


def wrap(data: bytes, attributes: str) -> bytes:
    """A CloudEvent in structured mode from its event's bytes and its attributes as JSON text."""
    return attributes[:-1].encode() + b',"data":' + data + b"}"


def _open(raw: bytes, envelope: Any) -> CloudEvent:
    if not isinstance(envelope, dict):
        none = Violation((), ENVELOPE, "a CloudEvent is a JSON object")
        return CloudEvent(raw, b"", None, {}, (none,), None, digest_of(raw))
    attributes = {name: value for name, value in envelope.items() if name not in _NO_ATTRIBUTES and value is not None}
    found = [*_violations(attributes)]
    value, data = envelope.get("data"), b""
    if envelope.get("data_base64") is not None:
        if "data" in envelope:
            found.append(_violation("data_base64", "stands beside data"))
        else:
            try:
                data = base64.b64decode(envelope["data_base64"], validate=True)
                value = decode_event(data).value
            except (TypeError, ValueError, binascii.Error):
                found.append(_violation("data_base64", "is not base64"))
            except BadBody as error:
                found.append(_violation("data_base64", f"holds no JSON: {error}"))
    elif "data" in envelope:
        data = bytes(_members(raw)["data"])
    return _made(raw, data, value, attributes, found)


def _made(raw: bytes, data: bytes, value: Any, attributes: Mapping[str, Any], found: Sequence[Violation]) -> CloudEvent:
    source, name = attributes.get("source"), attributes.get("id")
    key = None
    if isinstance(source, str) and isinstance(name, str) and source and name:
        # With a space, which no `Idempotency-Key` has; a digest, as either may be long.
        key = "ce " + digest_of(source.encode("utf-8", "surrogatepass"), name.encode("utf-8", "surrogatepass")).hex()
    digest = digest_of(raw) if found else digest_of(str(attributes["type"]).encode(), _said(value))
    return CloudEvent(raw, data, value, attributes, tuple(found), key, digest)


def _said(value: Any) -> bytes:
    """What an event says, however it is written: a sender in between may write it anew."""
    return to_json(value).encode() if has_beyond(value) else _sorted(value)


def _violations(attributes: Mapping[str, Any]) -> Iterator[Violation]:
    for name in _REQUIRED:
        if name not in attributes:
            yield _violation(name, "is missing")
    for name, value in attributes.items():
        if not _NAME.fullmatch(name) or name == "data":
            yield _violation(name, "is no attribute's name: those are a-z and 0-9")
            continue
        reason = _wrong(name, value)
        if reason:
            yield _violation(name, reason, value)


def _wrong(name: str, value: Any) -> str | None:
    """What is wrong with an attribute's value."""
    if not isinstance(value, str):
        if name in _TEXTS:
            return "is not a string"
        plain = isinstance(value, bool) or (isinstance(value, int) and value in _INT32)
        return None if plain else "is neither a string, a boolean nor an integer of 32 bits"
    if _NO_STRING.search(value):
        return "has a control character or a noncharacter"
    if name not in _TEXTS:
        return None
    if not value:
        return "is empty"
    return _TEXTS[name](value)


def _version(value: str) -> str | None:
    return None if value == "1.0" else 'is not "1.0"'


def _reference(value: str) -> str | None:
    return None if _URI_REFERENCE.fullmatch(value) else "is no URI reference (RFC 3986)"


def _uri(value: str) -> str | None:
    try:
        _is_uri(value)
    except ValidationError:
        return "is no absolute URI (RFC 3986)"
    return None


def _time(value: str) -> str | None:
    try:
        _is_time(value)
    except ValidationError:
        return "is no timestamp (RFC 3339)"
    return None


def is_json_type(value: str) -> bool:
    """Whether a content type is JSON, or something in JSON (`+json`)."""
    return _JSON_TYPE.fullmatch(value.partition(";")[0].strip()) is not None


def _json_type(value: str) -> str | None:
    return None if is_json_type(value) else "is not JSON's: the event must be a JSON object"


def _any_text(_: str) -> None:
    return None


#: The attributes that the specification defines, each a non-empty string.
_TEXTS: Final = {
    "id": _any_text,
    "source": _reference,
    "specversion": _version,
    "type": _any_text,
    "datacontenttype": _json_type,
    "dataschema": _uri,
    "subject": _any_text,
    "time": _time,
}


def _unescaped(value: bytes) -> str:
    """A header's value by the HTTP binding, 3.1.3.2: quoted strings, then percent-encoding."""
    text = _QUOTED.sub(lambda match: re.sub(r"\\(.)", r"\1", match[1]), value.decode("latin-1"))
    return unquote_to_bytes(text.encode("latin-1")).decode()


def _violation(name: str, reason: str, value: Any = None) -> Violation:
    shown = value if isinstance(value, bool | int | None) else str(value)[:100]
    return Violation((name,), ENVELOPE, f"the CloudEvent's {name[:100]} {reason}", shown)
