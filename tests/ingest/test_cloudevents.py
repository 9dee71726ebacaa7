"""CloudEvents taken apart: by the specification, and as the official SDK writes them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as SdkEvent
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import BadBody
from assay.ingest.cloudevents import CloudEvent, is_json_type, open_batch, open_binary, open_structured, wrap

REQUIRED = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
JSON = "application/json"


def structured(**members: Any) -> CloudEvent:
    (event,) = open_structured(json.dumps(REQUIRED | members).encode()).events
    return event


def binary(headers: dict[str, str], body: bytes = b'{"a": 1}', content_type: str = JSON) -> CloudEvent:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    (event,) = open_binary(pairs, content_type, body).events
    return event


def places(event: CloudEvent) -> list[tuple[str | int, ...]]:
    return [each.loc for each in event.found]


def test_the_event_is_its_data_byte_for_byte() -> None:
    body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t", "data" : {"a":  1.0} }'
    opened = open_structured(body)
    (event,) = opened.events
    assert opened.single
    assert (event.data, event.value, event.raw, event.found) == (b'{"a":  1.0}', {"a": 1.0}, body, ())
    assert event.attributes == REQUIRED


def test_base64_is_decoded_first() -> None:
    event = structured(data_base64=base64.b64encode(b'{"a": 1}').decode())
    assert (event.data, event.value, event.found) == (b'{"a": 1}', {"a": 1}, ())


def test_null_is_as_if_it_were_not_there() -> None:
    event = structured(subject=None, data={"a": 1})
    assert event.found == ()
    assert event.attributes == REQUIRED
    assert places(structured(id=None)) == [("id",)]


@pytest.mark.parametrize(
    ("members", "name"),
    [
        *(pytest.param({each: ""}, each, id=f"empty {each}") for each in ("id", "source", "type", "subject")),
        *(pytest.param({each: 1}, each, id=f"number as {each}") for each in ("id", "source", "type", "time")),
        pytest.param({"specversion": "0.3"}, "specversion", id="an older version"),
        pytest.param({"specversion": 1.0}, "specversion", id="a version as number"),
        pytest.param({"source": "a b"}, "source", id="a source with a space"),
        pytest.param({"source": "%zz"}, "source", id="a source with a broken escape"),
        pytest.param({"time": "yesterday"}, "time", id="no time"),
        pytest.param({"dataschema": "relative"}, "dataschema", id="a relative schema"),
        pytest.param({"datacontenttype": "text/plain"}, "datacontenttype", id="no JSON"),
        pytest.param({"datacontenttype": ""}, "datacontenttype", id="an empty type"),
        pytest.param({"id": "a\u0000"}, "id", id="a control character"),
        pytest.param({"ext": "\ufdd0"}, "ext", id="a noncharacter"),
        pytest.param({"ext": "\U0001ffff"}, "ext", id="a noncharacter of another plane"),
        pytest.param({"Ext": "x"}, "Ext", id="a capital in a name"),
        pytest.param({"my_ext": "x"}, "my_ext", id="an underscore in a name"),
        pytest.param({"": "x"}, "", id="no name"),
        pytest.param({"ext": {}}, "ext", id="an object"),
        pytest.param({"ext": [1]}, "ext", id="a list"),
        pytest.param({"ext": 1.5}, "ext", id="a fraction"),
        pytest.param({"ext": 2**31}, "ext", id="a large integer"),
        pytest.param({"data_base64": "e30="}, "data_base64", id="data twice"),
    ],
)
def test_what_breaks_the_specification(members: dict[str, Any], name: str) -> None:
    event = structured(**({"data": {}} | members))
    assert places(event) == [(name,)]
    assert {each.type for each in event.found} == {"cloudevent"}


@pytest.mark.parametrize("name", REQUIRED)
def test_what_must_be_there(name: str) -> None:
    body: dict[str, Any] = {each: value for each, value in REQUIRED.items() if each != name} | {"data": {}}
    (event,) = open_structured(json.dumps(body).encode()).events
    assert places(event) == [(name,)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%%", "no base64"),
        (5, "a number"),
        ("e30", "padding"),
        ("", "nothing"),
        ("eyI=", "broken JSON"),
        ("/w==", "bytes"),
    ],
    ids=str,
)
def test_data_in_base64_that_is_no_event(text: Any, reason: str) -> None:
    assert places(structured(data_base64=text)) == [("data_base64",)]


def test_what_the_specification_allows() -> None:
    event = structured(
        data={},
        time="2026-01-02T03:04:05.123456789+01:00",
        subject="é \U0001f600",
        dataschema="https://x.test/s",
        datacontenttype="application/vnd.x+json; charset=utf-8",
        flag=True,
        number=-(2**31),
        source="urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        extensionwithalongname1="",
    )
    assert event.found == ()


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null"])
def test_an_envelope_that_is_no_object(body: bytes) -> None:
    (event,) = open_structured(body).events
    assert places(event) == [()]
    assert event.key is None


@pytest.mark.parametrize("body", [b"", b'{"id": ', b"\xff", b'{"data": NaN}'])
def test_an_envelope_that_is_no_json(body: bytes) -> None:
    with pytest.raises(BadBody):
        open_structured(body)


def test_a_batch() -> None:
    one, two = (json.dumps(REQUIRED | {"id": each, "data": {"a": 1}}) for each in "12")
    opened = open_batch(f"[{one}, 5,{two}]".encode())
    assert not opened.single
    assert [event.raw for event in opened.events] == [one.encode(), b"5", two.encode()]
    assert [places(event) for event in opened.events] == [[], [()], []]
    assert open_batch(b"[]").events == []
    for body in (b"{}", b"[{]", b""):
        with pytest.raises(BadBody):
            open_batch(body)


def test_binary_mode_decodes_headers() -> None:
    headers = {f"ce-{name}": value for name, value in REQUIRED.items()}
    event = binary(headers | {"ce-subject": "Euro %E2%82%AC %F0%9F%98%80", "ce-ext": '"a\\"b"', "x-other": "x"})
    assert event.found == ()
    assert event.attributes == REQUIRED | {"subject": "Euro € 😀", "ext": 'a"b', "datacontenttype": JSON}
    assert (event.data, event.value) == (b'{"a": 1}', {"a": 1})


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"ce-subject": "%ff"}, "subject"),
        ({"ce-a_b": "x"}, "a_b"),
        ({"ce-data": "x"}, "data"),
        ({"ce-time": "x"}, "time"),
    ],
)
def test_binary_mode_judges_headers(headers: dict[str, str], name: str) -> None:
    assert places(binary({f"ce-{each}": value for each, value in REQUIRED.items()} | headers)) == [(name,)]


def test_binary_mode_without_a_body_has_no_event() -> None:
    event = binary({f"ce-{each}": value for each, value in REQUIRED.items()}, b"")
    assert (event.found, event.value) == ((), None)


@pytest.mark.parametrize(
    ("kind", "is_json"),
    [
        (JSON, True),
        ("text/json", True),
        ("a/b+json; x=y", True),
        ("APPLICATION/JSON", True),
        ("text/plain", False),
        ("", False),
    ],
)
def test_which_types_are_json(kind: str, is_json: object) -> None:
    assert is_json_type(kind) is is_json


def test_what_is_the_same() -> None:
    one = structured(data={"a": 1, "b": [2]}, time="2026-01-02T03:04:05Z")
    again = structured(data={"b": [2], "a": 1}, time="2026-01-02T03:04:06Z", retry=1)
    headers = {f"ce-{name}": value for name, value in REQUIRED.items()}
    as_headers = binary(headers, b'{"b":[2],"a":1}')
    assert one.key == again.key == as_headers.key
    assert one.digest == again.digest == as_headers.digest
    assert structured(data={"a": 2}).digest != structured(data={"a": 1}).digest
    assert structured(data={}, type="u").digest != structured(data={}).digest
    assert structured(id="2", data={}).key != structured(data={}).key
    assert structured(source="/s1", id="1").key != structured(source="/s", id="11").key
    huge, larger = (
        b'{"id":"1","source":"/s","specversion":"1.0","type":"t","data":{"a":%s}}' % n for n in (b"1e999", b"2e999")
    )
    assert open_structured(huge).events[0].digest != open_structured(larger).events[0].digest


def test_an_envelope_made_anew_says_the_same() -> None:
    event = structured(data={"a": 1}, ext="é")
    (again,) = open_structured(wrap(event.data, json.dumps(event.attributes))).events
    assert (again.attributes, again.value, again.key) == (event.attributes, event.value, event.key)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=20)


@given(
    name=TEXT,
    subject=TEXT,
    data=st.dictionaries(
        st.text(max_size=5), st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=5), max_size=3
    ),
    ext=TEXT | st.booleans() | st.integers(-(2**31), 2**31 - 1),
)
def test_as_the_official_sdk_writes_them(name: str, subject: str, data: dict[str, Any], ext: Any) -> None:
    attributes: dict[str, Any] = {
        "id": name,
        "source": "https://x.test/a?b#c",
        "type": "com.example.t",
        "specversion": "1.0",
        "subject": subject,
        "datacontenttype": JSON,
        "time": datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC),
        "ext": ext,
    }
    sent = SdkEvent(attributes, data)
    expected = attributes | {"time": "2026-01-02T03:04:05.000600Z"}

    message = http.to_structured(sent, JSONFormat())
    (one,) = open_structured(message.body).events
    assert (one.found, one.value, one.attributes) == ((), data, expected)

    message = http.to_binary(sent, JSONFormat())
    headers = [(key.lower().encode(), value.encode()) for key, value in message.headers.items()]
    (two,) = open_binary(headers, message.headers["content-type"], message.body).events
    assert (two.found, two.value) == ((), data)
    assert two.attributes == expected | {"ext": str(ext)}
    assert (one.key, one.digest) == (two.key, two.digest)

    coded = SdkEvent(attributes, json.dumps(data).encode())
    message = http.to_structured(coded, JSONFormat())
    (three,) = open_structured(message.body).events
    assert (three.found, three.value, three.digest) == ((), data, one.digest)
