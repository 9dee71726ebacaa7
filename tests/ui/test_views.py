"""What pages show, before it is drawn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.ingest.validate import Judge
from assay.monitor.metrics import Metrics
from assay.ui.history import History
from assay.ui.prometheus import Alerts, Firing
from assay.ui.views import ago, dataset_row, field_cards, marked, moment, reasons, side_by_side

BINS = {"rows": 1000, "edges": [10.0], "low": 0, "high": 20, "share": {"b0": 0.5, "b1": 0.5}}


def contract(version: int = 1, **properties: Any) -> Contract:
    return Contract.parse({"type": "object", "properties": properties}, dataset="d", version=version)


def firing(name: str, severity: str = "page", **labels: str) -> Firing:
    return Firing(name, severity, "d", labels.get("field", ""), "", "", "", "2026-01-02T03:04:05Z")


# ---- events


def text(reject: dict[str, Any]) -> str:
    return "".join(piece.text for piece in marked(reject))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_an_event_is_shown_whole(event: dict[str, Any]) -> None:
    assert json.loads(text({"body": json.dumps(event), "errors": []})) == event


def test_the_values_that_broke_the_contract_are_marked() -> None:
    event = {"a": 1, "b": {"c": [1, "x"]}, "d": None}
    errors = [
        {"loc": ["b", "c", 1], "type": "int_type", "msg": "no integer"},
        {"loc": ["d"], "type": "int_type", "msg": "null"},
        {"loc": ["e"], "type": "missing", "msg": "Field required"},
    ]
    pieces = marked({"body": json.dumps(event), "errors": errors})
    assert [(piece.text.strip(), piece.why) for piece in pieces if piece.why] == [
        ('"x"', "no integer"),
        ("null", "null"),
        ('"e" is not there', "Field required"),
    ]


@pytest.mark.parametrize(
    ("reject", "shown", "why"),
    [
        pytest.param({"body": "{nonsense"}, "{nonsense", "broken", id="no JSON"),
        pytest.param({"body": "[1, 2]"}, "[1, 2]", "broken", id="no object"),
        pytest.param({"body": "x" * 5_000}, "x" * 4_000 + "…", "broken", id="too long"),
        pytest.param({"body_base64": "AAAA"}, "3 bytes that are no text", "", id="no text"),
    ],
)
def test_what_is_no_event_stands_as_it_came(reject: dict[str, Any], shown: str, why: str) -> None:
    (piece,) = marked(reject | {"errors": [{"loc": [], "type": "json_invalid", "msg": "broken"}]})
    assert (piece.text, piece.why) == (shown, why)


def test_each_reason_is_said_once() -> None:
    errors = [{"loc": ["items", place, "price"], "type": "t", "msg": "m"} for place in range(3)]
    assert reasons(errors) == [("items[].price", "t", "m")]
    assert reasons([{"loc": [], "type": "t", "msg": "m"}]) == [("the event", "t", "m")]


# ---- a dataset


@pytest.mark.parametrize(
    ("rejected", "alerts", "state", "says"),
    [
        pytest.param(0, [], "good", "as expected", id="all is well"),
        pytest.param(3, [], "warn", "3 of 13 events refused", id="some are refused"),
        pytest.param(3, [firing("A", "warn"), firing("B")], "bad", "alert: A, B", id="somebody is called"),
        pytest.param(0, [firing("A", "warn")], "warn", "alert: A", id="somebody is told"),
    ],
)
def test_how_a_dataset_is_doing(rejected: int, alerts: list[Firing], state: str, says: str) -> None:
    judge = Judge(contract(a={"type": "number"}), Active(1))
    metrics, history = Metrics(), History()
    metrics.watch(judge.contract, "enforce")
    history.look(1_000, metrics.figures())
    metrics.count(dataset="d", source="s", accepted=10, rejected=rejected, now=1_004)
    history.look(1_005, metrics.figures())
    row = dataset_row("d", judge, history, Alerts(alerts, asked=True), 1_006, bars=10, every_s=5)
    assert (row.state, row.says) == (state, says)
    assert row.refused_share == pytest.approx(rejected / (10 + rejected))
    later = dataset_row("d", judge, history, Alerts(), 2_000, bars=10, every_s=5)
    assert later.last == "17 min ago"


def test_a_dataset_without_a_contract_is_learning() -> None:
    row = dataset_row("d", None, History(), Alerts(), 0, bars=10, every_s=5)
    assert (row.state, row.mode, row.last) == ("idle", "learning", "never")


def test_fields_that_somebody_should_look_at_come_first() -> None:
    judge = Judge(
        contract(
            good={"type": "number", "x-assay": {"bins": BINS}},
            moved={"type": "number", "x-assay": {"bins": BINS}},
            broken={"type": "integer"},
            alerted={"type": "string"},
        ),
        Active(1, fields={"moved": "observe"}),
    )
    metrics, history = Metrics(), History()
    metrics.watch(judge.contract, "enforce")
    history.look(1_000, metrics.figures())
    metrics.count_values(judge.contract, [{"good": i % 20, "moved": 1} for i in range(1_000)])
    metrics.count(dataset="d", source="s", rejected=2, violations={("broken", "int_type"): 2}, now=1_004)
    history.look(1_005, metrics.figures())
    cards = field_cards(judge, history, [firing("FieldDrift", field="alerted")])
    assert [(card.label, card.state) for card in cards] == [
        ("moved", "bad"),
        ("alerted", "bad"),
        ("broken", "warn"),
        ("good", "good"),
    ]
    assert [card.label for card in cards if card.observed] == ["moved"]
    later = field_cards(judge, history, [], since={"moved": "2026-01-02T03:04:05+00:00"})
    assert {card.label: card.since for card in later if card.since} == {"moved": "2026-01-02T03:04:05+00:00"}
    first = field_cards(judge, history, [], asked="good")[0]
    assert first.label == "good"
    assert first.drift is not None
    assert first.drift.distance < 0.02


@pytest.mark.parametrize(
    ("active", "says"),
    [
        (Active(1), ""),
        (Active(1, "observe"), "observe: nothing is refused"),
        (Active(1, fields={"o": "observe"}), "o only observed"),
        (Active(1, fields={"o": "observe", "o.x": "observe"}), "2 fields only observed"),
        (Active(1, "observe", {"a": "enforce", "o": "observe"}), "observed, but for a"),
    ],
)
def test_what_is_not_refused_in_words(active: Active, says: str) -> None:
    judge = Judge(contract(a={"type": "integer"}, o={"type": "object", "properties": {"x": {}}}), active)
    assert dataset_row("d", judge, History(), Alerts(), 0, bars=10, every_s=5).modes == says


def test_what_is_in_an_observed_field_is_observed() -> None:
    schema = contract(o={"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}})
    judge = Judge(schema, Active(1, fields={"o": "observe", "o.y": "enforce"}))
    cards = field_cards(judge, History(), [])
    assert {card.label: card.observed for card in cards} == {"o": True, "o.x": True, "o.y": False}


# ---- documents and times


def test_documents_side_by_side_without_their_evidence() -> None:
    old = contract(1, a={"type": "integer", "maximum": 1, "x-assay": {"bins": BINS}}, gone={"type": "string"})
    new = contract(2, a={"type": "integer", "maximum": 2}, new={"type": "string"})
    lines = side_by_side(old, new)
    changed = [(line.left.strip(), line.right.strip()) for line in lines if line.kind != "same"]
    assert ('"maximum": 1', '"maximum": 2') in changed
    assert ('"gone": {', '"new": {') in changed
    assert not any("x-assay" in line.left for line in lines)
    assert {line.kind for line in side_by_side(old, old)} == {"same", "skipped"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (59, "59 s ago"), (119, "119 s ago"), (600, "10 min ago"), (7300, "2 h ago"), (1e6, "12 days ago")],
)
def test_how_long_ago(seconds: float, text: str) -> None:
    assert ago(seconds) == text


def test_moments() -> None:
    prometheus, store = moment("2026-11-25T14:42:12.123456789Z"), moment("2026-11-25T14:42:12.123456Z")
    assert prometheus == store is not None
    assert moment("long ago") is None
