from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.contract.document import Contract
from assay.contract.evidence import Bins
from assay.errors import UsageError
from assay.monitor.promtool import RulesRefused, check_rules, find_promtool, run_rule_tests
from assay.monitor.recording import drift_k, reject_share
from assay.monitor.rule_settings import seconds
from assay.monitor.rule_tests import TEST_FILE, render_rule_tests
from assay.monitor.rules import RULES_FILE, RuleSettings, read_intervals, render_rules
from tests.monitor.samples import contract, learned, moments, nasty, numbers, types_only

LOCAL = Path(__file__).parents[2] / ".tools/prometheus/usr/bin"
QUICK = RuleSettings(alert_windows=("1m",), alert_hold="0s")


@pytest.fixture(scope="module")
def promtool() -> Path:
    found = find_promtool([LOCAL])
    if found is None:
        pytest.skip("promtool is neither on PATH nor in .tools/: bin/test.sh installs it")
    return found


def write(folder: Path, contracts: list[Contract], settings: RuleSettings) -> None:
    (folder / RULES_FILE).write_bytes(render_rules(contracts, settings))
    (folder / TEST_FILE).write_bytes(render_rule_tests(contracts, settings))


def rules(contracts: list[Contract], settings: RuleSettings | None = None) -> list[dict[str, Any]]:
    document = yaml.safe_load(render_rules(contracts, settings or RuleSettings()))
    found: list[dict[str, Any]] = document["groups"][0]["rules"]
    return found


def names(contracts: list[Contract], settings: RuleSettings | None = None) -> list[str]:
    return [rule["alert"] for rule in rules(contracts, settings) if "alert" in rule]


@pytest.mark.parametrize(
    ("contracts", "settings"),
    [
        pytest.param([], RuleSettings(), id="no contract"),
        pytest.param([types_only()], RuleSettings(), id="written by hand"),
        pytest.param([learned(), types_only()], RuleSettings(), id="two datasets"),
        pytest.param([nasty()], QUICK, id="nasty names"),
        pytest.param([moments()], QUICK, id="moments"),
        pytest.param([learned(rows=600)], QUICK, id="one window, no hold, few rows"),
        pytest.param([learned(rows=20)], QUICK, id="hardly any rows"),
        pytest.param(
            [learned()], RuleSettings(scrape_interval_s=15, evaluation_interval_s=15), id="scraped every 15 s"
        ),
        pytest.param([learned()], RuleSettings(alert_windows=("10m",)), id="one long window"),
        pytest.param(
            [learned()],
            RuleSettings(scrape_interval_s=0.5, evaluation_interval_s=0.5, alert_windows=("30s",)),
            id="fast",
        ),
        pytest.param(
            [types_only()], RuleSettings(job='a"b\\', base_url="http://x/{{ y }}", alert_windows=("1m",)), id="escaped"
        ),
    ],
)
def test_promtool_agrees(promtool: Path, tmp_path: Path, contracts: list[Contract], settings: RuleSettings) -> None:
    write(tmp_path, contracts, settings)
    check_rules(tmp_path / RULES_FILE, promtool)
    run_rule_tests(tmp_path / TEST_FILE, promtool)


