"""At a bound, or when the log fails: 503 with `Retry-After`, and nothing of the request is stored, then or later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

import httpx
import pytest

from assay.service.pending import Held
from tests.conftest import NUMBER, Bench, held, until


def put_off(answer: httpx.Response) -> str:
    """What a 503 says."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    return str(answer.json()["detail"])


# ---- pending bytes


def test_requests_together_hold_no_more_than_max_pending_bytes(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    body = b'{"a": 1}'.ljust(600)
    with bench.service(max_pending_bytes=1_000) as service:
        answers = service.client.together(*[("POST", "/collect/d", body)] * 20)
        taken = [answer for answer in answers if answer.status_code == 200]
        for answer in answers:
            if answer not in taken:
                assert "pending" in put_off(answer) or "waiting" in put_off(answer)
        assert 0 < len(taken) < 20
        assert service.rows("SELECT count(*) FROM d") == [len(taken)]
        assert service.metrics()["assay_pending_bytes"] == 0
        assert service.send("/collect/d", body).status_code == 200


def test_a_body_that_is_still_being_read_counts(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    seen: list[tuple[float, int]] = []
    with bench.service(max_pending_bytes=1_000) as service:

        def pieces() -> Iterable[bytes]:
            yield b'{"a": 1}'.ljust(800)
            yield b" "  # asked for when the first piece has been taken
            seen.append((service.collector.pending.bytes, 0))
            yield b" "

        service.client.post("/collect/d", pieces(), {"Content-Type": "application/json"})
        assert seen[0][0] >= 800
        other = Held(service.collector.pending)
        other.take(900)
        try:
            assert "max_pending_bytes = 1,000" in put_off(service.send("/collect/d", b'{"a": 1}'.ljust(200)))
            assert service.metrics()["assay_pending_bytes"] == 900
        finally:
            other.release()
        assert service.counted("d") == (1, 0, 0)


# ---- the log's bound


def test_a_full_log_puts_requests_off_until_the_store_takes_them(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    body = b'{"a": 1}'.ljust(400)
    with bench.service(log_max_bytes=2_000) as service:
        service.flush()
        with held(bench.store) as holder:
            sent = 0
            answer = service.send("/collect/d", body)
            while answer.status_code == 200:
                sent += 1
                assert sent < 100
                answer = service.send("/collect/d", body)
            assert "log_max_bytes = 2,000" in put_off(answer)
            assert service.client.get("/readyz").status_code == 200
            assert until(lambda: str(holder.pid) in service.client.get("/readyz").text)
            before = service.counted("d")
            put_off(service.send("/collect/d", b'{"a": 200}'.ljust(400)))
            assert service.counted("d") == before
        assert service.rows("SELECT count(*) FROM d") == [sent]
        assert until(lambda: service.send("/collect/d", body).status_code == 200)


# ---- a log that fails


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a": 1}', id="accepted"),
        pytest.param(b'{"a": -1}', id="rejected"),
        pytest.param(b'{"a": ', id="broken"),
        pytest.param(b'[{"a": 1}, {"a": -1}]', id="a batch"),
    ],
)
def test_a_failing_log_refuses_and_comes_back_by_itself(bench: Bench, body: bytes) -> None:
    bench.enforce("d", {"a": NUMBER})
    away = bench.folder / "away"
    with bench.service() as service:
        service.flush()
        bench.log.rename(away)
        assert "s.duckdb.log" in put_off(service.send("/collect/d", body))
        ready = service.client.get("/readyz")
        assert (ready.status_code, ready.json()["ok"], ready.headers["retry-after"]) == (503, False, "1")
        assert "removed or replaced" in ready.json()["reason"]
        assert service.send("/validate/d", {"a": 1}).status_code == 200
        assert service.counted("d") == (0, 0, 0)
        away.rename(bench.log)
        assert until(lambda: service.client.get("/readyz").status_code == 200, 3)
        assert service.send("/collect/d", {"a": 5}).status_code == 200
        assert service.rows("SELECT a FROM d") == [5]
        assert bench.rows("SELECT count(*) FROM _quarantine") == [0]


def test_a_log_that_was_removed_for_good_keeps_refusing(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        service.flush()
        bench.log.unlink()
        for _ in range(3):
            put_off(service.send("/collect/d", {"a": 1}))
    with bench.service() as service:
        assert service.send("/collect/d", {"a": 2}).status_code == 200
        assert service.rows("SELECT a FROM d") == [2]


# ---- learning


def test_a_dataset_without_a_contract_learns(bench: Bench) -> None:
    body = b'{"free":  "form", "n": 1e999}'
    with bench.service() as service:
        assert service.send("/collect/new", body).json() == {"ok": True, "accepted": 1}
        assert service.lines("/collect/new", {"a": 1}, b"broken", [1]).json()["rejected"] == 2
        answer = service.send("/collect/new", "5")
        assert answer.status_code == 422
        assert (answer.json()["dataset"], answer.json()["contract"]) == ("new", None)
        bodies = service.rows("SELECT body FROM _learning WHERE dataset = 'new' ORDER BY rowid")
        assert bodies == [body.decode(), '{"a": 1}']
        kept = bench.rows("SELECT body FROM _quarantine WHERE contract IS NULL ORDER BY body")
        assert kept == [b"5", b"[1]", b"broken"]
        assert until(lambda: service.counted("_learning") == (2, 0, 3))
        assert service.send("/validate/never", {"a": 1}).json() == {"ok": True, "accepted": 1}
        assert not [name for name in service.metrics() if '"new"' in name or '"never"' in name]


def test_no_more_than_max_datasets_learn(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service(max_datasets=2) as service:
        for name in ("x", "y", "x"):
            assert service.send(f"/collect/{name}", {"a": 1}).status_code == 200
        assert "max_datasets = 2" in put_off(service.send("/collect/z", {"a": 1}))
        assert service.send("/collect/d", {"a": 1}).status_code == 200
    with bench.service(max_datasets=2) as service:  # it remembers them
        put_off(service.send("/collect/z", {"a": 1}))
        bench.enforce("x", {"a": NUMBER})
        assert until(lambda: service.send("/collect/z", {"a": 1}).status_code == 200, 3)


def test_datasets_that_come_at_the_same_moment_are_counted(bench: Bench) -> None:
    with bench.service(max_datasets=3) as service:
        answers = service.client.together(*(("POST", f"/collect/n{number}", b'{"a": 1}') for number in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 7
        assert service.metrics()['assay_requests_refused_total{status="503"}'] == 7
        assert service.rows("SELECT count(DISTINCT dataset) FROM _learning") == [3]


@pytest.mark.parametrize(
    ("body", "kind", "takes_a_place"),
    [
        pytest.param(b"", "application/x-ndjson", False, id="nothing sent"),
        pytest.param(b"[]", "application/json", False, id="an empty array"),
        pytest.param(b"5", "application/json", True, id="what is no event"),
        pytest.param(b"{", "application/json", True, id="what is no JSON"),
    ],
)
def test_what_takes_one_of_the_places(bench: Bench, body: bytes, kind: str, *, takes_a_place: bool) -> None:
    expected = 503 if takes_a_place else 200
    with bench.service(max_datasets=1) as service:
        service.send("/validate/other", {"a": 1})
        service.send("/collect/first", body, kind)
        assert service.send("/collect/second", {"a": 1}).status_code == expected
    with bench.service(max_datasets=1) as service:
        assert service.send("/collect/second", {"a": 1}).status_code == expected


def test_learning_is_bounded_by_bytes(bench: Bench) -> None:
    event = json.dumps({"a": "x" * 80}).encode()
    bound = len(event) * 5
    with bench.service(learning_max_bytes=bound) as service:
        for _ in range(3):
            assert service.send("/collect/new", event).status_code == 200
        assert f"learning_max_bytes = {bound:,}" in put_off(service.send("/collect/new", event * 3))
    with bench.service(learning_max_bytes=bound) as service:
        assert service.send("/collect/new", event).status_code == 200
        assert "assay learn new" in put_off(service.lines("/collect/new", event, event))
        assert service.rows("SELECT count(*) FROM _learning") == [4]


# ---- a stop


def test_requests_during_a_stop_are_answered_and_what_was_acknowledged_is_kept(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    service = bench.service()
    service.client.open()
    collector = service.collector
    answers: list[httpx.Response] = []

    async def stop_amid() -> None:
        client = service.client.http
        kind = {"Content-Type": "application/json"}
        requests = [
            asyncio.ensure_future(client.post("/collect/d", content=f'{{"a": {n}}}'.encode(), headers=kind))
            for n in range(50)
        ]
        await asyncio.sleep(0)
        stop = asyncio.ensure_future(collector.stop())
        requests += [
            asyncio.ensure_future(client.post("/collect/d", content=f'{{"a": {n}}}'.encode(), headers=kind))
            for n in range(50, 100)
        ]
        answers.extend(await asyncio.gather(*requests))
        await stop

    service.client.run(stop_amid())
    service.client.close()
    acknowledged = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    for answer in answers:
        if answer.status_code != 200:
            assert "stopping" in put_off(answer)
    assert sorted(bench.rows("SELECT a FROM d")) == acknowledged
    with bench.service() as again:
        assert again.rows("SELECT count(*) FROM d") == [len(acknowledged)]
