"""The load: River's Agrawal generator, one event a request. `bin/datagen.sh` runs it headless; plain `locust` works too.

Settings, from the environment:
    ANOMALY  what is wrong with the events; `python locustfile.py` names the kinds. Not set: nothing.
    RATE     events a second for each user (20).
    SEED     the same seed sends the same events. Not set: others in every run.
    ASSAY_API_KEY  the key to send with them, where the service asks for one.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment
from locust.runners import WorkerRunner
from river.datasets.synth import Agrawal

Event = dict[str, Any]


@dataclass(frozen=True)
class Anomaly:
    """A way in which data goes wrong: what it is, and what it makes of a clean event."""

    description: str
    corrupt: Callable[[Event, random.Random], Event]


def agrawal(seed: int) -> Iterator[Event]:
    """River's nine features and its label, each with one JSON type: four amounts are floats, the rest integers."""
    amounts = {"salary", "commission", "hvalue", "loan"}
    for features, label in Agrawal(seed=seed):
        event: Event = {name: float(value) if name in amounts else int(value) for name, value in features.items()}
        yield event | {"label": int(label)}


def scale(event: Event, _: random.Random) -> Event:
    """Another unit."""
    return event | {"salary": event["salary"] * 100}


def sign(event: Event, _: random.Random) -> Event:
    """A minus too many; at least one, as -0.0 would be no loan at all."""
    return event | {"loan": -max(event["loan"], 1.0)}


def text(event: Event, _: random.Random) -> Event:
    """A number that became a string on its way."""
    return event | {"salary": str(event["salary"])}


def missing(event: Event, _: random.Random) -> Event:
    """A producer that forgot a field."""
    return {name: value for name, value in event.items() if name != "age"}


def null(event: Event, _: random.Random) -> Event:
    """A lookup that failed."""
    return event | {"hvalue": None}


def category(event: Event, rng: random.Random) -> Event:
    """A code that nobody has announced: elevel ends at 4, car at 20, zipcode at 8."""
    return event | rng.choice([{"elevel": 9}, {"car": 99}, {"zipcode": 42}])


def shift(event: Event, _: random.Random) -> Event:
    """Half as far from the top of the range (150,000) as before: each salary is possible, their distribution is not."""
    return event | {"salary": 150_000 - (150_000 - event["salary"]) / 2}


def clean(event: Event, _: random.Random) -> Event:
    """Nothing wrong with it."""
    return event


def mix(event: Event, rng: random.Random) -> Event:
    """A fifth of the events, each broken in its own way."""
    if rng.random() >= 0.2:
        return event
    kind = rng.choice(["scale", "sign", "type", "missing", "null", "category"])
    return corrupt(kind, event, rng)


ANOMALIES = {
    "scale": Anomaly("salary in cents", scale),
    "sign": Anomaly("loan with the wrong sign", sign),
    "type": Anomaly("salary as a string", text),
    "missing": Anomaly("age is not sent", missing),
    "null": Anomaly("hvalue is null", null),
    "category": Anomaly("an unknown elevel, car or zipcode", category),
    "shift": Anomaly("salaries drift upwards, each within its bounds", shift),
    "silence": Anomaly("clean events, then none to the end of the run", clean),
    "mix": Anomaly("a fifth of the events, each broken in one of the first six ways", mix),
}


def corrupt(kind: str, event: Event, rng: random.Random) -> Event:
    """What the anomaly makes of a clean event, which stays as it is."""
    return ANOMALIES[kind].corrupt(event, rng)


# The alert on silence needs (seconds of silence) * (events of the last hour) / 3600 > 20, and 45 s of it: 1,600 events are
# enough to be missed after 45 s. A few scrapes must have seen them come.
SILENCE_AFTER_EVENTS = 2_000
SILENCE_AFTER_S = 15.0

KIND = os.environ.get("ANOMALY", "")
RATE = float(os.environ.get("RATE", "20"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
HEADERS = {"X-Assay-Source": "locust"}
if os.environ.get("ASSAY_API_KEY"):
    HEADERS["Authorization"] = f"Bearer {os.environ['ASSAY_API_KEY']}"
REFUSED = "/collect (refused)"  # a line of its own in Locust's statistics

if KIND and KIND not in ANOMALIES:
    sys.stderr.write(f"assay: no anomaly {KIND!r}; there are {', '.join(ANOMALIES)}\n")
    sys.exit(2)


class AgrawalUser(FastHttpUser):
    """Posts the events of a generator of its own, one a request."""

    host = "http://localhost:8080"
    wait_time = constant_throughput(RATE)
    _users = itertools.count()
    _sent = 0
    _began = time.monotonic()

    def on_start(self) -> None:
        """Seeds differ from user to user, and from one Locust worker to the next."""
        worker = getattr(self.environment.runner, "worker_index", 0)
        seed = hash((SEED, worker, next(AgrawalUser._users)))  # of integers alone: the same in every process
        self._events = agrawal(seed)
        self._rng = random.Random(seed)

    @task
    def send(self) -> None:
        """One event. A refusal (422) is a failure in Locust's statistics only where the data is clean."""
        if KIND == "silence" and _is_silent(AgrawalUser._sent, time.monotonic() - AgrawalUser._began):
            return
        event = next(self._events)
        if KIND:
            event = corrupt(KIND, event, self._rng)
        with self.client.post("/collect", json=event, headers=HEADERS, catch_response=True) as answer:
            AgrawalUser._sent += 1
            if answer.status_code == 422:
                answer.request_meta["name"] = REFUSED
                if KIND:
                    answer.success()


def _is_silent(sent: int, seconds: float) -> bool:
    return sent >= SILENCE_AFTER_EVENTS and seconds >= SILENCE_AFTER_S


@events.init.add_listener
def _is_anybody_there(environment: Environment, **_: Any) -> None:
    """A headless run that cannot succeed ends before it starts."""
    options = environment.parsed_options
    if options is None or not options.headless or isinstance(environment.runner, WorkerRunner):
        return
    url = environment.host or AgrawalUser.host
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        socket.create_connection((parts.hostname or "localhost", port), timeout=5).close()
    except (KeyError, ValueError):
        sys.stderr.write(f"assay: {url} is no http:// or https:// address\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"assay: nobody answers at {url} ({error}); bin/serve.sh starts the service\n")
        sys.exit(3)


@events.quitting.add_listener
def _close(environment: Environment, **_: Any) -> None:
    """The closing line. The exit code is 3 when requests failed other than by a refusal, else 0."""
    if isinstance(environment.runner, WorkerRunner):
        return
    if environment.runner is not None:
        environment.runner.stop()  # after a signal they still run: an event on its way is counted too
    total, refused = environment.stats.total, environment.stats.get(REFUSED, "POST")
    failures = [error for error in environment.stats.errors.values() if error.name != REFUSED]
    failed = sum(error.occurrences for error in failures)
    for error in sorted(failures, key=lambda error: -error.occurrences)[:5]:
        sys.stderr.write(f"assay: {error.occurrences} times: {error.error}\n")
    exceptions = environment.runner.exceptions if environment.runner else {}
    for raised in list(exceptions.values())[:5]:
        sys.stderr.write(f"assay: {raised['count']} times: {raised['msg']}\n")
    sys.stdout.write(f"{total.num_requests:,} events sent: {refused.num_requests:,} refused, {failed:,} failed\n")
    environment.process_exit_code = 3 if failures or exceptions else 0


if __name__ == "__main__":
    for kind, anomaly in ANOMALIES.items():
        sys.stdout.write(f"{kind:10}{anomaly.description}\n")
