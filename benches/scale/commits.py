"""Raw DuckLake commits against a real catalogue: no assay in it.

A writer does what a collector's round does: reads how far it came, inserts rows, notes how far it is, commits. The rows go into
one table of all; how far a log came is appended, as rows that are changed by several would be a conflict of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from benches.scale.catalogue import Catalogue, catalogue

__all__ = ["main"]

_EXTENSIONS: Final = ("ducklake", "postgres_scanner")
_COLUMNS: Final = "i BIGINT, w INTEGER, " + ", ".join(f"x{n} DOUBLE" for n in range(9))


def connect(dsn: str, data: Path, options: Mapping[str, Any] = {}) -> Any:
    """A connection to a lake, its extensions from packages."""
    con = duckdb.connect(":memory:", config={"threads": 1, "autoinstall_known_extensions": False})
    for name in _EXTENSIONS:
        found = importlib.util.find_spec(f"duckdb_extension_{name}")
        if found is None or found.origin is None:
            raise SystemExit(f"pip install duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}")
        (binary,) = Path(found.origin).parent.rglob(f"{name}.duckdb_extension")
        con.execute(f"LOAD '{binary}'")
    con.execute("SET enable_progress_bar = false")
    for name, value in options.items():
        con.execute(f"SET {name} = {value}")
    con.execute(f"ATTACH 'ducklake:postgres:{dsn}' AS lake (DATA_PATH '{data}', DATA_INLINING_ROW_LIMIT 0)")
    con.execute("USE lake")
    return con


def write(
    dsn: str,
    data: Path,
    *,
    writer: int,
    rows: int,
    seconds: float,
    every_s: float,
    options: Mapping[str, Any],
    all_there: Any,
    queue: Any,
) -> None:
    """Commit for a while, as fast as it goes or every so often; what each took goes to `queue`."""
    con = connect(dsn, data, options)
    con.execute(
        f"CREATE TEMP TABLE fresh AS SELECT range AS i, {writer} AS w, "
        + ", ".join(f"random() AS x{n}" for n in range(9))
        + f" FROM range({rows})"
    )
    took: list[tuple[float, float]] = []
    failed = seq = 0
    all_there.wait()
    used = time.process_time()
    until = time.time() + seconds
    due = time.time() + every_s * random.random()
    while time.time() < until:
        if every_s:
            time.sleep(max(0.0, due - time.time()))
            due += every_s
        began = time.perf_counter()
        try:
            con.execute("BEGIN")
            con.execute("SELECT max(seq) FROM marks WHERE log = ?", [writer]).fetchall()
            con.execute("INSERT INTO events SELECT * FROM temp.fresh")
            con.execute("INSERT INTO marks VALUES (?, ?)", [writer, seq])
            written = time.perf_counter()
            con.execute("COMMIT")
        except duckdb.Error:
            failed += 1
            with contextlib.suppress(duckdb.Error):  # it was rolled back already
                con.execute("ROLLBACK")
            continue
        seq += 1
        took.append((written - began, time.perf_counter() - written))
    queue.put((took, failed, time.process_time() - used))


def together(
    catalog: Catalogue,
    writers: int,
    *,
    rows: int,
    seconds: float,
    every_s: float = 0.0,
    options: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """So many writers at once into a new lake: commits a second, what they took, what was refused and tried again."""
    name = f"lake_{time.time_ns()}"
    catalog.run("createdb", name)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        con = connect(catalog.dsn(name), data)
        con.execute(f"CREATE TABLE events ({_COLUMNS})")
        con.execute("CREATE TABLE marks (log INTEGER, seq BIGINT)")
        con.close()
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        all_there = context.Barrier(writers + 1)
        started = [
            context.Process(
                target=write,
                args=(catalog.dsn(name), data),
                kwargs={
                    "writer": n,
                    "rows": rows,
                    "seconds": seconds,
                    "every_s": every_s,
                    "options": dict(options),
                    "all_there": all_there,
                    "queue": queue,
                },
            )
            for n in range(writers)
        ]
        for each in started:
            each.start()
        all_there.wait()
        refused, used = catalog.refused(), catalog.cpu_s()
        results = [queue.get() for _ in started]
        for each in started:
            each.join()
        used = catalog.cpu_s() - used
        ((first, last, snapshots),) = catalog.ask(
            name,
            "SELECT extract(epoch FROM min(snapshot_time)), extract(epoch FROM max(snapshot_time)), count(*)"
            " FROM ducklake_snapshot WHERE snapshot_id > 2",
        )
        span = float(last) - float(first)
        prepare = sorted(each for took, _, _ in results for each, _ in took)
        commit = sorted(each for took, _, _ in results for _, each in took)
        whole = sorted(a + b for took, _, _ in results for a, b in took)
        done = {
            "writers": writers,
            "rows": rows,
            "every_s": every_s,
            "options": dict(options),
            "commits": len(whole),
            "commits_s": round((int(snapshots) - 1) / span, 2) if span else 0.0,
            "refused": catalog.refused() - refused,
            "failed": sum(failed for _, failed, _ in results),
            "catalogue_cpu_ms": round(1e3 * used / max(1, len(whole)), 2),
            "writer_cpu_ms": round(1e3 * sum(spent for _, _, spent in results) / max(1, len(whole)), 2),
            "prepare_ms": _quantiles(prepare),
            "commit_ms": _quantiles(commit),
            "whole_ms": _quantiles(whole),
        }
    catalog.run("dropdb", name)
    return done


def growth(catalog: Catalogue, *, commits: int, step: int, rows: int) -> list[dict[str, Any]]:
    """One writer, again and again: what a commit takes as snapshots and files become many, and after they are merged."""
    name = f"lake_{time.time_ns()}"
    catalog.run("createdb", name)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        con = connect(catalog.dsn(name), Path(folder))
        con.execute(f"CREATE TABLE events ({_COLUMNS})")
        con.execute("CREATE TABLE marks (log INTEGER, seq BIGINT)")
        con.execute(
            "CREATE TEMP TABLE fresh AS SELECT range AS i, 0 AS w, "
            + ", ".join(f"random() AS x{n}" for n in range(9))
            + f" FROM range({rows})"
        )

        def stretch(label: str) -> None:
            prepare, commit = [], []
            for seq in range(step):
                began = time.perf_counter()
                con.execute("BEGIN")
                con.execute("SELECT max(seq) FROM marks WHERE log = 0").fetchall()
                read = time.perf_counter()
                con.execute("INSERT INTO events SELECT * FROM temp.fresh")
                con.execute("INSERT INTO marks VALUES (0, ?)", [seq])
                written = time.perf_counter()
                con.execute("COMMIT")
                prepare.append(read - began)
                commit.append(time.perf_counter() - written)
            ((files,),) = catalog.ask(name, "SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL")
            ((snapshots,),) = catalog.ask(name, "SELECT count(*) FROM ducklake_snapshot")
            ((size,),) = catalog.ask(name, f"SELECT pg_database_size('{name}')")
            began = time.perf_counter()
            con.execute("SELECT count(*), sum(x1) FROM events").fetchall()
            read_s = time.perf_counter() - began
            found.append(
                {
                    "after": label,
                    "files": int(files),
                    "snapshots": int(snapshots),
                    "catalogue_mib": round(int(size) / 2**20, 1),
                    "mark_ms": _quantiles(sorted(prepare)),
                    "commit_ms": _quantiles(sorted(commit)),
                    "read_all_s": round(read_s, 3),
                }
            )
            print(json.dumps(found[-1]), flush=True)

        def once() -> None:
            con.execute("BEGIN")
            con.execute("SELECT max(seq) FROM marks WHERE log = 0").fetchall()
            con.execute("INSERT INTO events SELECT * FROM temp.fresh")
            con.execute("INSERT INTO marks VALUES (0, 0)")
            con.execute("COMMIT")

        once()
        found.append({"after": "one", "statements_a_commit": catalog.statements(once)})
        print(json.dumps(found[-1]), flush=True)
        for _ in range(commits // step):
            stretch("commits")
        began = time.perf_counter()
        con.execute("CALL ducklake_merge_adjacent_files('lake')")
        con.execute("CALL ducklake_expire_snapshots('lake', older_than => now())")
        con.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")
        stretch(f"merged in {time.perf_counter() - began:.1f} s")
        con.close()
    catalog.run("dropdb", name)
    return found


def _quantiles(ascending: Sequence[float]) -> dict[str, float]:
    """Median, 99th of a hundred and the largest, in milliseconds."""
    if not ascending:
        return {}
    last = len(ascending) - 1
    at = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(1e3 * ascending[round(share * last)], 1) for name, share in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 25_000])
    parser.add_argument("--growth", type=int, default=3_000, help="commits of one writer, one after the other; 0: none")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("commits.json"))
    arguments = parser.parse_args()
    with catalogue() as catalog:
        found: dict[str, Any] = {
            "postgres": catalog.version,
            "duckdb": duckdb.__version__,
            "closed": [],
            "paced": [],
            "patient": [],
            "growth": [],
        }

        def note(kind: str, measured: dict[str, Any]) -> None:
            found[kind].append(measured)
            print(json.dumps(measured), flush=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")

        for rows in arguments.rows:
            for writers in arguments.writers:
                note("closed", together(catalog, writers, rows=rows, seconds=arguments.seconds))
        for writers in arguments.writers[2:]:
            note("paced", together(catalog, writers, rows=100, seconds=2 * arguments.seconds, every_s=2.0))
        for options in (
            {"ducklake_max_retry_count": 100, "ducklake_retry_wait_ms": 20, "ducklake_retry_backoff": 1.1},
        ):
            for writers in arguments.writers[2:]:
                note("patient", together(catalog, writers, rows=100, seconds=arguments.seconds, options=options))
        if arguments.growth:
            found["growth"] = growth(catalog, commits=arguments.growth, step=max(1, arguments.growth // 6), rows=100)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
