"""CloudEvents through the door: what is stored, refused, told apart and said again."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as SdkEvent

from assay.ingest.cloudevents import BATCH, STRUCTURED
from tests.conftest import NUMBER, Bench, Service, until

JSON = "application/json"


def envelope(name: str, data: Any = None, **members: Any) -> dict[str, Any]:
    required = {"specversion": "1.0", "id": name, "source": "/s", "type": "t"}
    return required | {"data": {"a": 1, "s": name} if data is None else data} | members


def bad(name: str, **members: Any) -> dict[str, Any]:
    return envelope(name, {"a": 1000, "s": name}, **members)


def attributes(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in {"data", "data_base64"}}


def send(service: Service, event: Any, kind: str = STRUCTURED, path: str = "/collect/d", **more: str) -> httpx.Response:
    return service.send(path, event, kind, **more)


def binary(service: Service, event: dict[str, Any], body: bytes | None = None, kind: str = JSON) -> httpx.Response:
    headers = {f"ce-{name}": value for name, value in attributes(event).items()} | {"Content-Type": kind}
    data = json.dumps(event["data"]).encode() if body is None else body
    return service.client.post("/collect/d", data, headers)


def stored(service: Service, name: str) -> list[Any]:
    """The `_extra` of the events of that name."""
    return [
        None if each is None else json.loads(each)
        for each in service.rows(f"SELECT _extra FROM d WHERE s = '{name}' ORDER BY _collected_at")
    ]


def quarantined(service: Service, quarantine_id: str) -> tuple[str, bytes]:
    (row,) = service.rows(f"SELECT content_type, body FROM _quarantine WHERE id = '{quarantine_id}'")
    return row[0], bytes(row[1])


# ---- stored


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"time": "2026-01-02T03:04:05Z", "subject": "x", "ext": 5, "flag": True}, id="with extensions"),
    ],
)
def test_the_event_is_stored_with_its_attributes_beside(shared: Service, more: dict[str, Any]) -> None:
    event = envelope(f"stored-{len(more)}", **more)
    answer = send(shared, event)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "accepted": 1})
    assert stored(shared, event["id"]) == [{"cloudevent": attributes(event)}]


def test_unknown_fields_stand_beside(shared: Service) -> None:
    send(shared, envelope("beside", {"a": 1, "s": "beside", "x": 5, "cloudevent": "mine"}))
    (extra,) = stored(shared, "beside")
    assert extra == {"x": 5, "cloudevent_": "mine", "cloudevent": attributes(envelope("beside"))}


def test_base64(shared: Service) -> None:
    event = attributes(envelope("coded"))
    coded = base64.b64encode(b'{"a": 1, "s": "coded"}').decode()
    assert send(shared, event | {"data_base64": coded}).status_code == 200
    assert stored(shared, "coded") == [{"cloudevent": event}]


def test_binary_mode(shared: Service) -> None:
    event = envelope("binary", subject="x", ext="%E2%82%AC")
    assert binary(shared, event).status_code == 200
    said = attributes(event) | {"ext": "€", "datacontenttype": JSON}
    assert stored(shared, "binary") == [{"cloudevent": said}]
    other = envelope("binary-kind")
    assert binary(shared, other, kind="application/vnd.x+json; charset=utf-8").status_code == 200
    assert len(stored(shared, "binary-kind")) == 1


def test_a_batch_with_everything_in_it(shared: Service) -> None:
    before = shared.counted("d")
    events = [envelope("in-batch"), bad("in-batch-bad"), {"data": {}}, 5, envelope("in-batch-2")]
    answer = send(shared, events, BATCH)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["ok"], body["accepted"], body["rejected"]) == (False, 2, 3)
    assert [(each["index"], each["loc"]) for each in body["errors"]] == [
        (1, ["a"]),
        *((2, [name]) for name in ("id", "source", "specversion", "type")),
        (3, []),
    ]
    kind, kept = quarantined(shared, body["errors"][0]["quarantine_id"])
    assert (kind, json.loads(kept)) == (STRUCTURED, events[1])
    assert [len(stored(shared, name)) for name in ("in-batch", "in-batch-2", "in-batch-bad")] == [1, 1, 0]
    after = shared.counted("d")
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 0, 3]


def test_a_large_batch_is_judged_in_a_thread(shared: Service) -> None:
    events = [envelope(f"large-{number}") for number in range(1_500)]
    for _ in range(2):
        assert send(shared, events, BATCH).json() == {"ok": True, "accepted": 1_500}
    assert shared.rows("SELECT count(*) FROM d WHERE s LIKE 'large-%'") == [1_500]


def test_as_the_official_sdk_sends_them(shared: Service) -> None:
    for number, write in enumerate((http.to_structured, http.to_binary)):
        said = {"id": f"sdk{number}", "source": "/sdk", "type": "t", "specversion": "1.0", "datacontenttype": JSON}
        message = write(SdkEvent(dict(said), {"a": 1, "s": f"sdk{number}"}), JSONFormat())
        answer = shared.client.post("/collect/d", message.body, message.headers)
        assert answer.json() == {"ok": True, "accepted": 1}
        (extra,) = stored(shared, f"sdk{number}")
        assert said.items() <= extra["cloudevent"].items()
        assert extra["cloudevent"]["time"].endswith("Z")


def test_its_source_is_not_the_source(shared: Service) -> None:
    send(shared, envelope("whose", source="https://ce-source.test/"), X_Assay_Source="me")
    assert shared.rows("SELECT _source FROM d WHERE s = 'whose'") == ["me"]
    assert "ce-source" not in shared.client.get("/metrics").text


def test_attributes_are_kept_where_unknown_fields_are_not(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER, "s": {"type": "string"}})
    with bench.service(extra="ignore") as service:
        send(service, envelope("x", {"s": "x", "new": 1}))
        assert stored(service, "x") == [{"cloudevent": attributes(envelope("x"))}]


def test_observed(bench: Bench) -> None:
    bench.activate("d", bench.contract("d", {"a": NUMBER, "s": {"type": "string"}}), "observe")
    with bench.service() as service:
        for _ in range(2):
            assert send(service, bad("x")).json() == {"ok": True, "accepted": 1, "flagged": 1}
        assert send(service, {"data": {}}).status_code == 422  # no CloudEvent, whatever the mode
        assert service.counted("d") == (0, 1, 1)
        ((extra, violations),) = service.rows("SELECT _extra, _violations FROM d")
        assert json.loads(extra) == {"cloudevent": attributes(bad("x"))}
        assert json.loads(violations)[0]["loc"] == ["a"]


def test_learning_keeps_attributes_until_there_is_a_contract(bench: Bench) -> None:
    with bench.service() as service:
        for event in (envelope("x"), envelope("x"), bad("y")):
            assert send(service, event, path="/collect/d").json() == {"ok": True, "accepted": 1}
        service.send("/collect/d", {"a": 2, "s": "plain"})
        assert send(service, envelope("x", {"a": 2})).status_code == 422
        assert service.rows("SELECT body, cloudevent IS NULL FROM _learning ORDER BY body") == [
            ('{"a": 1, "s": "x"}', False),
            ('{"a": 1000, "s": "y"}', False),
            ('{"a": 2, "s": "plain"}', True),
        ]
        bench.enforce("d", {"a": NUMBER, "s": {"type": "string"}})
        service.client.run(_contracts(service))
        assert stored(service, "x") == [{"cloudevent": attributes(envelope("x"))}]
        assert stored(service, "plain") == [None]
        rows = service.rows("SELECT content_type, body FROM _quarantine WHERE contract = 1")
        assert [(kind, json.loads(bytes(body))) for kind, body in rows] == [(STRUCTURED, bad("y"))]


async def _contracts(service: Service) -> None:
    service.collector.look_at_contracts()


def test_a_store_made_before_there_were_cloudevents(bench: Bench) -> None:
    with bench.service() as service:
        service.send("/collect/d", {"s": "old"})
        service.flush()
        service.bench.rows("ALTER TABLE _learning DROP COLUMN cloudevent")
        assert send(service, envelope("new")).status_code == 200
        assert service.rows("SELECT cloudevent IS NULL FROM _learning ORDER BY received_at") == [True, False]


def test_what_the_store_refuses_keeps_its_envelope(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER, "s": {"type": "string"}})
    with bench.service() as service:
        send(service, envelope("first"))
        service.flush()
        service.bench.rows("CREATE UNIQUE INDEX one ON d (s)")
        send(service, envelope("second", {"a": 1, "s": "first"}))
        ((kind, body),) = service.rows("SELECT content_type, body FROM _quarantine")
        assert (kind, json.loads(bytes(body))) == (STRUCTURED, envelope("second", {"a": 1, "s": "first"}))


# ---- refused


@pytest.mark.parametrize(
    ("change", "loc", "kind"),
    [
        pytest.param({"id": ""}, ["id"], "cloudevent", id="an empty id"),
        pytest.param({"specversion": "0.3"}, ["specversion"], "cloudevent", id="another version"),
        pytest.param({"datacontenttype": "text/xml"}, ["datacontenttype"], "cloudevent", id="no JSON"),
        pytest.param({"Bad-Name": "x"}, ["Bad-Name"], "cloudevent", id="a name"),
        pytest.param({"data": None}, [], "model_type", id="null for data"),
        pytest.param({"data": [{"a": 1}]}, [], "model_type", id="an array for data"),
        pytest.param({"data": {"a": "x"}}, ["a"], "float_type", id="data that breaks the contract"),
    ],
)
def test_a_rejected_cloudevent_is_kept_byte_for_byte(
    shared: Service, change: dict[str, Any], loc: list[Any], kind: str
) -> None:
    body = json.dumps(envelope(f"refused-{loc}-{kind}") | change, indent=1).encode()
    answer = send(shared, body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["loc"], error["type"]) == (loc, kind)
    assert quarantined(shared, answer.json()["quarantine_id"]) == (STRUCTURED, body)


def test_without_data_it_is_no_event(shared: Service) -> None:
    answer = send(shared, attributes(envelope("no-data")))
    assert (answer.status_code, answer.json()["errors"][0]["type"]) == (422, "model_type")


def test_a_violation_of_the_envelope_is_no_fields(bench: Bench) -> None:
    bench.enforce("d", {"id": {"type": "string"}, "s": {"type": "string"}})
    with bench.service() as service:
        assert service.metrics()['assay_violations_total{dataset="d",field="",type="cloudevent"}'] == 0
        send(service, envelope(""))
        send(service, envelope("x"))
        send(service, envelope("x", {"s": "other"}))
        expected = {
            'assay_violations_total{dataset="d",field="",type="cloudevent"}': 1,
            'assay_violations_total{dataset="d",field="",type="key_reused"}': 1,
        }

        def found() -> dict[str, float]:
            return {key: value for key, value in service.metrics().items() if "assay_violations_total" in key and value}

        assert until(lambda: found() == expected), found()  # counted after the answer


def test_binary_mode_in_quarantine_is_its_data(shared: Service) -> None:
    answer = binary(shared, bad("binary-bad"))
    assert answer.status_code == 422
    kept = quarantined(shared, answer.json()["quarantine_id"])
    assert kept == (JSON, json.dumps(bad("binary-bad")["data"]).encode())
    assert binary(shared, attributes(envelope("no-body")), b"").json()["errors"][0]["type"] == "model_type"
    del (event := envelope("no-type"))["type"]
    assert binary(shared, event).json()["errors"][0]["loc"] == ["type"]


@pytest.mark.parametrize(
    ("kind", "body"), [(STRUCTURED, b'{"id": '), (BATCH, b"[{}"), (BATCH, b"{}"), (STRUCTURED, b"")]
)
def test_what_is_no_json_is_a_bad_body(shared: Service, kind: str, body: bytes) -> None:
    answer = send(shared, body, kind)
    assert answer.status_code == 400
    assert quarantined(shared, answer.json()["quarantine_id"]) == (kind, body)


def test_bad_json_in_binary_mode_is_a_bad_body(shared: Service) -> None:
    assert binary(shared, envelope("broken"), b'{"a": ').status_code == 400


def test_other_types_are_not_taken(shared: Service) -> None:
    assert send(shared, envelope("x"), STRUCTURED + "; charset=latin-1").status_code == 415
    assert send(shared, envelope("x"), "application/cloudevents+avro").status_code == 415
    for kind in ("application/x-ndjson", "text/plain", ""):
        assert binary(shared, envelope("x"), kind=kind).status_code == 415


def test_atomic(shared: Service) -> None:
    events = [envelope("atomic"), bad("atomic-bad")]
    for _ in range(2):
        answer = send(shared, events, BATCH, "/collect/d?atomic=true")
        assert answer.status_code == 422
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (0, 1)
    assert stored(shared, "atomic") == []
    assert send(shared, events[0]).status_code == 200  # its key was not kept
    assert len(stored(shared, "atomic")) == 1


def test_validate_stores_nothing_and_knows_no_keys(shared: Service) -> None:
    assert send(shared, envelope("validated"), path="/validate/d").json() == {"ok": True, "accepted": 1}
    assert send(shared, bad("validated"), path="/validate/d").status_code == 422
    assert send(shared, b"{", path="/validate/d").status_code == 400
    assert stored(shared, "validated") == []
    assert send(shared, envelope("validated", {"a": 2, "s": "validated"})).status_code == 200
    assert len(stored(shared, "validated")) == 1


# ---- keys


def test_a_repetition_is_stored_once(shared: Service) -> None:
    before = shared.counted("d")
    event = envelope("again")
    assert send(shared, event).json() == {"ok": True, "accepted": 1}
    assert send(shared, event | {"time": "2026-01-02T03:04:05Z"}).json() == {"ok": True, "accepted": 1}
    assert binary(shared, event).json() == {"ok": True, "accepted": 1}
    assert send(shared, [event, event, envelope("again-2"), envelope("again-2")], BATCH).json() == {
        "ok": True,
        "accepted": 4,
    }
    assert [len(stored(shared, name)) for name in ("again", "again-2")] == [1, 1]
    assert shared.counted("d")[0] - before[0] == 2


def test_a_rejected_one_is_answered_again(shared: Service) -> None:
    first, second = send(shared, bad("twice")), send(shared, bad("twice"))
    assert first.status_code == 422
    assert first.json() == second.json()
    in_batch = send(shared, [envelope("twice-good"), bad("twice")], BATCH).json()
    assert (in_batch["accepted"], in_batch["rejected"]) == (1, 1)
    assert (
        in_batch["errors"][0]
        == {"index": 1, "quarantine_id": first.json()["quarantine_id"]} | first.json()["errors"][0]
    )
    assert shared.rows("SELECT count(*) FROM _quarantine WHERE decode(body) LIKE '%\"twice\"%'") == [1]


def test_a_mended_one_is_judged_anew(shared: Service) -> None:
    assert send(shared, bad("mend")).status_code == 422
    assert send(shared, envelope("mend")).status_code == 200
    assert send(shared, envelope("mend")).status_code == 200
    assert len(stored(shared, "mend")) == 1


def test_another_event_under_the_key_of_an_accepted_one(shared: Service) -> None:
    assert send(shared, envelope("reused")).status_code == 200
    other = envelope("reused", {"a": 2, "s": "reused"})
    answer = send(shared, other)
    assert answer.status_code == 422
    assert [(each["loc"], each["type"]) for each in answer.json()["errors"]] == [(["id"], "key_reused")]
    assert json.loads(quarantined(shared, answer.json()["quarantine_id"])[1]) == other
    in_batch = send(shared, [other, envelope("reused")], BATCH).json()
    assert (in_batch["accepted"], in_batch["rejected"]) == (1, 1)
    assert send(shared, envelope("reused")).status_code == 200
    broken = send(shared, envelope("reused", time="x"))
    assert broken.json()["errors"][0]["loc"] == ["time"]
    assert len(stored(shared, "reused")) == 1


def test_another_source_is_another_event(shared: Service) -> None:
    for source in ("/one", "/two"):
        assert send(shared, envelope("sources", source=source)).status_code == 200
    assert send(shared, envelope("sources"), X_Assay_Source="third").status_code == 200
    assert len(stored(shared, "sources")) == 3


def test_many_at_once(shared: Service) -> None:
    async def all_of_them() -> list[httpx.Response]:
        post = shared.client.http.post
        single = json.dumps(envelope("race-1")).encode()
        batch = json.dumps([envelope(f"race-{number}") for number in range(3)]).encode()
        requests = [(single, STRUCTURED), (batch, BATCH)] * 5
        return await asyncio.gather(
            *(post("/collect/d", content=body, headers={"Content-Type": kind}) for body, kind in requests)
        )

    answers = shared.client.run(all_of_them())
    assert [each.json()["accepted"] for each in answers] == [1, 3] * 5
    assert [len(stored(shared, f"race-{number}")) for number in range(3)] == [1, 1, 1]


def test_a_key_of_the_request_beside(shared: Service) -> None:
    events = [envelope("both"), bad("both-bad")]
    first, second = (send(shared, events, BATCH, Idempotency_Key="both") for _ in range(2))
    assert first.content == second.content
    assert send(shared, [envelope("both")], BATCH, Idempotency_Key="both").status_code == 422
    assert send(shared, [envelope("both")], BATCH, Idempotency_Key="both-2").status_code == 200
    assert len(stored(shared, "both")) == 1


def test_keys_survive_a_restart(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER, "s": {"type": "string"}})
    for _ in range(2):
        with bench.service() as service:
            assert send(service, envelope("x")).status_code == 200
            assert stored(service, "x") == [{"cloudevent": attributes(envelope("x"))}]
