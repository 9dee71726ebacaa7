"""Contracts that change while the service runs, and what is counted meanwhile."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from assay.contract.versions import Active
from tests.conftest import NUMBER, Bench, Service, held, until

ACTIVE = '{"contract": 1, "mode": "enforce"}'


def version(service: Service, dataset: str = "d") -> Any:
    """The version in force, and its mode; None while it learns."""
    found = service.client.get("/contracts").json().get(dataset)
    return found and (found["active"], found["mode"])


def test_an_edit_is_taken_up_within_2_s_and_no_request_fails(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    bench.contract("d", {"a": NUMBER, "b": NUMBER}, required=["b"])
    statuses: set[int] = set()
    done = threading.Event()
    with bench.service() as service:

        def send() -> None:
            while not done.is_set():
                statuses.add(service.send("/collect/d", {"a": 1, "b": 1}).status_code)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            for number in (2, 1, 2):
                bench.activate("d", number)
                assert until(lambda number=number: version(service) == (number, "enforce"), 2)  # type: ignore[misc]
        finally:
            done.set()
            thread.join()
        assert statuses == {200}
        assert service.send("/collect/d", {"a": 1}).status_code == 422
        bench.activate("d", 2, "observe")
        assert until(lambda: version(service) == (2, "observe"), 2)
        assert service.send("/collect/d", {"a": 1}).json() == {"ok": True, "accepted": 1, "flagged": 1}
        assert set(service.rows("SELECT DISTINCT _contract FROM d")) == {1, 2}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"contract": 9}', id="a version that is not there"),
        pytest.param('{"contract": 2}', id="a version that is no contract"),
        pytest.param('{"contract": true}', id="no number"),
        pytest.param('{"contract": 1, "mode": "maybe"}', id="an unknown mode"),
        pytest.param('{"contract": 1, "fields": {"a": "maybe"}}', id="an unknown mode of a field"),
        pytest.param('{"contract": 1, "more": 1}', id="an unknown member"),
    ],
)
def test_what_cannot_be_taken_up_keeps_what_is_in_force(bench: Bench, text: str) -> None:
    bench.enforce("d", {"a": NUMBER})
    path = bench.versions.active_path("d")
    bench.versions.schema_path("d", 2).write_text('{"type": "array"}')
    with bench.service() as service:
        path.write_text(text)
        assert list(service.collector.look_at_contracts().problems) == ["d"]
        assert service.collector.look_at_contracts().problems == {}  # said once
        assert version(service) == (1, "enforce")
        assert service.send("/collect/d", {"a": 200}).status_code == 422
        path.write_text('{"contract": 1, "mode": "observe"}')
        assert until(lambda: version(service) == (1, "observe"), 2)


def test_a_version_that_comes_after_active_json_is_taken_up(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    bench.contract("d", {"b": NUMBER})
    path = bench.versions.schema_path("d", 2)
    late = path.read_bytes()
    path.unlink()
    with bench.service() as service:
        bench.versions.active_path("d").write_text('{"contract": 2}')
        assert list(service.collector.look_at_contracts().problems) == ["d"]
        path.write_bytes(late)
        assert until(lambda: version(service) == (2, "enforce"), 2)


@pytest.mark.parametrize("whole_folder", [False, True], ids=["active.json", "the whole folder"])
def test_deactivation_makes_a_dataset_learn_again(bench: Bench, *, whole_folder: bool) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        assert service.send("/collect/d", {"a": 200}).status_code == 422
        if whole_folder:
            shutil.rmtree(bench.versions.root / "d")
        else:
            bench.versions.active_path("d").unlink()
        assert until(lambda: service.client.get("/contracts/d").status_code == 404, 2)
        assert service.send("/collect/d", {"a": 200}).json() == {"ok": True, "accepted": 1}
        assert service.rows("SELECT body FROM _learning") == ['{"a": 200}']
        assert not [name for name in service.metrics() if 'dataset="d"' in name]


def test_activation_judges_and_moves_what_was_learning(bench: Bench) -> None:
    with bench.service() as service:
        service.lines("/collect/d", {"a": 1}, {"a": 200}, {"a": 2})
        assert service.rows("SELECT count(*) FROM _learning") == [3]
        bench.enforce("d", {"a": NUMBER})
        assert until(lambda: version(service) == (1, "enforce"), 2)
        assert service.rows("SELECT a FROM d ORDER BY a") == [1, 2]
        assert bench.rows("SELECT body FROM _quarantine") == [b'{"a": 200}']
        assert bench.rows("SELECT count(*) FROM _learning") == [0]
        # They were counted when they came.
        assert (service.counted("d"), service.counted("_learning")) == ((0, 0, 0), (3, 0, 0))


def test_every_series_is_at_zero_from_the_moment_of_activation(bench: Bench) -> None:
    with bench.service() as service:
        assert not [name for name in service.metrics() if 'dataset="d"' in name]
        bench.enforce("d", {"a": NUMBER, "o": {"type": "object", "properties": {"x": {"type": "string"}}}})
        service.collector.look_at_contracts()
        found = {name: value for name, value in service.metrics().items() if 'dataset="d"' in name}
        assert found.pop('assay_contract_info{dataset="d",mode="enforce",version="1"}') == 1
        assert service.counted("d") == (0, 0, 0)
        assert 'assay_violations_total{dataset="d",field="o.x",type="string_type"}' in found
        assert 'assay_unexpected_fields_total{dataset="d"}' in found
        before = set(found)
        assert set(found.values()) == {0}
        service.send(
            "/collect/d", [{"a": "x", "new": 1}, 5, {"a": 1, "o": {"x": 5, "y": 1}}, {"a": 1}], X_Assay_Source="s"
        )
        service.send("/collect/d", "{")
        assert until(lambda: service.counted("d") == (0, 0, 1))
        assert service.counted("d", "s") == (1, 0, 3)
        after = {name: value for name, value in service.metrics().items() if 'dataset="d"' in name}
        new = {name for name in set(after) - before if 'source="s"' not in name}
        assert new == {
            'assay_contract_info{dataset="d",mode="enforce",version="1"}',
            'assay_last_event_timestamp_seconds{dataset="d"}',
        }
        assert after['assay_violations_total{dataset="d",field="a",type="float_type"}'] == 1
        assert after['assay_violations_total{dataset="d",field="o.x",type="string_type"}'] == 1
        assert after['assay_unexpected_fields_total{dataset="d"}'] == 2


# ---- observe mode


@pytest.mark.parametrize(
    ("active", "event", "status"),
    [
        pytest.param(Active(1, "observe"), {"a": 200, "b": "x"}, 200, id="the whole contract"),
        pytest.param(Active(1, "enforce", {"a": "observe"}), {"a": 200}, 200, id="a field"),
        pytest.param(Active(1, "enforce", {"a": "observe"}), {"a": 200, "b": "x"}, 422, id="another is enforced"),
        pytest.param(Active(1, "observe", {"b": "enforce"}), {"a": 200, "b": 1}, 200, id="all but one"),
        pytest.param(Active(1, "observe", {"b": "enforce"}), {"a": 1, "b": "x"}, 422, id="that one"),
        pytest.param(Active(1, "enforce", {"o.x": "observe"}), {"o": {"x": 5}}, 200, id="a field of an object"),
        pytest.param(Active(1, "enforce", {"o": "observe"}), {"o": {"x": 5}}, 200, id="a whole object"),
        pytest.param(Active(1, "observe"), 5, 422, id="what is no event"),
    ],
)
def test_observing(bench: Bench, active: Active, event: Any, status: int) -> None:
    text = {"type": "string"}
    bench.contract("d", {"a": NUMBER, "b": NUMBER, "o": {"type": "object", "properties": {"x": text}}})
    bench.versions.activate("d", active)
    with bench.service() as service:
        answer = service.send("/collect/d", event)
        assert answer.status_code == status
        batch = service.send("/collect/d", [event, {"a": 1}]).json()
        assert service.send("/validate/d", event).status_code == status
        if status == 200:
            assert answer.json() == {"ok": True, "accepted": 1, "flagged": 1}
            assert batch == {"ok": True, "accepted": 2, "flagged": 1}
            assert until(lambda: service.counted("d") == (1, 2, 0))
            found = service.rows("SELECT _violations, _extra FROM d WHERE _violations IS NOT NULL")
            assert len(found) == 2
            assert json.loads(found[0][0])[0]["loc"]
        else:
            assert (batch["accepted"], batch["rejected"]) == (1, 1)
            assert until(lambda: service.counted("d") == (1, 0, 2))
            assert service.rows("SELECT count(*) FROM d") == [1]


# ---- what is counted, and when


def test_events_are_counted_while_the_store_is_held(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        service.flush()
        with held(bench.store) as holder:
            service.lines("/collect/d", {"a": 1}, {"a": 200})
            assert until(lambda: service.counted("d") == (1, 0, 1))
            found = service.metrics()
            assert found["assay_log_events"] == 2
            assert found['assay_last_event_timestamp_seconds{dataset="d"}'] > 1e9
            assert until(lambda: "note" in service.client.get("/readyz").json())
            ready = service.client.get("/readyz")
            assert (ready.status_code, ready.json()["ok"]) == (200, True)
            assert f"process {holder.pid}" in ready.json()["note"]
            assert service.metrics()["assay_log_oldest_seconds"] > 0
        assert service.rows("SELECT a FROM d") == [1]
        assert service.client.get("/readyz").json() == {"ok": True}
        assert until(lambda: service.metrics()["assay_log_events"] == 0)
        assert service.counted("d") == (1, 0, 1)
        assert service.metrics()["assay_quarantine_events"] == 1


def test_when_an_event_came_last_is_known_after_a_restart(bench: Bench) -> None:
    name = 'assay_last_event_timestamp_seconds{dataset="d"}'
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        assert name not in service.metrics()
        service.send("/collect/d", {"a": 1})
        assert until(lambda: name in service.metrics())
        last = service.metrics()[name]
    with bench.service() as service:
        assert service.metrics()[name] == pytest.approx(last, abs=1)
        assert service.counted("d") == (0, 0, 0)


def test_validate_counts_nothing(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        for body in ('{"a": 1}', '{"a": 200}', "{", "[]"):
            service.send("/validate/d", body)
        assert service.counted("d") == (0, 0, 0)
        found = service.metrics()
        assert found["assay_request_seconds_count"] == 0
        assert found["assay_log_events"] == 0
        assert not any(value for name, value in found.items() if "field_values" in name)


# ---- reads


def test_flush_gives_up_while_the_store_is_held(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        service.flush()
        with held(bench.store) as holder, monkeypatch.context() as patch:
            patch.setattr("assay.service.reads._FLUSH_S", 0.3)
            service.send("/collect/d", {"a": 1})
            answer = service.client.post("/flush")
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert f"process {holder.pid}" in answer.json()["detail"]
        assert service.client.post("/flush").json() == {"ok": True}
        assert bench.rows("SELECT a FROM d") == [1]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/contracts/d", 200, id="the active one"),
        pytest.param("/contracts/d/1", 200, id="a version"),
        pytest.param("/contracts/d/2", 404, id="no such version"),
        pytest.param("/contracts/d/0", 404, id="no version at all"),
        pytest.param("/contracts/d/x", 400, id="no number"),
        pytest.param("/contracts/d/" + "9" * 5_000, 400, id="a number of 5,000 digits"),
        pytest.param("/contracts/nothing", 404, id="no such dataset"),
        pytest.param("/contracts/nothing/1", 404, id="a version of no such dataset"),
        pytest.param("/contracts/%2e%2e/1", 404, id="a folder above"),
        pytest.param("/contracts/d%00/1", 404, id="a NUL"),
        pytest.param("/contracts/" + "x" * 5_000 + "/1", 404, id="a name longer than a file's"),
        pytest.param("/nothing", 404, id="no such path"),
    ],
)
def test_contracts_are_served(shared: Service, path: str, status: int) -> None:
    above = Path(shared.bench.versions.root.parent)
    (above / "1.schema.json").write_text('{"type": "object"}')
    answer = shared.client.get(path)
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["content-type"] == "application/schema+json"
        assert answer.json()["properties"]["a"] == NUMBER
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_the_rest_of_the_surface(shared: Service) -> None:
    assert shared.client.get("/").json() == {"ok": True}
    assert shared.client.get("/readyz").json() == {"ok": True}
    assert shared.client.get("/contracts").json() == {"d": {"versions": [1], "active": 1, "mode": "enforce"}}
    assert shared.client.get("/docs").status_code == 200
    paths = shared.client.get("/openapi.json").json()["paths"]
    assert {"/collect", "/collect/{dataset}", "/validate/{dataset}", "/flush", "/readyz"} <= set(paths)
    plain = shared.client.get("/metrics").headers["content-type"]
    assert plain.startswith("text/plain")
    openmetrics = shared.client.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def test_a_fault_is_a_problem_and_says_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        monkeypatch.setattr("assay.contract.versions.Versions.datasets", lambda _: 1 / 0)
        answer = service.client.get("/contracts")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "division" not in answer.text
        # Whatever the watch of the folder meets, the service goes on.
        assert service.send("/collect/d", {"a": 1}).status_code == 200
        monkeypatch.undo()
        bench.activate("d", 1, "observe")
        assert until(lambda: version(service) == (1, "observe"), 2)
