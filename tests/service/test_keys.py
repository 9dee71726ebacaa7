"""`Idempotency-Key`: what the interface says of it, as a client sees it, and what is left of it in the store."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from assay.errors import LogFailed
from assay.ingest.log import Log
from assay.ingest.record import Record
from tests.conftest import NUMBER, Bench, Service

JSON = "application/json"
NDJSON = "application/x-ndjson"


def good(name: str) -> bytes:
    return json.dumps({"a": 1, "s": name}).encode()


def bad(name: str) -> bytes:
    return json.dumps({"a": 1000, "s": name}).encode()


def send(
    service: Service, body: Any, key: str, kind: str = JSON, path: str = "/collect/d", **more: str
) -> httpx.Response:
    return service.send(path, body, kind, Idempotency_Key=key, **more)


def same(first: httpx.Response, second: httpx.Response) -> bool:
    """Whether two answers are one."""
    return (first.status_code, first.content, first.headers["content-type"]) == (
        second.status_code,
        second.content,
        second.headers["content-type"],
    )


def stored(service: Service, name: str) -> int:
    """How many events of that name are in the table."""
    (count,) = service.rows(f"SELECT count(*) FROM d WHERE s = '{name}'")
    return int(count)


def quarantined(service: Service, name: str) -> int:
    (count,) = service.rows(f"SELECT count(*) FROM _quarantine WHERE decode(body) LIKE '%{name}%'")
    return int(count)


@pytest.mark.parametrize(
    ("kind", "body", "rows"),
    [
        pytest.param(JSON, good("r-object"), 1, id="object"),
        pytest.param(JSON, b"[" + good("r-array") + b"," + good("r-array") + b"]", 2, id="array"),
        pytest.param(NDJSON, good("r-lines") + b"\n" + good("r-lines"), 2, id="lines"),
        pytest.param(NDJSON, b"\n".join([good("r-many")] * 3_000), 3_000, id="many lines, judged in a thread"),
        pytest.param(JSON, b"[]", 0, id="nothing"),
    ],
)
def test_a_repetition_is_stored_once_and_gets_the_first_answer(
    shared: Service, kind: str, body: bytes, rows: int, request: pytest.FixtureRequest
) -> None:
    key = request.node.callspec.id.replace(" ", "-")
    before = shared.counted("d")
    answers = [send(shared, body, key, kind) for _ in range(3)]
    assert (answers[0].status_code, answers[0].json()) == (200, {"ok": True, "accepted": rows})
    assert all(same(answers[0], each) for each in answers)
    name = body.partition(b'"s": "')[2].partition(b'"')[0].decode()
    assert stored(shared, name) == rows
    assert shared.counted("d")[0] - before[0] == rows


@pytest.mark.parametrize("atomic", ["false", "true"])
def test_a_batch_with_rejects_gets_its_first_answer(shared: Service, atomic: str) -> None:
    name = f"batch-{atomic}"
    body = b"[" + good(name) + b"," + bad(name) + b"]"
    path = f"/collect/d?atomic={atomic}"
    first, second = send(shared, body, name, path=path), send(shared, body, name, path=path)
    assert first.status_code == (422 if atomic == "true" else 200)
    assert same(first, second)
    assert stored(shared, name) == (0 if atomic == "true" else 1)
    assert quarantined(shared, name) == 1
    other = send(shared, good(name + "-2"), name)
    assert other.status_code == (200 if atomic == "true" else 422)  # nothing of it was stored, or some


def test_a_rejected_event_gets_its_first_answer(shared: Service) -> None:
    first, second = send(shared, bad("rejected"), "rejected"), send(shared, bad("rejected"), "rejected")
    assert first.status_code == 422
    assert same(first, second)
    assert quarantined(shared, "rejected") == 1


def test_a_bad_body_gets_its_first_answer_and_may_be_mended(shared: Service) -> None:
    first, second = send(shared, b'{"a": ', "broken"), send(shared, b'{"a": ', "broken")
    assert first.status_code == 400
    assert same(first, second)
    assert send(shared, good("broken-mended"), "broken").status_code == 200


def test_another_body_under_the_key_of_an_accepted_one_is_refused(shared: Service) -> None:
    first = send(shared, good("one"), "taken")
    answer = send(shared, good("two"), "taken")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:assay:problem:key-reused"
    assert stored(shared, "two") == 0
    assert quarantined(shared, "two") == 0
    assert same(first, send(shared, good("one"), "taken"))
    # The same bytes as lines are another request.
    assert send(shared, good("one"), "taken", NDJSON).status_code == 422
    assert send(shared, good("one"), "taken", "Application/JSON; charset=utf-8").status_code == 200


def test_a_mended_event_is_judged_anew_under_its_key(shared: Service) -> None:
    assert send(shared, bad("mended"), "mended").status_code == 422
    assert send(shared, bad("mended-again"), "mended").status_code == 422
    assert send(shared, good("mended"), "mended").status_code == 200
    assert send(shared, good("mended"), "mended").status_code == 200
    assert send(shared, bad("mended"), "mended").status_code == 422  # now it is another body than the accepted one
    assert stored(shared, "mended") == 1
    assert quarantined(shared, "mended") == 2


def test_keys_of_other_sources_and_datasets_are_others(bench: Bench) -> None:
    for dataset in ("d", "e"):
        bench.enforce(dataset, {"a": NUMBER, "s": {"type": "string"}})
    with bench.service() as service:
        for path in ("/collect/d", "/collect/e"):
            for source in ("x", "y"):
                for _ in range(2):
                    answer = send(service, good(source), "k", path=path, X_Assay_Source=source)
                    assert answer.status_code == 200
        assert send(service, good("z"), "k").status_code == 200  # of no source
        assert service.rows("SELECT s, count(*) FROM d GROUP BY s ORDER BY s") == [("x", 1), ("y", 1), ("z", 1)]
        assert service.rows("SELECT s, count(*) FROM e GROUP BY s ORDER BY s") == [("x", 1), ("y", 1)]


def test_a_learning_dataset_has_keys_too(bench: Bench) -> None:
    with bench.service() as service:
        answers = [send(service, b'{"x": 1}', "k", path="/collect/new") for _ in range(2)]
        assert same(*answers)
        assert answers[0].json() == {"ok": True, "accepted": 1}
        assert send(service, b'{"x": 2}', "k", path="/collect/new").status_code == 422
        assert service.rows("SELECT body FROM _learning") == ['{"x": 1}']
        assert service.collector._learning == {"new": len(b'{"x": 1}')}


def test_observed_events_get_their_first_answer(bench: Bench) -> None:
    bench.activate("d", bench.contract("d", {"a": NUMBER}), "observe")
    with bench.service() as service:
        answers = [send(service, b'{"a": 1000}', "k") for _ in range(2)]
        assert same(*answers)
        assert answers[0].json() == {"ok": True, "accepted": 1, "flagged": 1}
        assert service.rows("SELECT count(*) FROM d") == [1]


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "caf\u00e9", "a\tb"])
def test_what_is_no_key(shared: Service, key: str) -> None:
    headers = [(b"Content-Type", b"application/json"), (b"Idempotency-Key", key.encode("latin-1"))]
    answer = shared.client.post("/collect/d", good("no-key"), headers)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]
    assert shared.client.post("/validate/d", good("no-key"), headers).status_code == 200


def test_what_is_a_key(shared: Service) -> None:
    for key in ("~", '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "!" * 255):
        assert send(shared, good("key"), key).status_code == 200


def test_validate_ignores_keys(shared: Service) -> None:
    assert send(shared, good("v"), "validated", path="/validate/d").status_code == 200
    assert send(shared, bad("v"), "validated", path="/validate/d").status_code == 422
    assert send(shared, good("v"), "validated").status_code == 200
    assert send(shared, bad("v"), "validated", path="/validate/d").json()["errors"][0]["type"] == "less_than_equal"


@pytest.mark.parametrize(
    ("path", "kind", "status"), [("/collect/no-name", JSON, 404), ("/collect/d", "text/plain", 415)]
)
def test_what_is_refused_before_it_is_judged_leaves_no_key(shared: Service, path: str, kind: str, status: int) -> None:
    key = f"early-{status}"
    assert send(shared, good("early"), key, kind, path=path).status_code == status
    assert send(shared, good("later"), key).status_code == 200


# ---- in flight, failures, restarts


def together(service: Service, *requests: tuple[bytes, str]) -> list[httpx.Response]:
    """Requests (body, key) at the same time."""

    async def all_of_them() -> list[httpx.Response]:
        return await asyncio.gather(
            *(
                service.client.http.post(
                    "/collect/d", content=body, headers={"Content-Type": JSON, "Idempotency-Key": key}
                )
                for body, key in requests
            )
        )

    return service.client.run(all_of_them())


def test_a_second_request_waits_for_the_first(shared: Service) -> None:
    answers = together(shared, *[(good("at-once"), "at-once")] * 20)
    assert {each.status_code for each in answers} == {200}
    assert stored(shared, "at-once") == 1
    mixed = together(shared, *((good(f"mixed-{number}"), "mixed") for number in range(10)))
    assert sorted(each.status_code for each in mixed) == [200] + [422] * 9
    (count,) = shared.rows("SELECT count(*) FROM d WHERE s LIKE 'mixed-%'")
    assert count == 1
    assert shared.collector.flights._flying == {}


def test_when_the_first_fails_the_second_is_judged(shared: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Log.append
    calls: list[int] = []

    def failing(log: Log, records: Sequence[Record], **more: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise LogFailed(log.path, "no room")
        append(log, records, **more)

    monkeypatch.setattr(Log, "append", failing)
    answers = together(shared, *[(good("fails"), "fails")] * 5)
    assert sorted(each.status_code for each in answers) == [200] * 4 + [503]
    assert stored(shared, "fails") == 1


def test_503_leaves_no_key(shared: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:

        def failing(log: Log, records: Sequence[Record], **more: Any) -> None:
            raise LogFailed(log.path, "no room")

        patch.setattr(Log, "append", failing)
        assert send(shared, good("503"), "503").status_code == 503
    assert send(shared, good("503-other"), "503").status_code == 200
    assert (stored(shared, "503"), stored(shared, "503-other")) == (0, 1)


def test_a_client_that_goes_away_does_not_undo_its_key(shared: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Log.append
    gate = threading.Event()

    def slow(log: Log, records: Sequence[Record], **more: Any) -> None:
        gate.wait(10)
        append(log, records, **more)

    monkeypatch.setattr(Log, "append", slow)
    headers = {"Content-Type": JSON, "Idempotency-Key": "gone"}

    async def go() -> httpx.Response:
        post = shared.client.http.post
        first = asyncio.create_task(post("/collect/d", content=good("gone"), headers=headers))
        await asyncio.sleep(0.05)
        assert shared.collector.flights._flying
        first.cancel()
        second = asyncio.create_task(post("/collect/d", content=good("gone"), headers=headers))
        await asyncio.sleep(0.05)
        assert not second.done()
        gate.set()
        return await second

    assert shared.client.run(go()).status_code == 200
    assert stored(shared, "gone") == 1


def test_a_key_survives_a_restart(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER, "s": {"type": "string"}})
    with bench.service() as service:
        first = send(service, good("before"), "k")
        rejected = send(service, bad("before"), "r")
    with bench.service() as service:
        assert same(first, send(service, good("before"), "k"))
        assert same(rejected, send(service, bad("before"), "r"))
        assert send(service, good("after"), "k").status_code == 422
        assert service.rows("SELECT s FROM d") == ["before"]


def test_an_old_key_means_nothing(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER, "s": {"type": "string"}})
    with bench.service() as service:
        send(service, good("old"), "k")
        con = sqlite3.connect(bench.log)
        con.execute("UPDATE idempotency SET at_us = at_us - 24 * 3600 * 1000000")
        con.commit()
        con.close()
        assert send(service, good("new"), "k").status_code == 200
        assert service.rows("SELECT s FROM d ORDER BY s") == ["new", "old"]


def test_keys_are_bounded_and_evictions_counted(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER, "s": {"type": "string"}})
    with bench.service(keys_max_bytes=1_000) as service:
        assert service.metrics()["assay_keys_evicted_total"] == 0
        for number in range(20):
            send(service, good("bounded"), f"k{number}")
        assert 10 < service.metrics()["assay_keys_evicted_total"] < 20
        assert send(service, good("other"), "k0").status_code == 200  # forgotten
        assert send(service, good("other"), "k19").status_code == 422
