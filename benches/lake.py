"""How fast collectors bring events into one lake, against DuckLake's own insert of the same rows in the same run.

python -m benches.lake --store 'ducklake:postgres:dbname=bench host=…' --data /tmp/lake
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Final

import pyarrow as pa

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.ingest.apply import Applier
from assay.ingest.intake import take
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader
from assay.ingest.record import Record
from assay.ingest.validate import Judge
from assay.ingest.work import Unpacker
from assay.store.address import Lake
from assay.store.ducklake import LakeStore, attach
from benches.events import DATASET, LINES, agrawal, bodies, encoded, learned
from benches.servers import assay_uvicorn
from benches.wrk import Load, script, wrk

__all__ = ["Rate", "answers", "main", "measure"]

_SCHEMA: Final = {
    "type": "object",
    "properties": {
        name: {"type": "number" if name in {"salary", "commission", "hvalue", "loan"} else "integer"}
        for name in ("salary", "commission", "age", "elevel", "car", "zipcode", "hvalue", "hyears", "loan", "label")
    },
}
_BATCH: Final = 25_000
#: What both ways bring in whole: batches here, bodies there.
_STEP: Final = 50_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Rows a second with so many writers at once, one figure a round: DuckLake's own insert, and assay from its logs."""

    writers: int
    raw: Sequence[float]
    assay: Sequence[float]

    @property
    def ratio(self) -> float:
        """Assay's share of DuckLake's own, round by round; the median."""
        return median(ours / theirs for ours, theirs in zip(self.assay, self.raw, strict=True))


@dataclass(frozen=True, slots=True)
class _Job:
    """What each writer of a round brings in: `rows`, made of the events of a body."""

    lake: Lake
    body: bytes
    rows: int
    folder: Path


