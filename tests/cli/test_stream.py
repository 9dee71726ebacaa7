"""`assay learn` says how the alerts take the stream, and what they are expected to cost."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from assay.cli.tables import contract_table
from assay.contract.document import Contract
from tests.cli.conftest import Command
from tests.conftest import Bench
from tests.monitor.samples import numbers


def contract(evidence: dict[str, Any], **bins: Any) -> Contract:
    fields = {"a": {"type": "number", "x-assay": {"bins": numbers() | bins}}}
    schema = {"type": "object", "properties": fields, "x-assay": {"rows": 10_000, **evidence}}
    return Contract.parse(schema, dataset="d", version=1)


CUT = {"stretches": [{"seconds": 60.0, "count": 100}, {"seconds": 300.0, "count": 20}]}


@pytest.mark.parametrize(
    ("learned", "says"),
    [
        pytest.param(contract({}), "Alerts take the values for independent", id="no times"),
        pytest.param(
            contract(CUT),
            "Compared over 100 stretches of 60 s and 20 stretches of 300 s, no field changes by more than chance.",
            id="independent",
        ),
        pytest.param(contract(CUT, spread=12.5), "a  12.5 times chance", id="batches"),
        pytest.param(contract(CUT, tolerance=0.4), "a  a distance of 0.4", id="seasons"),
        pytest.param(contract(CUT, spread=2, tolerance=0.4), "a  2 times chance and a distance of 0.4", id="both"),
        pytest.param(contract({}), "hours of the day take a history of 14 days", id="short"),
        pytest.param(contract({"hours": 360}), "in the last 15 days hours of the day told no more", id="even"),
        pytest.param(
            contract({"hours": 360, "waves": [[24, 0.1, 0.2]]}), "follows the hours of the day as in", id="by day"
        ),
        pytest.param(
            contract({"hours": 700, "waves": [[24, 0.1, 0.2], [168, 0.1, 0.1]]}),
            "follows the hours of the day and days of the week as in the last 29 days",
            id="by week",
        ),
        pytest.param(contract({}), "expected to raise at most 0.12 alarms in 30 days", id="false alarms"),
    ],
)
def test_what_is_said_of_the_stream(learned: Contract, says: str) -> None:
    assert says in contract_table(learned)


def test_learning_from_what_is_stored_says_it(bench: Bench, assay: Command) -> None:
    with duckdb.connect(str(bench.store)) as con:
        con.execute(
            "CREATE TABLE d AS SELECT (hash(i // 400) % 100) / 100.0 AS a, to_timestamp(1.75e9 + i / 10) AS _collected_at,"
            " 'till' AS _source, 1 AS _contract, NULL::JSON AS _violations, NULL::JSON AS _extra FROM range(20000) t(i)"
        )
    found = assay("learn", "d", "--json")
    assert found.code == 0
    cut = found.document["stretches"]
    assert [each["seconds"] for each in cut] == [15, 60]
    assert found.document["false_alarms"] == pytest.approx(0.117, rel=0.01)
    bins = found.document["schema"]["properties"]["a"]["x-assay"]["bins"]
    assert bins["spread"] > 2
