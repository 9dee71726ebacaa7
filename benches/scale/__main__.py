"""How many collectors one catalogue bears: what was measured, the simulation held to it, and what that says of many more.

python -m benches.scale.commits     # measures, some ten minutes: writes commits.json. Needs PostgreSQL, and requirements.txt
python -m benches.scale             # simulates, two minutes: writes RESULTS.md and collectors.svg
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benches import report
from benches.scale.simulate import DUCKLAKES, Commits, Costs, Ran, Retries, as_measured, elsewhere, simulate
from benches.statistics.plots import logarithmic

__all__ = ["main"]

_HERE: Final = Path(__file__).parent
#: What cannot be measured on one machine, and is assumed: in seconds. A catalogue in the same data centre; a file to S3.
_TRIP: Final = 0.0005
_FILES: Final = 0.08
_PROCESSORS: Final = 8

_EVERY: Final = (1, 2, 5, 10, 30, 60, 120, 300)
_COLLECTORS: Final = (10, 30, 100, 300, 1_000)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of Markdown, its numbers as people write them."""
    return report.table(head, [[f"{each:,}" if isinstance(each, int) else str(each) for each in row] for row in rows])


def _measured(found: Mapping[str, Any]) -> list[list[Any]]:
    return [
        [
            "each "
            + (f"{each['every_s']:g} s" if each["every_s"] else "at once")
            + (", soon and often" if each["options"] else ""),
            each["rows"],
            each["writers"],
            each["commits_s"],
            round(each["refused"] / max(1, each["commits"]), 2),
            each["failed"],
            each["whole_ms"]["p50"],
            each["whole_ms"]["p99"],
            each["catalogue_cpu_ms"],
            each["writer_cpu_ms"],
        ]
        for kind in ("closed", "paced", "patient")
        for each in found[kind]
    ]


def _held_to(found: Mapping[str, Any]) -> list[list[Any]]:
    """The simulation beside what was measured: the same writers, at once, on as much of a machine as they had."""
    rows = []
    few = [each for each in found["closed"] if each["rows"] == 100]
    costs = as_measured(few[0])
    for each in few:
        had = each["commits_s"] * (each["catalogue_cpu_ms"] + each["writer_cpu_ms"]) / 1e3
        ran = simulate(
            Commits(each["writers"], 0.0), costs, processors=had, on_one_machine=True, seconds=200, warm_up=20
        )
        rows.append(
            [
                each["writers"],
                round(had, 2),
                each["commits_s"],
                round(ran.commits_s, 1),
                round(each["refused"] / max(1, each["commits"]), 2),
                round(ran.refused_each, 2),
                each["whole_ms"]["p50"],
                round(1e3 * ran.median),
                each["whole_ms"]["p99"],
                round(1e3 * ran.quantile(0.99)),
            ]
        )
    return rows


def _many(costs: Costs) -> dict[tuple[int, int], Ran]:
    return {(collectors, every): _run(collectors, every, costs) for collectors in _COLLECTORS for every in _EVERY}


def _run(
    collectors: int,
    every: float,
    costs: Costs,
    retries: Retries = DUCKLAKES,
    *,
    catalogues: int = 1,
) -> Ran:
    return simulate(
        Commits(collectors, every, catalogues),
        costs,
        retries,
        processors=_PROCESSORS,
        seconds=max(90.0, 2.0 * every),
        warm_up=max(30.0, 1.5 * every),
    )


def _row(name: str, asked: float, ran: Ran) -> list[Any]:
    return [
        name,
        round(asked, 1),
        round(ran.commits_s, 1),
        round(ran.refused_each, 2),
        round(60 * ran.failed / ran.seconds),
        round(ran.median, 2),
        round(ran.quantile(0.99), 1),
        f"{ran.busy / _PROCESSORS:.0%}",
    ]


_HEAD: Final = (
    "", "asked, commits/s", "taken, commits/s", "refused for each", "failed a minute", "median s", "p99 s", "catalogue busy"
)  # fmt: skip


