"""A real service and a real Prometheus: half an hour of clean traffic, and how soon each fault fires.

`python -m benches.alerts.live clean` and `python -m benches.alerts.live delays`; results as JSON lines in --out.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.e2e.harness import NDJSON, Client, Prometheus, Service, find_prometheus, lines, until

from assay.monitor.rules import RULES_FILE, RuleSettings, render_rules
from benches.alerts.traffic import FAULTS, LEARNED, Event, clean, learned

__all__ = ["main"]

#: Requests of a dataset in a second; at 100 events a second each has 25.
_REQUESTS = 4.0
#: Scrapes and evaluations.
_INTERVAL_S = 5
_EVENTS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("clean", "delays"))
    parser.add_argument("--out", type=Path, required=True, help="a file for the results, a JSON line each")
    parser.add_argument("--minutes", type=float, default=30, help="of clean traffic")
    parser.add_argument("--rounds", type=int, default=10, help="each fault is tried once in a round")
    parser.add_argument(
        "--first", type=int, default=0, help="the number of the first round: other rounds, other events"
    )
    parser.add_argument("--at-once", type=int, default=2, help="rounds side by side, each a service and a Prometheus")
    parser.add_argument("--warm-s", type=float, default=310, help="clean traffic before the faults")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.what == "clean":
        _append(options.out, [_clean(options.minutes * 60)])
        return
    with ThreadPoolExecutor(options.at_once) as pool:
        for found in pool.map(
            lambda number: _round(number, options.warm_s), range(options.first, options.first + options.rounds)
        ):
            _append(options.out, found)


def _append(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(result) + "\n" for result in results)


class Stream:
    """Sends the events of one dataset, so many a second, from the beginning again at their end."""

    def __init__(self, service: Service, dataset: str, events: Sequence[Event], per_second: float) -> None:
        self.dataset = dataset
        self.sent = 0
        self.rejected = 0
        self.first_bad_s: float | None = None
        self._corrupt: Callable[[Event], Event] | None = None
        self._share = 0.0
        self._silent = False
        self._events = events
        self._rng = random.Random(dataset)
        requests = min(_REQUESTS, per_second)
        self._batch = round(per_second / requests)
        self._pause_s = 1 / requests
        self._client: Client = service.client(source="till")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error: BaseException | None = None
        self._thread.start()

    def break_it(self, fault: str) -> None:
        """From now on events are bad."""
        chosen = FAULTS[fault]
        self._corrupt, self._share = chosen.corrupt, chosen.share
        if chosen.corrupt is None:
            self._silent = True

    def end(self) -> None:
        self._ending.set()
        self._thread.join(30)
        self._client.__exit__()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._ending.is_set():
                self._step()
                due += self._pause_s
                self._ending.wait(max(0.0, due - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for it
            self.error = error

    def _step(self) -> None:
        if self._silent:
            if self.first_bad_s is None:
                self.first_bad_s = time.time()
            return
        batch = []
        bad = False
        for i in range(self._batch):
            event = self._events[(self.sent + i) % len(self._events)]
            if self._corrupt is not None and self._rng.random() < self._share:
                event, bad = self._corrupt(event), True
            batch.append(event)
        self.sent += self._batch
        if bad and self.first_bad_s is None:
            self.first_bad_s = time.time()
        answer = self._client.ask("POST", f"/collect/{self.dataset}", lines(batch), NDJSON)
        assert answer.status == 200, answer.body
        self.rejected += answer.document.get("rejected", 0)


class Watch:
    """Looks at Prometheus again and again; when each dataset's first alert was seen."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.first: dict[str, tuple[float, list[str]]] = {}
        self._prometheus = prometheus

    def look(self) -> None:
        firing = self._prometheus.firing()
        now = time.time()
        found: dict[str, list[str]] = {}
        for each in firing:
            found.setdefault(each.dataset, []).append(f"{each.name} {each.field}".rstrip())
        for dataset, names in found.items():
            self.first.setdefault(dataset, (now, sorted(names)))


