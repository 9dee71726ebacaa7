"""NDJSON and Arrow in large bodies over HTTP, durable, counted and in the table; against the bare parts strung together.

python -m benches.bulk [--events 1000000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import gc
import http.client
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from assay.errors import ServiceError
from benches import servers
from benches.events import LINES, agrawal, arrow_bodies, bodies, learned, with_text, with_unknown
from benches.parts import Parts, pydantic_errors
from benches.report import Threshold, table

__all__ = ["Result", "arguments", "main", "measure", "send"]

#: How many send at once, each waiting for its answer before it sends again.
_CLIENTS: Final = 4
_NDJSON: Final = "application/x-ndjson"
_ARROW: Final = "application/vnd.apache.arrow.stream"
_RUNS: Final = ("good", "parts", "arrow", "arrow parts", "unknown", "bad", "pydantic")
_NAMES: Final = {
    "good": "assay over HTTP, all good",
    "parts": "the bare parts, no HTTP",
    "arrow": "assay over HTTP, all good, Arrow",
    "arrow parts": "the bare parts of Arrow, no HTTP",
    "unknown": "assay over HTTP, one unknown field in each",
    "bad": "assay over HTTP, all bad",
    "pydantic": "Pydantic with `errors()` alone, all bad",
}


@dataclass
class Result:
    """Events a second of each round, by run; seconds until the last answer; CPU seconds a million events, by step."""

    per_s: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _RUNS})
    answered_per_s: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _RUNS})
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, name: str, rival: str) -> float:
        """The median of the rounds' ratios."""
        return median(a / b for a, b in zip(self.per_s[name], self.per_s[rival], strict=True))

    def thresholds(self) -> list[Threshold]:
        """What is asked of assay."""
        return [
            Threshold("all good: assay / the bare parts", self.ratio("good", "parts"), 0.6),
            Threshold("Arrow: assay / the bare parts", self.ratio("arrow", "arrow parts"), 0.6),
            Threshold("all bad: assay / Pydantic alone", self.ratio("bad", "pydantic"), 1 / 3),
            Threshold("all bad: assay, events/s", median(self.per_s["bad"]), 50_000),
            Threshold("one unknown field: assay / all good", self.ratio("unknown", "good"), 0.5),
        ]

    def markdown(self) -> str:
        """The tables."""
        speeds = [
            [
                _NAMES[name],
                f"{median(self.per_s[name]):,.0f}",
                f"{median(self.answered_per_s[name]):,.0f}" if self.answered_per_s[name] else "",
                " ".join(f"{each:,.0f}" for each in self.per_s[name]),
            ]
            for name in _RUNS
        ]
        steps = [[step, f"{median(spent):.2f}"] for step, spent in self.cpu.items()]
        return "\n".join(
            [
                table(["run", "events/s until in the table", "until answered", "each round"], speeds),
                Threshold.table(self.thresholds()),
                table(["step", "CPU seconds a million events"], steps),
            ]
        )


