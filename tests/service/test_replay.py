"""`POST /replay/{dataset}`: by the active contract or another; counted where it moves something, and for whom."""

from __future__ import annotations

import time

import pytest

from tests.conftest import NUMBER, Bench, Service, held, until

COUNTER = 'assay_replayed_total{dataset="d"}'


def refused(service: Service, *values: object) -> None:
    """Events under a contract that takes 0 to 100."""
    service.lines("/collect/d", *({"a": value} for value in values))
    service.flush()


def test_by_the_active_contract(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        refused(service, 1, 200, 300, "x")
        before = service.metrics()
        assert (before[COUNTER], before["assay_quarantine_events"]) == (0, 3)
        answer = service.client.post("/replay/d")
        assert answer.status_code == 200
        assert (answer.json()["accepted"], answer.json()["refused"]) == (0, 3)
        bench.enforce("d", {"a": {"type": "number", "maximum": 250}})
        service.collector.look_at_contracts()
        dry = service.client.post("/replay/d?dry_run=true").json()
        assert (dry["dry_run"], dry["contract"], dry["accepted"], dry["refused"]) == (True, 2, 1, 2)
        assert service.metrics()[COUNTER] == 0
        assert service.rows("SELECT a FROM d") == [1]
        done = service.client.post("/replay/d").json()
        assert done == dry | {"dry_run": False}
        assert sorted(service.rows("SELECT a FROM d")) == [1, 200]
        after = service.metrics()
        assert (after[COUNTER], after["assay_quarantine_events"]) == (1, 2)
        # It is no event that came: nothing else is counted.
        moved = {name for name in before if "events_total" in name or "values_total" in name}
        assert {name: after[name] for name in moved if name in after} == {
            name: before[name] for name in moved if name in after and "bin" not in name
        }
        listed = service.client.get("/quarantine/d").json()["items"]
        assert sorted(each["replayed_at"] is None for each in listed) == [False, True, True]
        assert sum(each["count"] for each in service.client.get("/quarantine/d?group=true").json()["items"]) == 2


@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_a_batch_that_was_none_is_no_event(bench: Bench, dry_run: str) -> None:
    """What was not opened as a batch is refused as one, though it can be read as an event: its envelope would be stored."""
    bench.contract("d", {"a": NUMBER})
    bench.activate("d", mode="observe")
    envelope = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"a": 1}}
    with bench.service() as service:
        sent = service.send("/collect/d", envelope, "Application/CloudEvents-Batch+JSON; charset=utf-8")
        assert sent.status_code == 400
        service.flush()
        done = service.client.post(f"/replay/d?dry_run={dry_run}").json()
        assert (done["accepted"], done["refused"]) == (0, 1)
        assert done["refuses"]["reasons"][0]["type"] == "json_invalid"
        assert service.rows("SELECT replayed_at FROM _quarantine") == [None]


def test_by_another_version_and_in_observe_mode(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    bench.contract("d", {"a": {"type": "number", "maximum": 250}})
    with bench.service() as service:
        refused(service, 200, 300)
        answer = service.client.post("/replay/d?contract=2").json()
        assert (answer["contract"], answer["mode"], answer["accepted"]) == (2, "enforce", 1)
        assert service.rows("SELECT a, _contract FROM d") == [(200, 2)]
        bench.activate("d", 1, "observe")
        service.collector.look_at_contracts()
        answer = service.client.post("/replay/d").json()
        assert (answer["mode"], answer["accepted"], answer["flagged"]) == ("observe", 1, 1)
        assert service.rows("SELECT a FROM d WHERE _violations IS NOT NULL") == [300]
        assert service.metrics()[COUNTER] == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/replay/d?contract=7", 404, id="no such version"),
        pytest.param("/replay/d?contract=x", 400, id="no number"),
        pytest.param("/replay/d?contract=0", 400, id="no version at all"),
        pytest.param("/replay/d?dry_run=maybe", 400, id="neither true nor false"),
        pytest.param("/replay/nothing", 404, id="no such dataset"),
        pytest.param("/replay/No", 404, id="no name of a dataset"),
        pytest.param("/replay/d", 200, id="nothing waits"),
    ],
)
def test_what_is_asked(shared: Service, path: str, status: int) -> None:
    answer = shared.client.post(path)
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"


def test_not_for_a_page_of_another_origin(shared: Service) -> None:
    assert shared.client.post("/replay/d", headers={"Origin": "http://elsewhere"}).status_code == 403


def test_503_while_another_program_holds_the_store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        refused(service, 200)
        monkeypatch.setattr("assay.service.office._REPLAY_S", 0.3)
        with held(bench.store):
            began = time.monotonic()
            answer = service.client.post("/replay/d")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert time.monotonic() - began < 10
        bench.enforce("d", {"a": {"type": "number"}})
        service.collector.look_at_contracts()
        assert until(lambda: service.client.post("/replay/d").status_code == 200)
        assert service.rows("SELECT a FROM d") == [200]
