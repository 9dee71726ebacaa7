"""Grafana dashboards: known to Grafana's published schema, asking what exists, in PromQL that Prometheus reads."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import CollectorRegistry

from assay.contract.document import Contract
from assay.contract.versions import Versions
from assay.monitor.dashboards import render_dashboards
from assay.monitor.metrics import _GAUGES, Metrics
from assay.monitor.promtool import find_promtool
from assay.monitor.rule_settings import RuleSettings
from assay.monitor.rules import render_rules
from tests.e2e.harness import ROOT

HOSTILE = 'sa"l\\{{ary $x <b>'
BINS = {"rows": 1000, "edges": [10.0], "share": {"b0": 0.5, "b1": 0.5}}
CONTRACT = Contract.parse(
    {
        "type": "object",
        "properties": {
            "fare": {"type": "number", "x-assay": {"bins": BINS}},
            HOSTILE: {"type": "number", "x-assay": {"bins": BINS}},
            "plain": {"type": "string"},
        },
    },
    dataset="d",
    version=1,
)
SETTINGS = RuleSettings()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return render_dashboards([CONTRACT], SETTINGS)


@pytest.fixture(scope="module")
def dashboards(files: dict[str, bytes]) -> dict[str, Any]:
    return {name: json.loads(data) for name, data in files.items() if name.endswith(".json")}


def expressions(dashboards: dict[str, Any]) -> Iterator[str]:
    for dashboard in dashboards.values():
        for panel in dashboard["panels"]:
            yield from (target["expr"] for target in panel.get("targets", []))


def test_the_same_contracts_give_the_same_bytes(files: dict[str, bytes]) -> None:
    assert render_dashboards([CONTRACT], SETTINGS) == files


def test_grafanas_schema_knows_all_of_it(dashboards: dict[str, Any]) -> None:
    # The SDK is generated from Grafana's schemas: what they do not know would be lost on the way through its types.
    for document in dashboards.values():
        again = JSONEncoder(sort_keys=True).encode(Dashboard.from_json(document))
        assert json.loads(again) == document


def test_panels_lie_side_by_side_and_have_names_of_their_own(dashboards: dict[str, Any]) -> None:
    for document in dashboards.values():
        taken: set[tuple[int, int]] = set()
        for panel in document["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
            assert at["x"] + at["w"] <= 24
            assert not cells & taken
            taken |= cells
        titles = [panel["title"] for panel in document["panels"]]
        assert len(titles) == len(set(titles))
    assert len({document["uid"] for document in dashboards.values()}) == len(dashboards)


def test_each_field_with_a_profile_has_a_panel(dashboards: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in dashboards["dashboards/d.json"]["panels"]]
    assert "fare" in titles
    assert HOSTILE in titles
    assert "plain" not in titles


def test_it_asks_for_what_exists(dashboards: dict[str, Any]) -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.watch(CONTRACT, "enforce")
    metrics.last_event("d", 1.0)
    exposed = {f"assay_{name}" for name in _GAUGES} | set(
        re.findall(r"^(assay_\w+)", metrics.exposition(None)[0].decode(), re.MULTILINE)
    )
    recorded = set(re.findall(r"record: '?(assay:[\w:]+)", render_rules([CONTRACT], SETTINGS).decode()))
    for expression in expressions(dashboards):
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
        assert set(re.findall(r"\bassay_\w+", outside)) <= exposed, expression
        assert set(re.findall(r"\bassay:[\w:]+", outside)) <= recorded, expression


def test_prometheus_reads_every_query(dashboards: dict[str, Any], tmp_path: Path) -> None:
    promtool = find_promtool([ROOT / ".tools/prometheus/usr/bin"])
    if promtool is None:
        pytest.skip("no promtool; bin/test.sh brings one")
    rules = [
        {"record": f"query:{i}", "expr": expression.replace("$__rate_interval", "1m")}
        for i, expression in enumerate(expressions(dashboards))
    ]
    assert len(rules) > 15
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_provisioning_names_the_source_and_the_folder(files: dict[str, bytes]) -> None:
    sources = yaml.safe_load(files["provisioning/datasources/assay.yml"])["datasources"]
    assert [(each["type"], each["url"]) for each in sources] == [("prometheus", "http://localhost:9000")]
    (provider,) = yaml.safe_load(files["provisioning/dashboards/assay.yml"])["providers"]
    assert provider["options"]["path"] == "$ASSAY_DASHBOARDS"
    other = render_dashboards([CONTRACT], SETTINGS, prometheus_url="http://prometheus:9090")
    assert b"http://prometheus:9090" in other["provisioning/datasources/assay.yml"]


def test_long_names_stay_apart() -> None:
    names = ["a" * 62 + end for end in "bc"]
    found = render_dashboards([Contract.parse({"type": "object"}, dataset=name, version=1) for name in names], SETTINGS)
    uids = {json.loads(found[f"dashboards/{name}.json"])["uid"] for name in names}
    assert len(uids) == 2
    assert all(len(uid) <= 40 for uid in uids)


def test_the_repositorys_own_are_up_to_date() -> None:
    folder = ROOT / "promconfig/grafana"
    contract = Versions(ROOT / "contracts").load("agrawal", 1)
    made = render_dashboards([contract], RuleSettings(base_url="http://127.0.0.1:8080"))
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")} == made