def _levers(costs: Costs) -> list[list[Any]]:
    """What helps a thousand collectors."""
    rows = []

    def add(
        name: str, collectors: int, every: float, *, retries: Retries = DUCKLAKES, catalogues: int = 1, c: Costs = costs
    ) -> None:
        ran = _run(collectors, every, c, retries, catalogues=catalogues)
        rows.append(_row(name, collectors / every, ran))

    add("1,000 collectors, each 10 s, one catalogue", 1_000, 10)
    add(
        "the same, tried again sooner: 20 ms, growing by 1.1, a hundred times",
        1_000,
        10,
        retries=Retries(100, 0.02, 1.1),
    )
    add("the same, tried again later: 1 s, growing by 1.5", 1_000, 10, retries=Retries(10, 1.0, 1.5))
    add("files written four times as fast", 1_000, 10, c=elsewhere(costs, trip=_TRIP, files=_FILES / 4))
    add("a catalogue that is 2 ms away", 1_000, 10, c=elsewhere(costs, trip=0.002, files=_FILES))
    add("each 60 s", 1_000, 60)
    add("4 catalogues, by dataset, each 10 s", 1_000, 10, catalogues=4)
    add("10 catalogues, by dataset, each 10 s", 1_000, 10, catalogues=10)
    add("a broker between: 8 that apply, each 1 s", 8, 1)
    add("a broker between: 8 that apply, each 5 s", 8, 5)
    return rows


def results(found: Mapping[str, Any]) -> tuple[str, str]:
    """RESULTS.md and the picture."""
    one = next(each for each in found["closed"] if each["rows"] == 100 and each["writers"] == 1)
    costs = elsewhere(as_measured(one), trip=_TRIP, files=_FILES)
    many = _many(costs)
    growth = [each for each in found["growth"] if "files" in each]
    picture = logarithmic(
        "p99 of a round to one catalogue, simulated",
        {
            f"each {every} s": [(n, many[n, every].quantile(0.99)) for n in _COLLECTORS]
            for every in (1, 5, 10, 30, 60, 300)
        },
        x="collectors",
        y="seconds until it is in the lake",
    )
    text = f"""# Results

Written by `python -m benches.scale`. Measured: DuckDB {found["duckdb"]} with its `ducklake` extension, PostgreSQL {found["postgres"]} with its defaults, both and all writers on the two
cores of one machine, which others used heavily meanwhile: the times are theirs as much as ours. What does not depend on them is the processor time for each commit, how often a commit is refused, and how both
grow with the writers. Simulated: `simulate.py`.

## Measured: raw commits

A round reads how far its log came, inserts the rows (of eleven columns), notes how far it is, commits. "Refused" are the catalogue's refusals for each commit: another was first, and DuckLake tried again by itself. "Failed" are those
that DuckLake gave up, after ten tries. "Soon and often": `ducklake_retry_wait_ms` 20, `ducklake_retry_backoff` 1.1, `ducklake_max_retry_count` 100.

{table(["commits", "rows", "writers", "commits/s", "refused", "failed", "p50 ms", "p99 ms", "catalogue CPU ms", "writer CPU ms"], _measured(found))}

A commit that nobody disturbs asks the catalogue {next(each["statements_a_commit"] for each in found["growth"] if "statements_a_commit" in each)} statements. A commit is refused when another one came in since its transaction *began*, not since it commits: tried with two connections.

## Measured: growth

One writer, 100 rows a commit, two tables; nothing merged until the last line, after `ducklake_merge_adjacent_files`, `ducklake_expire_snapshots` and `ducklake_cleanup_old_files`.

{table(["after", "snapshots", "files", "catalogue MiB", "commit ms, p10", "p50", "mark read ms, p10", "p50", "all read s"], [[each["after"], each["snapshots"], each["files"], each["catalogue_mib"], each["commit_ms"]["p10"], each["commit_ms"]["p50"], each["mark_ms"]["p10"], each["mark_ms"]["p50"], each["read_all_s"]] for each in growth])}

## The simulation, held to what was measured

Costs are those of one writer alone; how many there are is all that changes. "Processors" is what the writers and the catalogue had of the machine in that measurement.

{table(["writers", "processors", "commits/s", "simulated", "refused", "simulated", "p50 ms", "simulated", "p99 ms", "simulated"], _held_to(found))}

## Simulated: one catalogue

It has {_PROCESSORS} processors of its own and is {1e3 * _TRIP:g} ms away; a file takes {1e3 * _FILES:g} ms to write (S3). These three are assumed.

![how long a round takes](collectors.svg)

{table(_HEAD, [_row(f"{n:,} collectors, each {every} s", n / every, many[n, every]) for n in (100, 300, 1_000) for every in (5, 10, 30, 60)])}

## Simulated: a thousand collectors, and what helps

{table(_HEAD, _levers(costs))}
"""
    return text, picture


def main() -> None:
    found: Mapping[str, Any] = json.loads((_HERE / "commits.json").read_text(encoding="utf-8"))
    text, picture = results(found)
    (_HERE / "RESULTS.md").write_text(text, encoding="utf-8")
    (_HERE / "collectors.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
