from __future__ import annotations

import time
from typing import Any

import duckdb
import pytest

from tests.cli.conftest import Command
from tests.conftest import Bench

BINS = {"rows": 10_000, "edges": [0.25, 0.5, 0.75], "share": {f"b{i}": 0.25 for i in range(4)}, "low": 0, "high": 1}
SCHEMA: dict[str, Any] = {"a": {"type": "number", "minimum": 0, "x-assay": {"bins": BINS}}}


@pytest.fixture
def stored(bench: Bench) -> Bench:
    """Two hours of events, ten a second; in the last ten minutes all of them are alike."""
    bench.enforce("d", SCHEMA, required=["a"])
    now = time.time()
    with duckdb.connect(str(bench.store)) as con:
        con.execute(
            "CREATE TABLE d (a DOUBLE, _collected_at TIMESTAMPTZ, _source VARCHAR, _contract INTEGER, _violations JSON, _extra JSON)"
        )
        con.execute(
            "INSERT INTO d SELECT CASE WHEN i > 600 * 10 THEN (hash(i) % 1000) / 1000.0 ELSE 0.3 END,"
            " to_timestamp(? - i / 10), 'till', 1, NULL, NULL FROM range(7200 * 10) t(i)",
            [now],
        )
    return bench


@pytest.mark.usefixtures("stored")
def test_an_audit_lists_what_the_rules_would_have_raised(assay: Command) -> None:
    found = assay("rules", "--audit", "--days", "0.05", "--json")
    assert found.code == 1
    (dataset,) = found.document["datasets"]
    assert (dataset["dataset"], dataset["contract"]) == ("d", 1)
    assert dataset["events"] == pytest.approx(0.05 * 864_000, rel=0.01)
    (alarm,) = dataset["alarms"]
    assert (alarm["alert"], alarm["field"], alarm["until"]) == ("FieldDrift", "a", None)
    assert alarm["figure"] > alarm["limit"] > alarm["expected"] > 0
    text = assay("rules", "--audit", "--days", "0.05").out
    assert "d@1: " in text
    assert "1 alarm" in text
    assert "goes on" in text


def test_exceptions_are_respected_and_named(stored: Bench, assay: Command) -> None:
    with (stored.folder / "assay.toml").open("a") as file:
        file.write(
            '[[alert_exceptions]]\nalert = "FieldDrift"\ndataset = "d"\nmute = true\n'
            'reason = "a known fault"\nuntil = 2100-01-01\n'
        )
    found = assay("rules", "--audit", "--days", "0.05", "--json")
    assert found.code == 0
    (alarm,) = found.document["datasets"][0]["alarms"]
    assert alarm["held_back"] == {"exception": "FieldDrift of d", "reason": "a known fault", "until": "2100-01-01"}
    text = assay("rules", "--audit", "--days", "0.05").out
    assert "no alarm, 1 held back by exceptions" in text
    assert "FieldDrift of d is muted until 2100-01-01: a known fault" in text


def test_a_version_is_tried_before_it_is_active(stored: Bench, assay: Command) -> None:
    stored.contract("d", {"a": {"type": "number", "maximum": 0.5}})
    found = assay("rules", "--audit", "--days", "0.05", "--contract", "d@2", "--json")
    assert found.code == 1
    told = {alarm["alert"] for alarm in found.document["datasets"][0]["alarms"]}
    assert told == {"FieldViolations", "RejectRate", "SourceRejectRate"}
    assert not (stored.folder / "promconfig").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--audit"], "no contract is active"),
        (["--days", "3"], "--days is for an audit"),
        (["--contract", "d@1"], "--contract is for an audit"),
        (["--audit", "--days", "0"], "--days"),
        (["--audit", "--contract", "d@7"], "d"),
    ],
)
def test_wrong_use_is_told(assay: Command, arguments: list[str], says: str) -> None:
    found = assay("rules", *arguments)
    assert (found.code, says in found.err) == (2, True)


def test_without_a_store_it_says_so(bench: Bench, assay: Command) -> None:
    bench.enforce("d", SCHEMA)
    found = assay("rules", "--audit")
    assert found.code == 2
    assert "there is no store" in found.err


@pytest.mark.usefixtures("stored")
def test_a_check_of_a_span_says_what_the_rules_would_have_raised(assay: Command) -> None:
    found = assay("check", "d", "--contract", "1", "--since", "70m", "--json")
    assert found.code == 0  # no row is bad: alarms are no verdict
    assert found.document["alarms"] == [{"alert": "FieldDrift", "field": "a", "source": "", "times": 1}]
    text = assay("check", "d", "--since", "70m").out
    assert "1  FieldDrift a" in text
    assert "alarms" not in assay("check", "d", "--json").document
