"""Two collectors, each with a folder of contracts of its own, that follow one lake."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from assay.contract.history import history
from assay.contract.versions import Active
from assay.store.address import Lake
from tests.e2e.harness import Service, say, until
from tests.lakes import Postgres, Where, where_is

pytestmark = [pytest.mark.e2e, pytest.mark.lake]

#: Five are promised; the machine may be busy.
WITHIN_S = 30.0


def schema(most: int) -> dict[str, Any]:
    fields = {"id": {"type": "string"}, "x": {"type": "integer", "maximum": most}}
    return {"type": "object", "properties": fields, "required": ["id"]}


def collector(folder: Path, lake: Lake, name: str) -> Service:
    return Service(folder / name, store=str(lake), lake_data=lake.data, lake_interval="1s", registry="lake")


@pytest.fixture(params=["sqlite", "postgres"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    return where_is(request.param, request, tmp_path)


@pytest.fixture
def pair(lake: Lake, tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    one, other = (collector(tmp_path, lake, name) for name in ("one", "other"))
    with ExitStack() as stack:
        for each in (one, other):
            stack.enter_context(each)
        yield one, other


def imported(service: Service, *bounds: int) -> None:
    """Versions from documents, by the command."""
    for most in bounds:
        path = service.root / f"most-{most}.json"
        path.write_text(json.dumps(schema(most)))
        done = service.run("import", str(path), "--dataset", "orders")
        assert done.returncode == 0, done.stderr


def activated(service: Service, number: int, mode: str = "enforce") -> int:
    """By HTTP; the status of the answer."""
    body = json.dumps({"contract": number, "mode": mode}).encode()
    return service.post("/contracts/orders/activate", body).status


def verdict(service: Service, x: int) -> int:
    return service.post("/validate/orders", json.dumps({"id": "1", "x": x}).encode()).status


def past(service: Service) -> list[tuple[str | None, str, Active]]:
    return [(each.by, each.how, each.active) for each in history(service.versions, "orders")]


@pytest.mark.timeout(400)
def test_what_is_activated_at_one_is_enforced_by_the_other(pair: tuple[Service, Service]) -> None:
    one, other = pair
    one.start()
    other.start()
    events = [{"id": f"i{number}", "x": number % 50} for number in range(3_000)]
    assert one.post("/collect/orders", json.dumps(events).encode()).status == 200
    one.flush()
    learned = one.run("learn", "orders", "--activate")
    assert learned.returncode == 0, learned.stderr
    began = time.monotonic()
    assert until(lambda: other.enforced("orders") == 1, WITHIN_S)
    say(f"activated by a command at one, enforced by the other {time.monotonic() - began:.1f} s later")
    assert verdict(other, 5_000) == 422
    assert other.versions.profile_path("orders", 1).read_bytes() == one.versions.profile_path("orders", 1).read_bytes()
    imported(other, 10_000)
    assert until(lambda: 2 in one.versions.numbers("orders"), WITHIN_S)
    assert activated(one, 2, "observe") == 200
    began = time.monotonic()
    assert until(lambda: other.enforced("orders") == 2, WITHIN_S)
    say(f"activated by HTTP at one, enforced by the other {time.monotonic() - began:.1f} s later")
    assert verdict(other, 5_000) == 200
    info = {"dataset": "orders", "version": "2", "mode": "observe"}
    assert one.metrics().sum("assay_contract_info", **info) == other.metrics().sum("assay_contract_info", **info) == 1
    # An edit of a file at one is an activation, too.
    other.versions.active_path("orders").write_text('{"contract": 1, "fields": {"x": "observe"}}')
    assert until(lambda: one.enforced("orders") == 1, WITHIN_S)
    assert past(one) == past(other)
    assert [how for _, how, _ in past(one)] == ["assay learn --activate", "POST /activate", "active.json changed"]
    for each in pair:
        assert each.terminate() == 0


@pytest.mark.timeout(400)
def test_activations_at_once_end_in_one_order(pair: tuple[Service, Service]) -> None:
    one, other = pair
    one.start()
    other.start()
    threads = [
        threading.Thread(target=imported, args=(each, *bounds)) for each, bounds in ((one, (1, 2)), (other, (3, 4)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in pair:
        assert until(lambda each=each: each.versions.numbers("orders") == [1, 2, 3, 4], WITHIN_S)  # type: ignore[misc]
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda each=each, number=number: answers.append(activated(each, number)))
        for number, each in [(1, one), (2, other), (3, one), (4, other)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    assert until(lambda: past(one) == past(other) and len(past(one)) == 4, WITHIN_S)
    last = past(one)[-1][2].contract
    for each in pair:
        assert until(lambda each=each: each.enforced("orders") == last, WITHIN_S)  # type: ignore[misc]
        assert sorted(each.versions.numbers("orders")) == [1, 2, 3, 4]
        assert "kept as" not in each.said


@pytest.mark.timeout(400)
def test_a_collector_that_was_away_begins_with_what_is_in_force_by_then(pair: tuple[Service, Service]) -> None:
    one, other = pair
    number = one.enforce("orders", schema(10))  # what is in the folder when the lake knows of nothing
    one.start()
    other.start()
    assert until(lambda: other.enforced("orders") == number, WITHIN_S)
    other.kill()
    imported(one, 20)
    assert activated(one, 2) == 200
    other.start()
    assert other.enforced("orders") == 2
    assert verdict(other, 15) == 200
    assert "gives way to what the lake says: 2" in other.said


@pytest.mark.timeout(400)
def test_without_its_catalogue_what_is_in_force_stays_and_none_is_activated(postgres: Postgres, tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_ducklake")
    lake = postgres.lake(str(tmp_path / "files"))
    with collector(tmp_path, lake, "one") as one, collector(tmp_path, lake, "other") as other:
        one.enforce("orders", schema(10))
        one.start()
        other.start()
        imported(one, 20)
        assert until(lambda: other.versions.numbers("orders") == [1, 2], WITHIN_S)
        postgres.stop()
        try:
            assert until(lambda: "the contracts in force stay" in one.get("/readyz").document.get("note", ""), WITHIN_S)
            assert one.get("/readyz").status == 200
            assert activated(one, 2) == 503
            said = one.run("activate", "orders", "2")
            assert said.returncode == 3
            assert "ducklake:postgres" in said.stderr
            assert one.versions.active("orders") == Active(1)
            other.kill()
            other.start()  # what was in force here last is so again
            for each in (one, other):
                assert each.enforced("orders") == 1
                assert verdict(each, 15) == 422
            listed = other.run("contracts", "orders")
            assert "orders@1" in listed.stdout
            assert "as they were known here last" in listed.stderr
        finally:
            postgres.start()
        assert until(lambda: "note" not in one.get("/readyz").document, 60)
        assert activated(one, 2) == 200
        assert until(lambda: other.enforced("orders") == 2, WITHIN_S)
        assert verdict(other, 15) == 200
