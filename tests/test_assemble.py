"""The product from its parts: what keeps it from being built, and what does not."""

from __future__ import annotations

import pytest

from assay.errors import LogFailed, LogInUse, StoreFailed
from tests.conftest import NUMBER, Bench, held


def test_a_held_store_is_no_reason_not_to_start(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        service.flush()
    with held(bench.store):
        service = bench.service()
        service.client.open()
        assert service.send("/collect/d", {"a": 1}).status_code == 200
        assert service.client.get("/readyz").status_code == 200
    try:
        assert service.rows("SELECT a FROM d") == [1]
    finally:
        service.client.close()


def test_a_damaged_store_is_told_and_the_log_let_go(bench: Bench) -> None:
    bench.store.write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(StoreFailed, match=r"s\.duckdb"):
            bench.service()
    bench.store.unlink()
    with bench.service():
        pass


def test_a_log_belongs_to_one(bench: Bench) -> None:
    with bench.service(), pytest.raises(LogInUse):
        bench.service()


def test_a_log_that_cannot_be_is_told(bench: Bench) -> None:
    bench.log.mkdir()
    with pytest.raises(LogFailed, match=r"s\.duckdb\.log"):
        bench.service()


def test_starting_drops_nothing(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    for number in range(3):
        with bench.service() as service:
            service.send("/collect/d", {"a": number})
    with bench.service() as service:
        assert service.rows("SELECT a FROM d ORDER BY a") == [0, 1, 2]
