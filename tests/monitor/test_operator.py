from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.monitor.operator import RESOURCES, render_resource
from assay.monitor.promtool import check_rules, find_promtool
from assay.monitor.rules import RuleSettings, read_intervals, render_rules
from tests.monitor.samples import learned, nasty, types_only

LOCAL = Path(__file__).parents[2] / ".tools/prometheus/usr/bin"
SLOW = RuleSettings(scrape_interval_s=15, evaluation_interval_s=30)


def resource(kind: str, settings: RuleSettings) -> dict[str, Any]:
    document = yaml.safe_load(render_resource(kind, [learned(), types_only(), nasty()], settings))
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("kind", RESOURCES)
def test_the_same_contracts_in_any_order_give_the_same_bytes(kind: str) -> None:
    contracts = [learned(), types_only()]
    assert render_resource(kind, contracts, SLOW) == render_resource(kind, contracts[::-1], SLOW)


def test_the_resource_has_the_rules_of_the_file() -> None:
    contracts = [learned(), types_only(), nasty()]
    document = resource("prometheus-rule", SLOW)
    assert (document["apiVersion"], document["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert document["spec"] == yaml.safe_load(render_rules(contracts, SLOW))


def test_promtool_takes_what_the_resource_holds(tmp_path: Path) -> None:
    promtool = find_promtool([LOCAL])
    if promtool is None:
        pytest.skip("promtool is neither on PATH nor in .tools/: bin/test.sh installs it")
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(resource("prometheus-rule", SLOW)["spec"]))
    check_rules(path, promtool)


def test_the_operator_takes_the_fields_of_a_rule_as_they_are() -> None:
    """Its schema knows these fields alone, and wants text: a label that is a number would be refused."""
    for group in resource("prometheus-rule", SLOW)["spec"]["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
            assert isinstance(rule["expr"], str)
            texts = [*rule.get("labels", {}).values(), *rule.get("annotations", {}).values()]
            assert all(isinstance(text, str) for text in texts)


def test_pods_are_asked_as_often_as_the_rules_count_on() -> None:
    spec = resource("pod-monitor", SLOW)["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    asked = {"job_name": "assay", "scrape_interval": endpoint["interval"]}
    config = {"global": {"evaluation_interval": "30s"}, "scrape_configs": [asked]}
    assert read_intervals(yaml.safe_dump(config).encode()) == (15, 30)


def test_the_job_is_the_one_that_collector_down_asks_for() -> None:
    spec = resource("pod-monitor", SLOW)["spec"]
    (down,) = (
        rule
        for group in resource("prometheus-rule", SLOW)["spec"]["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "CollectorDown"
    )
    assert f'job="{spec["selector"]["matchLabels"][spec["jobLabel"]]}"' in down["expr"]
