"""Judging aside: what comes of a body is the same in a thread and in a process, and a process may end at any time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.errors import TooLarge
from assay.ingest.intake import Form, take
from assay.ingest.outcome import Outcome
from assay.ingest.payload import unpack_columns, unpack_rejects
from assay.ingest.record import Kind, Record
from assay.ingest.validate import Judge
from assay.monitor.bins import Columns
from assay.service.judging import Judging, Task
from tests.conftest import until

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 100}, "text": {"type": "string"}},
    "required": ["a"],
}
JUDGE = Judge(Contract.parse(SCHEMA, dataset="d", version=3), Active(3))
OBSERVED = Judge(Contract.parse(SCHEMA, dataset="d", version=3), Active(3, "observe"))
GOOD = [{"a": number % 100, "text": "x" * 60} for number in range(3_000)]
MIXED = [event | {"a": -1} if number % 3 == 0 else event for number, event in enumerate(GOOD)]
UNKNOWN = [event | {"more": number} for number, event in enumerate(GOOD)]


def lines(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def arrow(events: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_pylist(events)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def task(body: bytes, form: Form, judge: Judge | None, **more: Any) -> Task:
    about: dict[str, Any] = {"dataset": "d", "source": "s", "content_type": "t", "received_us": 1, "judge": judge}
    return partial(take, body, form, **about, **more)


def judge(judging: Judging, judge: Judge | None, task: Task, size: int = 1 << 20) -> Any:
    columns = None if judge is None else Columns(judge.contract)
    return asyncio.run(judging.judge(judge, task, size, columns))


@pytest.fixture(scope="module")
def apart() -> Iterator[Judging]:
    """One whose processes run."""
    judging = Judging()
    judge(judging, JUDGE, task(b"{}", "json", JUDGE))
    assert until(lambda: judging._processes is not None, 60)
    yield judging
    judging.stop()


@pytest.fixture(scope="module")
def here() -> Iterator[Judging]:
    judging = Judging(processes=0)
    yield judging
    judging.stop()


def seen(outcome: Outcome) -> dict[str, Any]:
    """All of an outcome but for identifiers, which are never the same."""
    names = [name for name in Outcome.__slots__ if name != "rejected"]
    refused = [(each.index, tuple(each.violations)) for each in outcome.rejected]
    return {name: getattr(outcome, name) for name in names} | {"rejected": refused, "bad_body": str(outcome.bad_body)}


def held(record: Record) -> Any:
    """What a record holds, but for identifiers."""
    match record.kind:
        case Kind.COLUMNS | Kind.REJECT_COLUMNS:
            columns = unpack_columns(record.payload)
            return {name: array.to_pylist() for name, array in columns.items() if name != "id"}
        case Kind.REJECTS:
            return [(each.body, each.violations, each.fingerprint) for each in unpack_rejects(record.payload)]
        case _:
            return record.payload


@pytest.mark.parametrize(
    ("body", "form", "judge_", "more"),
    [
        pytest.param(lines(GOOD), "ndjson", JUDGE, {}, id="good"),
        pytest.param(lines(MIXED), "ndjson", JUDGE, {}, id="some refused"),
        pytest.param(lines(MIXED), "ndjson", JUDGE, {"atomic": True}, id="some refused, all or nothing"),
        pytest.param(lines(MIXED), "ndjson", OBSERVED, {}, id="some flagged"),
        pytest.param(lines(UNKNOWN), "ndjson", JUDGE, {}, id="unknown fields"),
        pytest.param(lines(GOOD) + b"{broken\n", "ndjson", JUDGE, {}, id="a broken line"),
        pytest.param(json.dumps(MIXED).encode(), "json", JUDGE, {}, id="an array"),
        pytest.param(json.dumps(MIXED).encode()[:-1], "json", JUDGE, {}, id="no JSON"),
        pytest.param(arrow(MIXED), "arrow", JUDGE, {}, id="Arrow"),
        pytest.param(lines(MIXED), "ndjson", None, {}, id="learning"),
    ],
)
def test_it_comes_to_the_same_in_a_process(
    apart: Judging, here: Judging, body: bytes, form: Form, judge_: Judge | None, more: dict[str, Any]
) -> None:
    expected, records, tally = judge(here, judge_, task(body, form, judge_, **more))
    found, found_records, found_tally = judge(apart, judge_, task(body, form, judge_, **more))
    assert seen(found) == seen(expected)
    assert found.judge is judge_
    assert found_tally.sums == tally.sums
    assert [(each.kind, each.events, each.contract) for each in found_records] == [
        (each.kind, each.events, each.contract) for each in records
    ]
    assert list(map(held, found_records)) == list(map(held, records))


def test_what_is_raised_there_is_raised_here(apart: Judging) -> None:
    body = arrow(GOOD)
    with pytest.raises(TooLarge, match="max_body_bytes = 1,000") as raised:
        judge(apart, JUDGE, task(body, "arrow", JUDGE, max_bytes=1000))
    assert raised.value.limit_bytes == 1000


def test_small_bodies_and_the_first_ones_are_judged_in_threads() -> None:
    judging = Judging()
    try:
        outcome, _, _ = judge(judging, JUDGE, task(lines(GOOD), "ndjson", JUDGE), size=1000)
        assert outcome.accepted == len(GOOD)
        assert judging._may_start
    finally:
        judging.stop()


def test_a_process_that_is_killed_costs_nobody_anything() -> None:
    judging = Judging()
    try:
        judge(judging, JUDGE, task(lines(GOOD), "ndjson", JUDGE))
        assert until(lambda: judging._processes is not None, 60)
        first = judging._processes
        assert first is not None
        killed = list(first._processes)
        os.kill(killed[0], signal.SIGKILL)
        for _ in range(3):
            outcome, records, _ = judge(judging, JUDGE, task(lines(GOOD), "ndjson", JUDGE))
            assert outcome.accepted == len(GOOD)
            assert sum(record.events for record in records) == len(GOOD)
        assert until(lambda: judging._processes not in (None, first), 60)
        outcome, _, _ = judge(judging, JUDGE, task(lines(GOOD), "ndjson", JUDGE))
        assert outcome.accepted == len(GOOD)
    finally:
        judging.stop()


PARENT = """
import asyncio, sys, time
from tests.service.test_judging import GOOD, JUDGE, judge, lines, task
from assay.service.judging import Judging

if __name__ == "__main__":
    judging = Judging()
    judge(judging, JUDGE, task(lines(GOOD), "ndjson", JUDGE))
    while judging._processes is None:
        time.sleep(0.05)
    print(*judging._processes._processes, flush=True)
    time.sleep(60)
"""


def test_they_end_with_their_parent_however_it_ends(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        children = list(map(int, parent.stdout.readline().split()))
        assert len(children) >= 1
        parent.kill()
    assert until(lambda: not any(map(runs, children)), 20)


def runs(pid: int) -> bool:
    """Whether a process is there, and is not a mere entry in the table."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
