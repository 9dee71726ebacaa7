"""What a service has done in a process of its own: contracts are activated and learned, datasets profiled."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

import pytest

from assay.errors import EditedByHand, Overloaded, ServiceError, UnknownDataset
from assay.service.errands import Errands, _failure, told_failure
from tests.conftest import NUMBER, Bench, Service, until

HISTORY = "contracts/d/history.ndjson"


def activate(service: Service, path: str = "/contracts/d/activate", source: str = "", **body: Any) -> Any:
    headers = {"X_Assay_Source": source} if source else {}
    return service.send(path, body, **headers)


# ---- activate


def test_when_it_is_answered_it_is_in_force_rendered_and_written_down(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    bench.contract("d", {"a": {"type": "number"}})
    with bench.service() as service:
        assert service.send("/collect/d", {"a": 200}).status_code == 422
        answer = activate(service, contract=2, source="ada")
        assert answer.status_code == 200
        document = answer.json()
        assert sorted(document.pop("written")) == [
            "app/contracts.py",
            "promconfig/data_quality_rules.test.yml",
            "promconfig/data_quality_rules.yml",
            "promconfig/grafana/dashboards/_collectors.json",
            "promconfig/grafana/dashboards/d.json",
            "promconfig/grafana/provisioning/dashboards/assay.yml",
            "promconfig/grafana/provisioning/datasources/assay.yml",
        ]
        assert isinstance(document.pop("checked"), bool)
        assert document == {"dataset": "d", "contract": 2, "mode": "enforce"}
        assert service.send("/collect/d", {"a": 200}).status_code == 200
        assert "class D" in (bench.folder / "app/contracts.py").read_text()
        assert activate(service, contract=2, mode="observe").json()["written"] == []
        assert service.send("/collect/d", {"a": "x"}).json() == {"ok": True, "accepted": 1, "flagged": 1}
    first, second, third = map(json.loads, (bench.folder / HISTORY).read_text().splitlines())
    assert (first["contract"], first["how"]) == (1, "active.json changed")
    assert (second["contract"], second["mode"], second["by"], second["how"]) == (2, "enforce", "ada", "POST /activate")
    assert (third["contract"], third["mode"], third["by"]) == (2, "observe", "unknown")


def test_one_field_is_observed_until_it_is_enforced(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER, "b": NUMBER})
    with bench.service() as service:
        document = activate(service, contract=1, fields={"a": "observe"}).json()
        assert (document["mode"], document["fields"]) == ("enforce", {"a": "observe"})
        assert service.send("/collect/d", {"a": 200}).json() == {"ok": True, "accepted": 1, "flagged": 1}
        assert service.send("/collect/d", {"a": 200, "b": 200}).status_code == 422
        document = activate(service, contract=1, fields={"b": "observe"}).json()
        assert document["fields"] == {"a": "observe", "b": "observe"}
        assert service.client.get("/contracts").json()["d"]["fields"] == document["fields"]
        refused = activate(service, contract=1, fields={"c": "observe"})
        assert (refused.status_code, 'd@1 has no field "c"' in refused.json()["detail"]) == (400, True)
        document = activate(service, contract=1, fields={"a": "enforce", "b": "enforce"}).json()
        assert "fields" not in document
        assert service.send("/collect/d", {"a": 200}).status_code == 422
    assert json.loads((bench.folder / HISTORY).read_text().splitlines()[1])["fields"] == {"a": "observe"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("/contracts/d/activate", {"contract": 7}, 404, id="no such version"),
        pytest.param("/contracts/d/activate", {"contract": 0}, 400, id="no version at all"),
        pytest.param("/contracts/d/activate", {}, 400, id="nothing is said"),
        pytest.param("/contracts/d/activate", {"contract": 1, "mode": "maybe"}, 400, id="an unknown mode"),
        pytest.param("/contracts/d/activate", {"contract": 1, "fields": {"a": "maybe"}}, 400, id="of a field"),
        pytest.param("/contracts/d/activate", {"contract": 1, "fields": ["a"]}, 400, id="fields without modes"),
        pytest.param("/contracts/d/activate", {"contract": 1, "fields": {"a" * 201: "observe"}}, 400, id="too long"),
        pytest.param("/contracts/d/activate", {"contract": 1, "more": 1}, 400, id="an unknown member"),
        pytest.param("/contracts/d/activate", {"contract": True}, 400, id="a boolean for a number"),
        pytest.param("/contracts/nothing/activate", {"contract": 1}, 404, id="no such dataset"),
        pytest.param("/contracts/No/activate", {"contract": 1}, 404, id="no name of a dataset"),
        pytest.param("/learn/No", {}, 404, id="learn what is no name"),
        pytest.param("/learn/d?budget=2", {}, 400, id="a budget beyond its range"),
    ],
)
def test_what_is_asked_wrongly(shared: Service, path: str, body: Any, status: int) -> None:
    answer = shared.send(path, body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_file_that_a_person_edited_is_not_overwritten_and_does_not_hold_up_a_change_of_mode(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    bench.contract("d", {"a": {"type": "number"}})
    with bench.service() as service:
        assert activate(service, contract=1).status_code == 200
        models = bench.folder / "app/contracts.py"
        models.write_text(models.read_text() + "# mine\n")
        refused = activate(service, contract=2)
        assert (refused.status_code, "edited by hand" in refused.json()["detail"]) == (422, True)
        assert service.send("/collect/d", {"a": 200}).status_code == 422
        assert activate(service, contract=1, mode="observe").status_code == 200
        assert service.send("/collect/d", {"a": 200}).status_code == 200
        assert models.read_text().endswith("# mine\n")


@pytest.mark.parametrize("path", ["/contracts/d/activate", "/learn/d", "/replay/d"])
def test_not_for_a_page_of_another_origin_nor_from_elsewhere(shared: Service, path: str) -> None:
    body = json.dumps({"contract": 1}).encode()
    kind = {"Content-Type": "application/json"}
    assert shared.client.post(path, body, headers=kind | {"Origin": "http://elsewhere"}).status_code == 403
    assert shared.client.post(path, body, headers=kind | {"Host": "elsewhere"}).status_code == 421


# ---- learn and profile


def test_a_contract_is_learned_in_the_background(bench: Bench) -> None:
    with bench.service() as service:
        service.lines("/collect/d", *({"a": number, "s": "x"} for number in range(600)))
        answer = service.client.post("/learn/d")
        assert answer.status_code == 202
        where = answer.headers["location"]
        assert where.startswith("/learn/d/")
        assert answer.json()["state"] == "running"
        assert service.client.post("/learn/d").headers["location"] == where  # it runs already
        assert until(lambda: service.client.get(where).json()["state"] != "running", 60)
        document = service.client.get(where).json()
        assert (document["state"], document["progress"], document["contract"], document["rows"]) == ("done", 1, 1, 600)
        assert service.client.get("/contracts").json()["d"] == {"versions": [1], "active": None, "mode": None}
        assert service.client.get("/contracts/d/1").json()["properties"]["s"]["type"] == ["string", "null"]
        assert bench.versions.profile_path("d", 1).exists()
        assert service.client.get("/learn/other" + where.removeprefix("/learn/d")).status_code == 404
        assert service.client.get("/learn/d/0").status_code == 404


def test_a_contract_that_cannot_be_learned_says_why(bench: Bench) -> None:
    with bench.service() as service:
        service.lines("/collect/d", {"a": 1})
        where = service.client.post("/learn/d").headers["location"]
        assert until(lambda: service.client.get(where).json()["state"] == "failed", 60)
        assert "has 1 rows: a contract needs at least 100" in service.client.get(where).json()["problem"]


def test_the_live_profile(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        service.lines("/collect/d", {"a": 1}, {"a": 3})
        document = service.client.get("/profile/d").json()
        assert (document["dataset"], document["rows"]) == ("d", 2)
        service.lines("/collect/d", {"a": 5})
        assert service.client.get("/profile/d").json()["rows"] == 3
        assert service.client.get("/profile/nothing").status_code == 404
        assert service.client.get("/profile/No").status_code == 404


# ---- the process


def errands(code: str) -> Errands:
    return Errands([sys.executable, "-c", f"import sys, json, time; what = json.loads(sys.argv[1])\n{code}"])


def test_what_a_process_tells() -> None:
    shares: list[float] = []
    code = """for share in (0.5, 1): print(json.dumps({"progress": share}))\nprint(json.dumps({"done": what}))"""
    made = errands(code)
    assert asyncio.run(made.run({"do": "x", "n": 1}, shares.append)) == {"do": "x", "n": 1}
    assert shares == [0.5, 1]
    made.stop()


def test_a_process_that_ends_without_a_word() -> None:
    made = errands("sys.exit(5)")
    with pytest.raises(ServiceError, match="that was to x ended with 5"):
        asyncio.run(made.run({"do": "x"}))
    made.stop()


def test_a_stop_breaks_it_off() -> None:
    made = errands("time.sleep(60)")
    threading.Timer(0.3, made.stop).start()
    began = time.monotonic()
    with pytest.raises(ServiceError):
        asyncio.run(made.run({"do": "x"}))
    assert time.monotonic() - began < 30
    with pytest.raises((ServiceError, RuntimeError)):
        asyncio.run(made.run({"do": "x"}))


def test_no_more_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.service.errands._MOST_WAITING", 1)
    made = errands("time.sleep(0.3); print(json.dumps({'done': 1}))")

    async def both() -> None:
        first = asyncio.create_task(made.run({"do": "x"}))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await made.run({"do": "x"})
        assert await first == 1

    asyncio.run(both())
    made.stop()


@pytest.mark.parametrize(
    "error", [UnknownDataset("d"), EditedByHand.__new__(EditedByHand, "x"), ServiceError("the reason")], ids=repr
)
def test_errors_come_back_as_what_they_are(error: Any) -> None:
    again = _failure(**told_failure(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
