"""Two collectors behind one Prometheus: their counts add up, one that dies is no alarm, and a difference between them is one."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import NDJSON, Client, Firing, Load, Prometheus, Service, lines, say, until

pytestmark = pytest.mark.e2e

ENVIRONMENT = {"ASSAY_ALERT_HOLD": "0s", "ASSAY_ALERT_WINDOWS": "1m"}
LEARN = 12_000
BATCH = 50  # events, of each sender twice a second


def reading(rng: random.Random) -> dict[str, Any]:
    """A clean event."""
    return {
        "celsius": round(rng.gauss(20, 3), 2),
        "station": rng.choice(["north", "south", "east", "west"]),
        "battery": rng.randint(5, 100),
    }


class Sender:
    """Sends to one collector, as long as it answers."""

    def __init__(self, service: Service, number: int) -> None:
        self.is_in_kelvin = False
        self.unanswered = 0
        self._rng = random.Random(number)
        self._client: Client = service.client(source=f"sender-{number}")

    def step(self) -> None:
        events = [reading(self._rng) for _ in range(BATCH)]
        if self.is_in_kelvin:
            events = [event | {"celsius": event["celsius"] + 273.15} for event in events]
        if self._client.try_post("/collect/d", lines(events), NDJSON) is None:
            self.unanswered += 1

    def close(self) -> None:
        self._client.__exit__()


@pytest.mark.timeout(240)
def test_one_prometheus_over_two_collectors(tmp_path: Path, prometheus_program: Path) -> None:
    with (
        Service(tmp_path / "a", environment=ENVIRONMENT) as first,
        Service(tmp_path / "b", environment=ENVIRONMENT) as second,
    ):
        services = (first, second)
        prometheus = Prometheus(prometheus_program, *services)
        rng = random.Random(0)
        first.start()
        assert first.post("/collect/d", lines([reading(rng) for _ in range(LEARN)]), NDJSON).status == 200
        learned = first.run("learn", "d", "--activate")
        assert learned.returncode == 0, learned.stderr
        schema = first.versions.load("d", 1).schema
        second.enforce("d", schema)
        second.start()
        assert until(lambda: all(service.enforced("d") == 1 for service in services), 5)
        assert first.run("rules").returncode == 0
        senders = [Sender(service, number) for number, service in enumerate(services)]
        told: set[Firing] = set()

        def watch(seconds: float) -> set[str]:
            """The names of what fires meanwhile."""
            seen: set[Firing] = set()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                seen |= prometheus.firing()
                time.sleep(0.5)
            told.update(seen)
            return {each.name for each in seen}

        with prometheus, Load(2, lambda number: senders[number].step(), per_second=4):
            assert watch(15) == set()
            second.kill()
            assert watch(10) == set(), "one that is gone is no fault of the data, and the other still answers"
            second.start()
            assert watch(20) == set(), "its counters began at zero again"
            assert senders[1].unanswered > 0
            assert prometheus.broken_rules() == []

            began = time.monotonic()
            senders[1].is_in_kelvin = True
            assert until(lambda: Firing("FieldDrift", "d", "celsius", "") in prometheus.firing(), 30, every_s=0.25)
            say(f"one of two senders in kelvin: FieldDrift after {time.monotonic() - began:.1f} s")
            watch(2)
            drifts = [each for each in told if each.name == "FieldDrift"]
            assert len(drifts) == 1, "one alert, not one for each collector"
            assert {each.field for each in told if each.field} == {"celsius"}

            began = time.monotonic()
            senders[1].is_in_kelvin = False
            assert second.enforce("d", {**schema, "title": "another"}) == 2
            assert until(lambda: second.enforced("d") == 2, 5)

            def differ() -> bool:
                return any(each.name == "ContractsDiffer" and each.dataset == "d" for each in prometheus.firing())

            assert until(differ, 90, every_s=0.5)
            took = time.monotonic() - began
            say(f"ContractsDiffer {took:.0f} s after the second collector took another version")
            assert took > 55, "a rollout takes its time: it is no alarm before a minute"
            first.enforce("d", {**schema, "title": "another"})
            assert until(lambda: not differ(), 20, every_s=0.5), "they agree again"
        for sender in senders:
            sender.close()
        for service in services:
            assert service.terminate() == 0