MUTATIONS = {
    "counts need more": ("3 + assay:", "30 + assay:"),
    "counts need less": ("+ 6 * sqrt(", "+ 1 * sqrt("),
    "drift base doubled": ("drift_base', expr: vector(0.02)", "drift_base', expr: vector(0.04)"),
    "drift base halved": ("drift_base', expr: vector(0.02)", "drift_base', expr: vector(0.01)"),
    "distance halved": ("2 * sum by (dataset, field)", "1 * sum by (dataset, field)"),
    "no floor": (") ^ 2", ")"),
    "never drifting": ("> on (dataset, field) assay:drift_limit", "> 9 * on (dataset, field) assay:drift_limit"),
    "any reject": ("> on (dataset) assay:reject_limit", "> on (dataset) 0 * assay:reject_limit"),
    "sources mixed": ("sum by (dataset, source) (assay:events", "sum by (dataset) (assay:events"),
    "no violations": ("assay_violations_total[", "assay_nothing_total["),
    "silence too late": ("> 45", "> 450"),
    "silence of all": ("\n      and on (dataset) assay:reject_share\n", "\n"),
    "silence too early": ("> 45", "> 30"),
    "silence of few": ("assay:silence_due > 20", "assay:silence_due > 5"),
    "silence of many": ("assay:silence_due > 20", "assay:silence_due > 50"),
    "drop": ("0.75 * assay:volume_expected", "0.6 * assay:volume_expected"),
    "drop too early": ("0.75 * assay:volume_expected", "0.9 * assay:volume_expected"),
    "surge": ("1.5 * assay:volume_expected", "1.8 * assay:volume_expected"),
    "surge too early": ("1.5 * assay:volume_expected", "1.3 * assay:volume_expected"),
    "replicas apart": ("sum by (dataset) (rate(", "max by (dataset) (rate("),
    "replicas not summed": ("sum by (dataset, field, bin) (increase(", "max by (dataset, field, bin) (increase("),
    "one version is two": ("(assay_contract_info)) > 1", "(assay_contract_info)) > 0"),
    "versions unseen": ("(assay_contract_info)) > 1", "(assay_contract_info)) > 2"),
    "versions at once": ("for: 1m", "for: 0s"),
    "down": ("absent(up{", "absent(upp{"),
    "up": ('absent(up{job="assay"} == 1)', 'absent(up{job="assay"} == 2)'),
    "backlog": ("(assay_log_oldest_seconds) > 60", "(assay_log_oldest_seconds) > 50"),
    "not storable": ("(increase(assay_not_storable_total[1m])) > 0", "(increase(assay_not_storable_total[1m])) >= 0"),
    "gain": ("* 0.916667", "* 0.6"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_rule_fails_its_tests(promtool: Path, tmp_path: Path, mutation: str) -> None:
    one = contract("shop", {"price": {"type": "number", "x-assay": {"bins": numbers()}}}, rows=10_000)
    windows = ("1m", "5m", "1h") if "volume" in MUTATIONS[mutation][0] else ("1m",)
    settings = RuleSettings(scrape_interval_s=5, evaluation_interval_s=15, alert_windows=windows)
    write(tmp_path, [one], settings)
    text = (tmp_path / RULES_FILE).read_text()
    old, new = MUTATIONS[mutation]
    assert old in text
    (tmp_path / RULES_FILE).write_text(text.replace(old, new))
    with pytest.raises(RulesRefused):
        run_rule_tests(tmp_path / TEST_FILE, promtool)


EVENTS = 'assay_events_total{dataset="agrawal", source="key", outcome='
ANNOTATED = f"""
rule_files: [{RULES_FILE}]
evaluation_interval: 5s
tests:
- interval: 5s
  input_series:
  - {{series: '{EVENTS}"rejected"}}', values: '0+1x12'}}
  - {{series: 'assay_violations_total{{dataset="agrawal", field="sa\\"l{{{{ary", type="missing"}}', values: '0+1x12'}}
  alert_rule_test:
  - alertname: RejectRate
    eval_time: 1m
    exp_alerts:
    - exp_labels: {{severity: page, dataset: agrawal}}
      exp_annotations:
        summary: 'agrawal: 11 events were rejected, expected 0.0, above the limit of 3.1'
        description: "Violations in 5m: sa\\"l{{{{ary (12). Rejected by source: key (12). Nothing is lost: rejected events \
are in quarantine. Fix the sender or the contract, then replay."
        dashboard: http://localhost:8080/ui/datasets/agrawal/quarantine
        runbook_url: http://localhost:8080/ui/runbook#rejectrate
  - alertname: FieldViolations
    eval_time: 1m
    exp_alerts:
    - exp_labels: {{severity: warn, dataset: agrawal, field: 'sa"l{{{{ary', type: missing}}
      exp_annotations:
        summary: 'agrawal: field sa"l{{{{ary: 11 violations of type missing, expected 0.0, above the limit of 3.1'
        description: "Look at the quarantine, grouped by fingerprint, for examples. Either the sender has a fault, or the \
contract is too narrow: then widen the field, activate, and replay the quarantine."
        dashboard: http://localhost:8080/ui/datasets/agrawal?field=sa%22l%7B%7Bary
        runbook_url: http://localhost:8080/ui/runbook#fieldviolations
"""


def test_an_alert_says_figure_and_limit(promtool: Path, tmp_path: Path) -> None:
    (tmp_path / RULES_FILE).write_bytes(render_rules([types_only()], RuleSettings()))
    (tmp_path / "a.yml").write_text(ANNOTATED)
    run_rule_tests(tmp_path / "a.yml", promtool)


RECOVERY = f"""
rule_files: [{RULES_FILE}]
evaluation_interval: 5s
tests:
- interval: 5s
  input_series:
  - {{series: '{EVENTS}"accepted"}}', values: '0+100x12 1200+0x24 1200+100x60'}}
  - {{series: '{EVENTS}"rejected"}}', values: '0+0x12 10+10x23 240+0x60'}}
  promql_expr_test:
  - expr: count by (alertname) (ALERTS{{alertstate="firing"}})
    eval_time: 75s
    exp_samples: ALERTING
  - expr: count by (alertname) (ALERTS{{alertstate="firing"}})
    eval_time: 185s
    exp_samples: ALERTING
  - expr: count by (alertname) (ALERTS{{alertstate="firing"}})
    eval_time: 255s
""".replace(
    "ALERTING",
    "[{labels: '{alertname=\"RejectRate\"}', value: 1}, {labels: '{alertname=\"SourceRejectRate\"}', value: 1}]",
)


def test_an_alert_ends_with_its_reason(promtool: Path, tmp_path: Path) -> None:
    text = render_rules([types_only()], QUICK).decode()
    (tmp_path / RULES_FILE).write_text(text)
    (tmp_path / "a.yml").write_text(
        RECOVERY.replace('alertstate="firing"', 'alertstate="firing",alertname!="CollectorDown"')
    )
    run_rule_tests(tmp_path / "a.yml", promtool)


def test_same_input_same_bytes() -> None:
    contracts, settings = [types_only(), learned(), nasty()], RuleSettings()
    for render in (render_rules, render_rule_tests):
        assert render(contracts, settings) == render(contracts[::-1], settings)


ALL = [
    "FieldDrift",
    "FieldRareBin",
    "FieldViolations",
    "RejectRate",
    "SourceRejectRate",
    "Silence",
    "VolumeDrop",
    "VolumeSurge",
    "NotStorable",
    "ContractsDiffer",
    "LogBacklog",
    "CollectorDown",
]


def test_which_alerts_there_are() -> None:
    assert names([learned()]) == ALL
    assert names([types_only()]) == ALL[2:]
    assert names([learned()], QUICK) == [name for name in ALL if not name.startswith("Volume")]


def test_only_the_windows_that_are_set() -> None:
    text = render_rules([learned()], QUICK).decode()
    assert set(re.findall(r"\[(\d+[a-z]+)\]", text)) == {"1m"}
    assert "n5m" not in text
    assert "keep_firing_for" not in text
    assert "keep_firing_for: 5m" in render_rules([learned()], RuleSettings()).decode()


@pytest.mark.parametrize(("bins", "k"), [(2, 26.6), (5, 36.3), (10, 48), (11, 50.2), (20, 67.4)])
def test_k_is_the_quantile_of_chi_squared(bins: int, k: float) -> None:
    assert drift_k(Bins.parse(numbers(bins=bins))) == pytest.approx(k, abs=0.06)


def test_shares_that_clean_data_may_lose() -> None:
    assert reject_share(types_only()) == 1e-5
    assert reject_share(learned(rows=2_000)) == 1 / 2_000
    assert reject_share(learned(rows=100_000)) == pytest.approx(2e-4)
    constants = {
        (rule["record"], rule["labels"].get("field")): rule["expr"]
        for rule in rules([learned()])
        if "labels" in rule and "record" in rule
    }
    assert constants["assay:violation_share:own", "price"] == "vector(0.0002)"
    assert constants["assay:rows", "to.zip"] == "vector(10000)"


@pytest.mark.parametrize(
    ("text", "expected"), [("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("0", 0), ("0s", 0), ("1d", 86_400)]
)
def test_durations(text: str, expected: float) -> None:
    assert math.isclose(seconds(text), expected)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5m1h", "1.5h", "5x"])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text)


@pytest.mark.parametrize("windows", [(), ("10s",), ("1m", "x")])
def test_windows_that_cannot_work(windows: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        render_rules([types_only()], RuleSettings(alert_windows=windows))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (60, 60)),
        ("global: {scrape_interval: 15s}", (15, 60)),
        ("global: {scrape_interval: 15s, evaluation_interval: 5s}\nscrape_configs: [{job_name: assay}]", (15, 5)),
        ("scrape_configs: [{job_name: other, scrape_interval: 1s}, {job_name: assay, scrape_interval: 5s}]", (5, 60)),
    ],
)
def test_intervals_are_read(text: str, expected: tuple[float, float]) -> None:
    assert read_intervals(text.encode()) == expected


@pytest.mark.parametrize("text", ["{", "[1]", "global: {scrape_interval: often}"])
def test_no_prometheus_configuration(text: str) -> None:
    with pytest.raises(UsageError):
        read_intervals(text.encode())
