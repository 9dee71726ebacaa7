"""The compose file and what lies beside it, against assay and against each other. Nothing is started here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.monitor.rules import read_intervals
from assay.settings import Settings
from tests.deploy.files import AWAITED, COMPOSE, DEPLOY, ROOT, compose, environment

FOLDER = COMPOSE.parent
COLLECTORS = ("collector-1", "collector-2")


def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def settings_of(service: dict[str, Any]) -> dict[str, str]:
    """The settings of assay that a service gets, by their names."""
    found = {**environment(), **service["environment"]}
    return {name.removeprefix("ASSAY_").lower(): value for name, value in found.items() if name.startswith("ASSAY_")}


@pytest.mark.parametrize("name", [*COLLECTORS, "assay"])
def test_every_setting_is_one(name: str) -> None:
    given = settings_of(services()[name])
    unknown = [each for each in given if each not in Settings.model_fields and each != "workspace"]
    assert set(unknown) <= AWAITED


def test_only_what_keeps_a_log_differs_between_the_collectors() -> None:
    first, second = (services()[name] for name in COLLECTORS)
    assert {key for key in first if first[key] != second[key]} == {"volumes"}
    (shared, log), (also_shared, other_log) = first["volumes"], second["volumes"]
    assert shared == also_shared
    assert shared.endswith(":/workspace")
    assert log != other_log
    for volume in (log, other_log):
        folder, _, place = volume.rpartition(":")
        assert Path(settings_of(first)["log"]).is_relative_to(place)
        assert folder.removeprefix("./") in (FOLDER / "setup.sh").read_text()


@pytest.mark.parametrize("name", services())
def test_every_service_is_confined(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(each.startswith("/tmp") for each in service["tmpfs"])
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(service)
    assert not re.search(r":latest$|^[^:]+$", service["image"])


def test_every_service_that_stays_says_how_it_is() -> None:
    """The collectors say it in the image."""
    silent = {name for name, each in services().items() if "healthcheck" not in each}
    assert silent == {*COLLECTORS, "assay", "bucket"}
    for name, each in services().items():
        for other, asked in each.get("depends_on", {}).items():
            assert asked["condition"] != "service_started", f"{name} on {other}"


def test_only_the_balancer_is_open_and_only_where_one_says_so() -> None:
    ports = {name: each["ports"] for name, each in services().items() if "ports" in each}
    for name, published in ports.items():
        for each in published:
            assert each.startswith("127.0.0.1:" if name != "balancer" else "${ASSAY_LISTEN:-127.0.0.1:8080}:"), each
    assert "postgres" not in ports
    assert compose()["networks"]["lake"]["internal"] is True


def test_no_secret_is_in_the_file() -> None:
    for name, service in services().items():
        for variable in service.get("environment", {}):
            secret = re.search(r"PASSWORD|SECRET|TOKEN|_KEY", variable)
            assert not secret or variable.endswith(("_FILE", "__FILE")), f"{name}: {variable}"
    for name, secret in compose()["secrets"].items():
        assert set(secret) == {"file"}, name
        assert f"make {Path(secret['file']).name}" in (FOLDER / "setup.sh").read_text()
    used = {each for service in services().values() for each in service.get("secrets", ())}
    assert used == set(compose()["secrets"])


def test_a_stop_has_the_time_that_it_needs() -> None:
    for name in COLLECTORS:
        service = services()[name]
        grace_s = int(service["stop_grace_period"].removesuffix("s"))
        assert grace_s >= 2 * int(settings_of(service)["shutdown_s"])


def test_set_up_makes_what_is_mounted_and_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(".env", "secrets", "state", "workspace"))
    run = [folder / "setup.sh"]
    environ = {"PATH": "/usr/bin:/bin"}
    subprocess.run(run, check=True, env=environ, cwd=tmp_path)
    made = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for secret in compose()["secrets"].values():
        assert (folder / secret["file"]).stat().st_size > 16
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    assert (folder / "secrets" / "pgpass").stat().st_mode & 0o777 == 0o600  # libpq reads no other
    assert (folder / "state" / "log-1").is_dir()
    assert (folder / "workspace").stat().st_mode & 0o777 == 0o755
    password = (folder / "secrets" / "postgres_password").read_text()
    assert re.fullmatch("[0-9a-f]{48}", password)
    assert (folder / "secrets" / "pgpass").read_text() == f"postgres:5432:lake:lake:{password}\n"
    subprocess.run(run, check=True, env=environ, cwd=tmp_path)
    assert made == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    ignored = (FOLDER / ".gitignore").read_text().split()
    fresh = {path.name for path in folder.iterdir()} - {path.name for path in FOLDER.iterdir()}
    assert {name.rstrip("/") for name in ignored} >= fresh


# ---- Prometheus, Grafana, the balancer


def test_prometheus_asks_both_as_the_rules_count_on() -> None:
    own, workspaces = FOLDER / "prometheus.yml", ROOT / "src/assay/cli/workspace/promconfig/prometheus.yml"
    assert read_intervals(own.read_bytes()) == read_intervals(workspaces.read_bytes())
    (job,) = (each for each in yaml.safe_load(own.read_text())["scrape_configs"] if each["job_name"] == "assay")
    port = environment()["ASSAY_PORT"]
    assert job["static_configs"] == [{"targets": [f"{name}:{port}" for name in COLLECTORS]}]


def test_what_is_read_of_the_workspace_is_what_assay_writes() -> None:
    from assay.monitor.dashboards import FOLDER as GRAFANA
    from assay.monitor.rules import RULES_FILE

    mount = "${ASSAY_WORKSPACE:-./workspace}/promconfig:/etc/assay:ro"
    for name in ("prometheus", "alertmanager", "grafana"):
        assert mount in services()[name]["volumes"]
    assert yaml.safe_load((FOLDER / "prometheus.yml").read_text())["rule_files"] == [f"/etc/assay/{RULES_FILE}"]
    grafana = services()["grafana"]["environment"]
    assert grafana["GF_PATHS_PROVISIONING"] == f"/etc/assay/{GRAFANA}/provisioning"
    assert grafana["ASSAY_DASHBOARDS"] == f"/etc/assay/{GRAFANA}/dashboards"
    assert "--config.file=/etc/assay/alertmanager.yml" in services()["alertmanager"]["command"]
    assert (ROOT / "src/assay/cli/workspace/promconfig/alertmanager.yml").exists()  # `assay init` makes it


def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    from assay.monitor.promtool import find_promtool

    promtool = find_promtool([ROOT / ".tools/prometheus/usr/bin"])
    if promtool is None:
        pytest.skip("promtool is neither on PATH nor in .tools/: bin/test.sh installs it")
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", FOLDER / "prometheus.yml"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_balancer_knows_the_collectors_and_asks_whether_they_are_ready() -> None:
    text = (FOLDER / "haproxy.cfg").read_text()
    port = environment()["ASSAY_PORT"]
    for name in COLLECTORS:
        assert len(re.findall(rf"^ +server {name} {name}:{port}\b", text, flags=re.MULTILINE)) == 2
    assert set(re.findall(r"http-check send meth GET uri (\S+)", text)) == {"/readyz"}
    assert "bind :8080\n" in text
    assert ":8080" in services()["balancer"]["ports"][0]
    assert "127.0.0.1:8404/healthz" in " ".join(services()["balancer"]["healthcheck"]["test"])
    # A request that a collector has seen is not sent again by anybody but its sender.
    assert re.findall(r"^ *retry-on (.+)$", text, flags=re.MULTILINE) == ["conn-failure"]


def test_haproxy_takes_the_configuration() -> None:
    haproxy = shutil.which("haproxy")
    if haproxy is None:
        pytest.skip("haproxy is not on PATH: apt-get install haproxy")
    done = subprocess.run([haproxy, "-c", "-f", FOLDER / "haproxy.cfg"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_yamllint_has_nothing_to_say() -> None:
    yamllint = shutil.which("yamllint")
    if yamllint is None:
        pytest.skip("yamllint is not on PATH: pip install -r deploy/checks.txt")
    rules = "{extends: relaxed, rules: {line-length: disable}}"
    done = subprocess.run([yamllint, "-s", "-d", rules, DEPLOY], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