def measure(*, events: int, rounds: int, distinct: int = 100_000) -> Result:
    """Run all in turns, so many events each."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        sample = agrawal(distinct)
        contract = learned(sample, root / "contracts")
        good = bodies(sample)
        streams = arrow_bodies(sample)
        unknown = bodies([with_unknown(event) for event in sample])
        bad = bodies([with_text(event) for event in sample])
        server = stack.enter_context(servers.assay_uvicorn(root / "assay", root / "contracts"))
        idle = stack.enter_context(servers.noop_uvicorn(root / "noop"))
        parts = Parts(contract, root)
        stack.callback(parts.close)
        lines = list(
            itertools.islice(itertools.chain.from_iterable(map(bytes.splitlines, bad)), max(1000, events // 10))
        )
        del sample
        gc.collect()
        gc.freeze()  # what the bench keeps must not slow the parts down: they run in this process
        send(server, good[:1])  # what is needed is loaded
        server.flush()
        count = max(1, events // LINES)
        for _ in range(rounds):
            for name, pool, some in (
                ("good", good, count),
                ("arrow", streams, count),
                ("unknown", unknown, count),
                ("bad", bad, max(1, count // 4)),
            ):
                chosen = list(itertools.islice(itertools.cycle(pool), some))
                _over_http(result, name, server, chosen)
                if name == "good":
                    result.per_s["parts"].append(len(chosen) * LINES / parts.run(chosen, parts.rows))
                elif name == "arrow":
                    result.per_s["arrow parts"].append(len(chosen) * LINES / parts.run(chosen, parts.compared))
            result.per_s["pydantic"].append(len(lines) / pydantic_errors(contract, lines))
            _steps(result, parts, good, streams)
            _http_read(result, idle, list(itertools.islice(itertools.cycle(good), count)))
    return result


def send(
    server: servers.Server,
    chosen: Iterable[bytes],
    *,
    content_type: str = _NDJSON,
    expect: Callable[[Any], bool] | None = None,
    senders: int = _CLIENTS,
) -> float:
    """Send bodies by several clients that keep their connections; seconds until the last answer.

    Raises:
        ServiceError: an answer was not what `expect` says (by default: all accepted).
    """
    waiting = iter(chosen)
    taking = threading.Lock()
    wrong: list[str] = []

    def client() -> None:
        con = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        try:
            while not wrong:
                with taking:
                    body = next(waiting, None)
                if body is None:
                    return
                con.request("POST", "/collect", body, {"Content-Type": content_type})
                answer = con.getresponse()
                said = answer.read()
                if answer.status != 200 or not (expect or _all_accepted)(json.loads(said)):
                    wrong.append(f"{answer.status} {said[:300].decode()}")
        except (OSError, http.client.HTTPException) as error:
            wrong.append(repr(error))
        finally:
            con.close()

    threads = [threading.Thread(target=client) for _ in range(senders)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise ServiceError(f"{server.name} answered {wrong[0]}")
    return time.perf_counter() - began


def _all_accepted(answer: dict[str, Any]) -> bool:
    return bool(answer["ok"])


def _over_http(result: Result, name: str, server: servers.Server, chosen: Sequence[bytes]) -> None:
    def refused(answer: dict[str, Any]) -> bool:
        return bool(answer["accepted"] == 0)

    events = len(chosen) * LINES
    before = server.cpu_s()
    began = time.perf_counter()
    content_type = _ARROW if name == "arrow" else _NDJSON
    answered = send(server, chosen, content_type=content_type, expect=refused if name == "bad" else None)
    server.flush()
    result.per_s[name].append(events / (time.perf_counter() - began))
    result.answered_per_s[name].append(events / answered)
    for role, spent in server.cpu_s().items():
        result.cpu.setdefault(f"all of it, {_NAMES[name].partition(', ')[2]}: {role}", []).append(
            (spent - before.get(role, 0)) / events * 1e6
        )


def _steps(result: Result, parts: Parts, good: Sequence[bytes], streams: Sequence[bytes]) -> None:
    """CPU seconds of each bare step, all of its threads."""
    events = len(good) * LINES

    batches = []
    spent: dict[str, float] = {}

    def timed(step: str, work: Callable[[Any], Any], given: Any) -> Any:
        began = time.process_time()
        made = work(given)
        spent[step] = spent.get(step, 0) + time.process_time() - began
        return made

    for body in good:
        batch = timed("structs to Arrow", parts.arrow, timed("decode (msgspec)", parts.decode, body))
        timed("bins", parts.bins, batch)
        timed("SQLite record", parts.sqlite, timed("Arrow IPC, LZ4", parts.ipc, batch))
        batches.append(batch)
    timed("DuckDB insert", parts.duckdb, batches)
    for body in streams:
        timed("Arrow: compare", parts.compare, timed("Arrow: read and validate", parts.read, body))
    for step, seconds in spent.items():
        result.cpu.setdefault(step, []).append(seconds / events * 1e6)


def _http_read(result: Result, idle: servers.Server, chosen: Sequence[bytes]) -> None:
    """What reading bodies costs a server that does nothing with them."""
    before = sum(idle.cpu_s().values())
    send(idle, chosen)
    spent = sum(idle.cpu_s().values()) - before
    result.cpu.setdefault("HTTP read (no-op)", []).append(spent / (len(chosen) * LINES) * 1e6)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, default=1_000_000, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    given = parser.parse_args()
    print(measure(events=given.events, rounds=given.rounds).markdown())


if __name__ == "__main__":
    main()