def _started(folder: Path, datasets: Mapping[str, int]) -> tuple[Service, Prometheus]:
    """A service with a contract for each dataset, learned from events of its own seed, and the rules for all of them."""
    program = find_prometheus()
    assert program is not None, "no Prometheus on PATH, nor in .tools"
    service = Service(folder)
    prometheus = Prometheus(program, service, interval=f"{_INTERVAL_S}s")
    schemas = {
        seed: json.loads(learned(clean(LEARNED, seed), "learned").to_json()) for seed in sorted(set(datasets.values()))
    }
    for dataset, seed in datasets.items():
        service.enforce(dataset, schemas[seed])
    # Without their unit tests, which take as long for so many datasets as the faults do.
    contracts = [contract for contract, _ in service.versions.active_contracts()]
    (service.root / "promconfig" / RULES_FILE).write_bytes(render_rules(contracts, RuleSettings()))
    return service, prometheus


def _clean(duration_s: float) -> dict[str, Any]:
    """What fires over 100 clean events a second of one dataset, 5 of another."""
    rates = {"brisk": 100.0, "slow": 5.0}
    with tempfile.TemporaryDirectory(prefix="assay-alerts-") as folder:
        service, prometheus = _started(Path(folder) / "w", {"brisk": 1, "slow": 2})
        with service, prometheus:
            service.start()
            streams = [Stream(service, name, clean(_EVENTS, 50), rate) for name, rate in rates.items()]
            # CollectorDown may be pending from before the service was there.
            watch = Watch(prometheus)
            ends = time.monotonic() + duration_s
            while time.monotonic() < ends:
                time.sleep(2)
                watch.look()
            broken = prometheus.broken_rules()
            for stream in streams:
                stream.end()
            service.terminate()
    return {
        "what": "clean",
        "minutes": duration_s / 60,
        "sent": {stream.dataset: stream.sent for stream in streams},
        "rejected": {stream.dataset: stream.rejected for stream in streams},
        "alerts": {dataset: names for dataset, (_, names) in watch.first.items()},
        "broken_rules": broken,
    }


def _round(number: int, warm_s: float) -> list[dict[str, Any]]:
    """Every fault once, each in a dataset of its own; what fired first, and after how many seconds."""
    names = {f"fault{i}": fault for i, fault in enumerate(FAULTS)}
    rng = random.Random(number)
    with tempfile.TemporaryDirectory(prefix="assay-alerts-") as folder:
        service, prometheus = _started(Path(folder) / "w", dict.fromkeys(names, 100 + number))
        with service, prometheus:
            service.start()
            events = clean(_EVENTS, 60 + number)
            streams = {dataset: Stream(service, dataset, events, 100) for dataset in names}
            watch = Watch(prometheus)
            warm = time.monotonic() + warm_s
            while time.monotonic() < warm:
                time.sleep(2)
                watch.look()
            false = dict(watch.first)
            # Not all at once, nor at a time that has to do with the scrapes.
            begun = time.monotonic()
            starts = {dataset: rng.uniform(0, 2 * _INTERVAL_S) for dataset in names}
            timers = [threading.Timer(starts[name], streams[name].break_it, (fault,)) for name, fault in names.items()]
            for timer in timers:
                timer.start()

            def all_told() -> bool:
                watch.look()
                return len(watch.first) == len(names)

            until(all_told, begun + 180 - time.monotonic(), every_s=0.2)
            for stream in streams.values():
                stream.end()
            service.terminate()
    results = []
    for dataset, fault in names.items():
        bad_s = streams[dataset].first_bad_s
        seen = watch.first.get(dataset)
        took = None if seen is None or bad_s is None or dataset in false else round(seen[0] - bad_s, 2)
        results.append(
            {
                "what": "delay",
                "fault": fault,
                "round": number,
                "seconds": took,
                "alerts": [] if seen is None else seen[1],
                "false": dataset in false,
            }
        )
    return results


if __name__ == "__main__":
    main()
