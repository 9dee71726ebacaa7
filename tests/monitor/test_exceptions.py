from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from assay.errors import UsageError
from assay.monitor.exceptions import AlertException, exception_records, exception_remarks
from assay.monitor.promtool import check_rules, find_promtool, run_rule_tests
from assay.monitor.promtool_case import selector
from assay.monitor.rule_tests import TEST_FILE, render_rule_tests
from assay.monitor.rules import RULES_FILE, RuleSettings, render_rules
from tests.monitor.samples import contract, learned

LOCAL = Path(__file__).parents[2] / ".tools/prometheus/usr/bin"


def exception(
    alert: str = "FieldDrift",
    *,
    reason: str = "so",
    field: str = "",
    source: str = "",
    widen: float | None = None,
    until: date = date(1970, 1, 12),
) -> AlertException:
    """One that ends as the 13th day begins. promtool begins with the first."""
    return AlertException(alert, "shop", reason, until, field=field, source=source, widen=widen)


@pytest.mark.parametrize(
    ("alert", "more", "says"),
    [
        pytest.param("Drift", {}, "no such alert; take one of FieldDrift", id="no such alert"),
        pytest.param("CollectorDown", {}, "no such alert", id="one without exceptions"),
        pytest.param("FieldDrift", {"reason": " "}, "say why", id="no reason"),
        pytest.param("RejectRate", {"field": "price"}, "no label field", id="no such label"),
        pytest.param("FieldDrift", {"source": "till"}, "no label source", id="no such label either"),
        pytest.param("FieldDrift", {"widen": 1.0}, "a factor above 1", id="not wider"),
        pytest.param("FieldDrift", {"widen": float("nan")}, "a factor above 1", id="no number"),
        pytest.param("Silence", {"widen": 2.0}, "mute = true", id="no limit"),
    ],
)
def test_what_could_not_work_is_refused(alert: str, more: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        exception(alert, **more)  # type: ignore[arg-type]


def test_two_about_the_same_are_refused() -> None:
    with pytest.raises(UsageError, match="FieldDrift of shop is there twice"):
        exception_records([exception(), exception(widen=2)])


def test_what_is_said_of_them() -> None:
    today = date(2026, 11, 25)
    every = [
        exception(field="price", until=today),
        exception(field="price", until=date(2026, 11, 24)),
        exception(field="colour", until=today),
        AlertException("Silence", "attic", "so", today),
    ]
    assert exception_remarks(every, [learned()], today=today) == [
        "FieldDrift of shop.price: the exception ended on 2026-11-24; the alert is in force again. Take it out",
        "FieldDrift of shop.colour: the active contract has no such field, so the exception means nothing",
        "Silence of attic: no contract of that dataset is active, so the exception means nothing",
    ]


@pytest.fixture(scope="module")
def promtool() -> Path:
    found = find_promtool([LOCAL])
    if found is None:
        pytest.skip("promtool is neither on PATH nor in .tools/: bin/test.sh installs it")
    return found


EVENTS = 'assay_events_total{dataset="shop", source="till", outcome='
# Nine rejected events in ten minutes, for more than twelve days; the limit is 3.1.
TEST = f"""
rule_files: [{RULES_FILE}]
evaluation_interval: 1h
tests:
- interval: 1m
  input_series:
  - {{series: '{EVENTS}"rejected"}}', values: '0+1x17400'}}
  - {{series: 'assay_violations_total{{dataset="shop", field="price", type="missing"}}', values: '0+1x17400'}}
  - {{series: 'assay_violations_total{{dataset="shop", field="tax", type="missing"}}', values: '0+1x17400'}}
  promql_expr_test:
  - {{expr: 'count by (alertname, field) (ALERTS{{alertname=~"Field.*|.*Reject.*"}})', eval_time: 287h, exp_samples: DURING}}
  - {{expr: 'count by (alertname, field) (ALERTS{{alertname=~"Field.*|.*Reject.*"}})', eval_time: 289h, exp_samples: AFTER}}
"""
ALL = {("RejectRate", ""), ("SourceRejectRate", ""), ("FieldViolations", "price"), ("FieldViolations", "tax")}


def samples(firing: set[tuple[str, str]]) -> str:
    each = [{"alertname": alert} | ({"field": field} if field else {}) for alert, field in sorted(firing)]
    return str([{"labels": selector("", labels), "value": 1} for labels in each])


@pytest.mark.parametrize(
    ("exceptions", "quiet"),
    [
        pytest.param([], set(), id="none"),
        pytest.param([exception("RejectRate")], {("RejectRate", "")}, id="muted"),
        pytest.param([exception("RejectRate", widen=3)], {("RejectRate", "")}, id="widened"),
        pytest.param([exception("RejectRate", widen=1.5)], set(), id="not widened enough"),
        pytest.param([exception("SourceRejectRate", source="till")], {("SourceRejectRate", "")}, id="a source"),
        pytest.param([exception("SourceRejectRate", source="other", widen=9)], set(), id="another source"),
        pytest.param(
            [exception("FieldViolations", field="price")], {("FieldViolations", "price")}, id="a field, muted"
        ),
        pytest.param(
            [
                exception("FieldViolations", field="tax", widen=9),
                exception("FieldViolations", field="price", widen=1.1),
            ],
            {("FieldViolations", "tax")},
            id="a field, widened",
        ),
        pytest.param(
            [exception("FieldViolations", widen=9), exception("FieldViolations", field="tax")],
            {("FieldViolations", "price"), ("FieldViolations", "tax")},
            id="all fields, and one of them",
        ),
    ],
)
def test_an_exception_holds_until_its_day_is_over(
    promtool: Path, tmp_path: Path, exceptions: list[AlertException], quiet: set[tuple[str, str]]
) -> None:
    one = contract("shop", {"price": {"type": "number"}, "tax": {"type": "number"}})
    settings = RuleSettings(
        scrape_interval_s=60,
        evaluation_interval_s=3600,
        alert_windows=("10m",),
        alert_hold="0s",
        exceptions=tuple(exceptions),
    )
    (tmp_path / RULES_FILE).write_bytes(render_rules([one], settings))
    (tmp_path / "a.yml").write_text(TEST.replace("DURING", samples(ALL - quiet)).replace("AFTER", samples(ALL)))
    check_rules(tmp_path / RULES_FILE, promtool)
    run_rule_tests(tmp_path / "a.yml", promtool)


def test_the_generated_tests_try_the_rules_without_them(promtool: Path, tmp_path: Path) -> None:
    settings = RuleSettings(alert_windows=("1m",), alert_hold="0s", exceptions=(exception(), exception("Silence")))
    (tmp_path / RULES_FILE).write_bytes(render_rules([learned()], settings))
    (tmp_path / TEST_FILE).write_bytes(render_rule_tests([learned()], settings))
    run_rule_tests(tmp_path / TEST_FILE, promtool)


def test_every_alert_takes_its_exceptions(promtool: Path, tmp_path: Path) -> None:
    from assay.monitor.exceptions import _MUTED_ONLY, ALERT_LABELS

    every = [exception(alert, widen=2) for alert in ALERT_LABELS if alert not in _MUTED_ONLY]
    every += [exception(alert) for alert in _MUTED_ONLY]
    every += [exception(alert, **{label: "x"}) for alert, labels in ALERT_LABELS.items() for label in labels]  # type: ignore[arg-type]
    (tmp_path / RULES_FILE).write_bytes(render_rules([learned()], RuleSettings(exceptions=tuple(every))))
    check_rules(tmp_path / RULES_FILE, promtool)
