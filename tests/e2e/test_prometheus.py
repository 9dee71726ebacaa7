"""A real Prometheus with generated rules: quiet over clean data, and each anomaly raises an alert that names its field.

All kinds at once: a dataset for each, all with the contract that was learned from one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import NDJSON, ROOT, Client, Firing, Load, Prometheus, Service, lines, say, until

pytestmark = pytest.mark.e2e

ENVIRONMENT = {"ASSAY_ALERT_HOLD": "0s", "ASSAY_ALERT_WINDOWS": "1m"}
FIELDS = {
    "scale": {"salary"},
    "type": {"salary"},
    "missing": {"age"},
    "null": {"hvalue"},
    "category": {"elevel", "car", "zipcode"},
    "shift": {"salary"},
    "sign": {"loan"},
}
ALERTS = {"FieldDrift", "FieldRareBin", "FieldViolations"}
LEARN = 12_000
BATCH = 50  # events of a dataset, twice a second
CLEAN_S = 40.0
WITHIN_S = 30.0

# locust changes the process that imports it, so the events are made in one of their own.
MAKE = """
import itertools, json, random, sys
from locustfile import agrawal, corrupt
plan = json.load(sys.stdin)
made = {}
for number, (name, (count, kind)) in enumerate(plan.items()):
    events, rng = itertools.islice(agrawal(1000 + number), count), random.Random(number)
    made[name] = [corrupt(kind, event, rng) if kind else event for event in events]
json.dump(made, sys.stdout)
"""


@pytest.fixture(scope="module")
def events() -> dict[str, list[dict[str, Any]]]:
    """Events to learn from, clean ones to go on with, and those of each kind of anomaly."""
    plan = {"learn": (LEARN, ""), "clean": (20_000, ""), **{kind: (10_000, kind) for kind in FIELDS}}
    environment = {name: value for name, value in os.environ.items() if name != "ANOMALY"}
    done = subprocess.run(
        [sys.executable, "-c", MAKE],
        cwd=ROOT,
        env=environment | {"LOCUST_SKIP_MONKEY_PATCH": "1"},
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return made


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path / "workspace", environment=ENVIRONMENT) as service:
        yield service


class Stream:
    """Sends one dataset's events, BATCH at a time, from the beginning again at their end."""

    def __init__(self, service: Service, dataset: str, events: list[dict[str, Any]], offset: int) -> None:
        self.dataset = dataset
        self.events = events
        self.is_silent = False
        self.rejected = 0
        self._at = offset
        self._client: Client = service.client(source=f"{dataset}-sender")

    def step(self) -> None:
        if self.is_silent:
            return
        batch = [self.events[(self._at + i) % len(self.events)] for i in range(BATCH)]
        self._at += BATCH
        answer = self._client.ask("POST", f"/collect/{self.dataset}", lines(batch), NDJSON)
        assert answer.status == 200, answer.body
        self.rejected += answer.document.get("rejected", 0)

    def close(self) -> None:
        self._client.__exit__()


def fields(firing: set[Firing], dataset: str) -> set[str]:
    """The fields of a dataset that an alert names."""
    return {each.field for each in firing if each.dataset == dataset and each.name in ALERTS}


@pytest.mark.timeout(240)
def test_clean_data_alerts_nobody_and_each_anomaly_names_its_field(
    service: Service, prometheus_program: Path, events: dict[str, list[dict[str, Any]]]
) -> None:
    began = time.monotonic()
    prometheus = Prometheus(prometheus_program, service)
    service.start()
    assert service.post("/collect/clean", lines(events["learn"]), NDJSON).document["accepted"] == LEARN
    learned = service.run("learn", "clean", "--activate")
    assert learned.returncode == 0, learned.stderr
    schema = service.versions.load("clean", 1).schema
    datasets = ["clean", "silence", *FIELDS]
    for name in datasets[1:]:
        service.enforce(name, schema)
    rendered = service.run("rules")
    assert rendered.returncode == 0, rendered.stderr
    assert until(lambda: all(service.enforced(name) == 1 for name in datasets), 5)

    streams = [Stream(service, name, events["clean"], 2_000 * number) for number, name in enumerate(datasets)]
    by_name = {stream.dataset: stream for stream in streams}
    say(f"ready after {time.monotonic() - began:.1f} s")
    with prometheus, Load(len(streams), lambda number: streams[number].step(), per_second=2 * len(streams)):
        quiet_until = time.monotonic() + CLEAN_S
        while time.monotonic() < quiet_until:
            assert prometheus.firing() == set()
            time.sleep(1)
        assert prometheus.broken_rules() == []
        assert sum(stream.rejected for stream in streams) <= 20, "clean data was refused"

        began = time.monotonic()
        for kind in FIELDS:
            by_name[kind].events = events[kind]
        by_name["silence"].is_silent = True
        fired: dict[str, float] = {}
        told: set[Firing] = set()

        def all_fired() -> bool:
            firing = prometheus.firing()
            told.update(firing)
            for kind, expected in FIELDS.items():
                if fields(firing, kind) >= expected:
                    fired.setdefault(kind, time.monotonic() - began)
            return fired.keys() == FIELDS.keys()

        assert until(all_fired, WITHIN_S, every_s=0.25), f"no alert for {FIELDS.keys() - fired.keys()}"
        say(", ".join(f"{kind} {took:.1f} s" for kind, took in sorted(fired.items(), key=lambda each: each[1])))

        def silence() -> list[Firing]:
            firing = prometheus.firing()
            told.update(firing)
            return [each for each in firing if each.name == "Silence"]

        assert until(lambda: silence() != [], 75 - (time.monotonic() - began), every_s=0.5)
        say(f"silence {time.monotonic() - began:.1f} s: {silence()[0].summary}")
    for stream in streams:
        stream.close()
    for name in datasets:
        here = sorted(f"{each.name} {each.field}".rstrip() for each in told if each.dataset == name)
        say(f"  {name}: {', '.join(here) or 'nothing'}")
    # No alert names another field than the one that broke, nor a dataset that is well.
    assert {kind: fields(told, kind) for kind in FIELDS} == FIELDS
    assert [each for each in told if each.dataset not in {*FIELDS, "silence"}] == []
    assert {each.name for each in told if each.dataset == "silence"} == {"Silence"}
    assert service.terminate() == 0