def measure(lake: Lake, *, rows: int, writers: Sequence[int], rounds: int) -> list[Rate]:
    """Each number of writers in turn; `rows` are each writer's in a round, in steps of 50,000.

    The lake is its caller's to throw away.
    """
    rows = max(1, rows // _STEP) * _STEP
    body = bodies(agrawal(LINES))[0]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for count in writers:
            raw, ours = [], []
            for number in range(rounds):
                raw.append(_together(_insert, count, _Job(lake, body, rows, Path(folder) / f"raw-{count}-{number}")))
                ours.append(_together(_apply, count, _Job(lake, body, rows, Path(folder) / f"logs-{count}-{number}")))
            found.append(Rate(count, raw, ours))
    return found


def answers(lake: Lake, *, seconds: float, rounds: int, clients: int) -> dict[str, list[Load]]:
    """What single events are answered in with a file and with the lake behind, in turns."""
    events = agrawal(20_000)
    found: dict[str, list[Load]] = {"a file": [], "the lake": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        learned(events, root / "contracts")
        lua = script(root / "send.lua", [encoded(event) for event in events])
        there = {"store": str(lake), "lake_data": lake.data, "log": str(root / "lake.log")}
        if lake.s3_endpoint:
            there["lake_s3_endpoint"] = lake.s3_endpoint
        with (
            assay_uvicorn(root / "file", root / "contracts") as beside,
            assay_uvicorn(root / "lake", root / "contracts", **there) as ours,
        ):
            for _ in range(rounds):
                for name, server in (("a file", beside), ("the lake", ours)):
                    found[name].append(wrk(server.port, lua, clients=clients, seconds=seconds))
                    server.flush()
    return found


def _together(work: Callable[[_Job, Barrier, Barrier], None], count: int, job: _Job) -> float:
    """Rows a second of `count` processes that begin together."""
    context = multiprocessing.get_context("spawn")
    begin, end = context.Barrier(count + 1), context.Barrier(count + 1)
    processes = [
        context.Process(target=work, args=(replace(job, folder=job.folder / str(number)), begin, end))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    begin.wait(60)
    began = time.perf_counter()
    end.wait(600)
    took = time.perf_counter() - began
    for process in processes:
        process.join()
    shutil.rmtree(job.folder, ignore_errors=True)
    return count * job.rows / took


def _records(body: bytes) -> list[Record]:
    judge = Judge(Contract.parse(_SCHEMA, dataset=DATASET, version=1), Active(1))
    _, records = take(
        body,
        "ndjson",
        dataset=DATASET,
        judge=judge,
        source="bench",
        content_type="application/x-ndjson",
        received_us=time.time_ns() // 1000,
    )
    return records


def _insert(job: _Job, begin: Barrier, end: Barrier) -> None:
    """DuckLake alone: the columns are there, in batches of 25,000, each a transaction."""
    job.folder.mkdir(parents=True)
    table = _columns(job.body, job.folder)
    batch = pa.concat_tables([table] * 3).slice(0, _BATCH).combine_chunks()
    con = attach(job.lake)
    con.register("batch", batch)
    con.execute("CREATE TABLE IF NOT EXISTS raw AS SELECT * FROM batch LIMIT 0")
    begin.wait(60)
    for _ in range(job.rows // _BATCH):
        con.execute("INSERT INTO raw SELECT * FROM batch")
    end.wait(600)
    con.close()


def _columns(body: bytes, folder: Path) -> pa.Table:
    """A body's events as the columns of its table."""
    records = _records(body)
    with Log(folder / "log") as log:
        log.append(records)
        stored = Reader(folder / "log").read(0, 1 << 30)
    unpack = Unpacker(keep_unknown=True)
    ((_, table),) = unpack.tables(unpack.work(stored))
    return table


def _apply(job: _Job, begin: Barrier, end: Barrier) -> None:
    """A collector's log, full, and what moves it."""
    job.folder.mkdir(parents=True)
    records = _records(job.body)
    with Log(job.folder / "log") as log:
        for _ in range(job.rows // LINES):
            log.append(records)
        reader = Reader(job.folder / "log")
        store = LakeStore(job.lake, log=reader.id())
        applier = Applier(store, reader)
        with store.write():
            pass
        begin.wait(60)
        while True:
            applied = applier.round()
            if not applied.more and applied.through == log.last_seq():
                break
        end.wait(600)
        reader.close()
        store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="an empty lake, as in assay.toml")
    parser.add_argument("--data", default="", help="its folder, or s3://…")
    parser.add_argument("--s3-endpoint", default="")
    parser.add_argument("--rows", type=int, default=500_000, help="of each writer, in each round")
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of sending single events, in each round; 0: none")
    parser.add_argument("--clients", type=int, default=64)
    chosen = parser.parse_args()
    lake = Lake.parse(chosen.store, data=chosen.data, s3_endpoint=chosen.s3_endpoint, root=Path.cwd())
    print("| writers | DuckLake's own insert, rows/s | assay from its logs, rows/s | share |")
    print("| --- | --- | --- | --- |")
    for rate in measure(lake, rows=chosen.rows, writers=chosen.writers, rounds=chosen.rounds):
        print(f"| {rate.writers} | {_range(rate.raw)} | {_range(rate.assay)} | {rate.ratio:.2f} |")
    if not chosen.seconds:
        return
    print("\n| the store | requests/s | median, ms | 99th percentile, ms | refused, failed |")
    print("| --- | --- | --- | --- | --- |")
    found = answers(lake, seconds=chosen.seconds, rounds=chosen.rounds, clients=chosen.clients)
    for name, loads in found.items():
        figures = [[getattr(load, what) for load in loads] for what in ("per_s", "p50_ms", "p99_ms")]
        lost = sum(load.refused + load.failed for load in loads)
        print(f"| {name} | {' | '.join(map(_range, figures))} | {lost} |")


def _range(values: Sequence[float]) -> str:
    digits = 0 if median(values) >= 100 else 1
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


if __name__ == "__main__":
    main()
