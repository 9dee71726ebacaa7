"""A real Alertmanager with our configuration: one fault, one message, and what it explains is held back."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as attribute
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.monitor.alerts import alerts
from assay.monitor.rule_settings import RuleSettings
from tests.e2e.harness import NDJSON, ROOT, Load, Prometheus, Service, free_port, lines, until

pytestmark = pytest.mark.e2e

CONFIG = ROOT / "promconfig/alertmanager.yml"
TEMPLATE = ROOT / "src/assay/cli/workspace/promconfig/alertmanager.yml"
SHOP = {"dataset": "shop"}


def test_every_workspace_has_it() -> None:
    assert TEMPLATE.read_bytes() == CONFIG.read_bytes()


def test_it_names_alerts_that_exist() -> None:
    known = {alert.name for alert in alerts(RuleSettings(), profiled=True)}
    for rule in yaml.safe_load(CONFIG.read_text())["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            name, operator, pattern = re.fullmatch(r'(\w+)(=~?)"(.+)"', matcher).groups()  # type: ignore[union-attr]
            assert name == "alertname"
            parts = pattern.split("|") if operator == "=~" else [re.escape(pattern)]
            assert all(any(re.fullmatch(part, each) for each in known) for part in parts), matcher


def test_amtool_agrees() -> None:
    if not shutil.which("amtool"):
        pytest.skip("no amtool; it comes with Alertmanager")
    done = subprocess.run(["amtool", "check-config", CONFIG], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Manager:
    """Alertmanager, and who it tells."""

    port: int
    told: list[dict[str, Any]] = attribute(default_factory=list)

    def fire(self, *labels: dict[str, str]) -> None:
        body = json.dumps([{"labels": each, "annotations": {}} for each in labels]).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v2/alerts", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def messages(self) -> list[set[str]]:
        """The alerts of each message, by name."""
        return [{alert["labels"]["alertname"] for alert in message["alerts"]} for message in self.told]

    def held_back(self) -> set[str]:
        """The alerts that another explains, by name."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v2/alerts", timeout=10) as answer:
            every = json.load(answer)
        return {alert["labels"]["alertname"] for alert in every if alert["status"]["inhibitedBy"]}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with managing(tmp_path) as it:
        yield it


@contextmanager
def managing(folder: Path, *, send_resolved: bool = False, group_interval: str = "5m") -> Iterator[Manager]:
    """An Alertmanager with our configuration, which tells us instead of a team."""
    program = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
    if program is None:
        pytest.skip("no Alertmanager here")
    it = Manager(free_port())

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            it.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = yaml.safe_load(CONFIG.read_text())
    config["route"] |= {"group_wait": "1s", "group_interval": group_interval}
    config["receivers"] = [
        {
            "name": "team",
            "webhook_configs": [{"url": f"http://127.0.0.1:{server.server_port}/", "send_resolved": send_resolved}],
        }
    ]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    log = folder / "alertmanager.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{it.port}",
                "--cluster.listen-address=",
            ],
            stdout=output,
            stderr=output,
        )
    try:
        assert until(lambda: _answers(it.port), 20), log.read_text()
        yield it
    finally:
        process.terminate()
        process.wait(10)
        server.shutdown()
        server.server_close()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
            return True
    except OSError:
        return False


def field(alert: str, name: str, **more: str) -> dict[str, str]:
    return {"alertname": alert, **SHOP, "field": name, **more}


def dataset(alert: str, **more: str) -> dict[str, str]:
    return {"alertname": alert, **SHOP, **more}


FAULTS: dict[str, tuple[Sequence[dict[str, str]], set[str]]] = {
    "a unit changes": (
        [
            field("FieldDrift", "price"),
            field("FieldRareBin", "price", bin="high"),
            field("FieldViolations", "price", type="less_than_equal"),
            dataset("RejectRate"),
            dataset("SourceRejectRate", source="till"),
        ],
        {"FieldDrift", "RejectRate"},
    ),
    "the senders stop": ([dataset("Silence"), dataset("VolumeDrop")], {"Silence"}),
    "the collectors differ": (
        [dataset("ContractsDiffer"), field("FieldDrift", "price"), dataset("RejectRate")],
        {"ContractsDiffer"},
    ),
    "another field": (
        [field("FieldDrift", "price"), field("FieldRareBin", "city", bin="null")],
        {"FieldDrift", "FieldRareBin"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_is_one_message(manager: Manager, fault: str) -> None:
    raised, sent = FAULTS[fault]
    manager.fire(*raised)
    assert until(lambda: len(manager.told) > 0, 20)
    assert manager.messages() == [sent]
    assert manager.held_back() == {each["alertname"] for each in raised} - sent


def test_no_collector_explains_all_datasets(manager: Manager) -> None:
    manager.fire(dataset("Silence"), {"alertname": "Silence", "dataset": "till"}, {"alertname": "CollectorDown"})
    assert until(lambda: len(manager.told) > 0, 20)
    assert until(lambda: manager.held_back() == {"Silence"}, 10)
    assert manager.messages() == [{"CollectorDown"}]


def test_an_alert_of_real_data_is_told_with_links_that_work_and_then_resolved(
    tmp_path: Path, prometheus_program: Path
) -> None:
    """Collector, Prometheus and Alertmanager: one message for one fault, pages that open, and all clear."""
    broken = [False]
    with (
        managing(tmp_path, send_resolved=True, group_interval="2s") as it,
        Service(tmp_path / "workspace", environment={"ASSAY_ALERT_WINDOWS": "1m"}, alert_hold="0s") as service,
    ):
        schema = {"type": "object", "properties": {"fare": {"type": "number", "maximum": 100}}, "required": ["fare"]}
        service.enforce("rides", schema)
        prometheus = Prometheus(prometheus_program, service, alertmanager=it.port)
        assert service.run("rules").returncode == 0
        service.start()

        def step(_: int) -> None:
            service.post("/collect/rides", lines([{"fare": 5_000 if broken[0] else 50}] * 20), NDJSON)

        with prometheus, Load(1, step, per_second=4):
            assert until(lambda: prometheus.get("/api/v1/query?query=assay:events:n1m")["result"] != [], 30)
            broken[0] = True
            assert until(lambda: _has(it, "firing", "RejectRate"), 60), it.told
            broken[0] = False
            assert until(lambda: _has(it, "resolved", "RejectRate"), 150), it.told[-1]

        message = next(each for each in it.told if each["status"] == "firing")
        assert message["groupLabels"] == {"dataset": "rides"}
        # What RejectRate explains is held back, or was told before it.
        for alert in (alert for each in it.told for alert in each["alerts"]):
            assert "rides" in alert["annotations"]["summary"]
            for link in ("dashboard", "runbook_url"):
                page, _, anchor = alert["annotations"][link].partition("#")
                assert page.startswith(f"http://127.0.0.1:{service.port}/ui/")
                with urllib.request.urlopen(page, timeout=10) as answer:
                    text = answer.read().decode()
                assert not anchor or f'id="{anchor}"' in text
        (firing,) = (each for each in message["alerts"] if each["labels"]["alertname"] == "RejectRate")
        assert firing["annotations"]["dashboard"].endswith("/ui/datasets/rides/quarantine")


def _has(it: Manager, status: str, name: str) -> bool:
    """Whether a message said of an alert that it fires, or does no more."""
    return any(
        alert["status"] == status and alert["labels"]["alertname"] == name
        for message in it.told
        for alert in message["alerts"]
    )
