"""Small good requests while large ones come: alone, beside a flood of bad NDJSON, and beside one large body.

python -m benches.beside [--seconds 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benches import servers
from benches.bulk import send
from benches.events import LINES, agrawal, bodies, encoded, learned, with_text
from benches.report import Threshold, table
from benches.singles import arguments
from benches.wrk import Load, script, wrk

__all__ = ["Result", "main", "measure"]

#: Senders of small requests, each waiting for its answer before it sends again.
_CLIENTS: Final = 8
_ALONE: Final = "alone"
_FLOOD: Final = "beside a flood of bad NDJSON, four senders"
_LARGE: Final = "beside one body of 200 MB after the other"
_LARGE_BYTES: Final = 200_000_000
_START_S: Final = 3.0


@dataclass
class Result:
    """The small requests of each round, and what came beside them: events a second."""

    loads: dict[str, list[Load]] = field(default_factory=lambda: defaultdict(list))
    beside_per_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def thresholds(self) -> list[Threshold]:
        """What is asked of assay."""
        return [
            Threshold(f"p99 of small requests: {name} / alone", self._p99(name), 3, at_most=True)
            for name in (_FLOOD, _LARGE)
        ]

    def _p99(self, name: str) -> float:
        pairs = zip(self.loads[name], self.loads[_ALONE], strict=True)
        return median(ours.p99_ms / alone.p99_ms for ours, alone in pairs)

    def markdown(self) -> str:
        """The tables."""
        rows = [
            [
                f"small requests, {_CLIENTS} senders, {name}",
                f"{median(load.per_s for load in loads):,.0f}",
                f"{median(load.p50_ms for load in loads):.2f}",
                f"{median(load.p99_ms for load in loads):.2f}",
                str(sum(load.refused + load.failed for load in loads)),
                f"{median(self.beside_per_s[name]):,.0f}" if name in self.beside_per_s else "",
            ]
            for name, loads in self.loads.items()
        ]
        head = ["", "requests/s", "p50 ms", "p99 ms", "not 200", "events/s beside them"]
        return table(head, rows) + "\n" + Threshold.table(self.thresholds())


def measure(*, seconds: float, rounds: int, distinct: int = 50_000, large_bytes: int = _LARGE_BYTES) -> Result:
    """Small requests in turns: alone, and beside each kind of large ones."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        sample = agrawal(distinct)
        learned(sample, root / "contracts")
        lua = script(root / "single.lua", list(map(encoded, sample[:500])))
        bad = bodies(list(map(with_text, sample)))
        good = b"".join(bodies(sample))
        large = good * max(1, large_bytes // len(good))
        server = stack.enter_context(
            servers.assay_uvicorn(root / "assay", root / "contracts", max_body_bytes=len(large))
        )
        wrk(server.port, lua, clients=_CLIENTS, seconds=1)  # what is needed is loaded
        send(server, bad[:4], expect=_any_answer)  # and the processes that judge large bodies are started
        time.sleep(_START_S)
        for _ in range(rounds):
            result.loads[_ALONE].append(wrk(server.port, lua, clients=_CLIENTS, seconds=seconds))
            server.flush()
            for name, pool, events, senders in (
                (_FLOOD, bad, LINES, 4),
                (_LARGE, [large], len(large) // len(good) * distinct, 1),
            ):
                with _sending(server, pool, senders) as sent:
                    time.sleep(0.5)
                    load = wrk(server.port, lua, clients=_CLIENTS, seconds=seconds)
                result.loads[name].append(load)
                result.beside_per_s[name].append(sent[0] * events / sent[1])
                server.flush()
    return result


@contextmanager
def _sending(server: servers.Server, pool: Sequence[bytes], senders: int) -> Iterator[list[float]]:
    """Large bodies, one after the other, until the block is left; then how many, and for how many seconds."""
    ended = threading.Event()
    sent = [0.0, 0.0]
    failed: list[BaseException] = []

    def chosen() -> Iterator[bytes]:
        for body in itertools.cycle(pool):
            if ended.is_set():
                return
            sent[0] += 1
            yield body

    def run() -> None:
        try:
            sent[1] = send(server, chosen(), expect=_any_answer, senders=senders)
        except BaseException as error:  # noqa: BLE001  raised again below, by the bench's own thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]


def _any_answer(_: Any) -> bool:
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    given = parser.parse_args()
    print(measure(seconds=given.seconds, rounds=given.rounds).markdown())


if __name__ == "__main__":
    main()
