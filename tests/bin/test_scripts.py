"""bin/*: they parse, set up what they need once, and stop what they started."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.glob("bin/*.sh"), ROOT / ".ci/run", ROOT / "scripts/check"])


def until(is_so: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_running(pid: int) -> bool:
    """Whether there is such a process; a zombie that nobody has waited for is none."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses_and_can_be_run(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    assert os.access(script, os.X_OK) is not script.name.startswith("_")


# ---- bin/_setup.sh, with a Python that lacks ensurepip and a pip that installs nothing

FAKE_PIP = """
import os, pathlib, sys, time
here = pathlib.Path(sys.prefix).parent
if sys.argv[1:] != ["--version"]:
    with open(here / "installs.txt", "a") as file:
        print(*sys.argv[1:], file=file)
    (here / "pip.pid").write_text(str(os.getpid()))
    time.sleep(float(os.environ.get("FAKE_PIP_TAKES", "0")))
    if (here / "no-network").exists():
        sys.exit("no network")
"""

# What a wheel of pip does when it is run: it puts pip into the environment.
FAKE_WHEEL = f"""
import pathlib, sysconfig
pip = pathlib.Path(sysconfig.get_path("purelib"), "pip")
pip.mkdir()
(pip / "__init__.py").touch()
(pip / "__main__.py").write_text({FAKE_PIP!r})
"""


@dataclass(frozen=True)
class Checkout:
    root: Path
    environment: dict[str, str]

    def begin(self, commands: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", f". '{self.root}/bin/_setup.sh'; {commands}"],
            cwd="/",
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, commands: str) -> tuple[int, str]:
        with self.begin(commands) as process:
            said, _ = process.communicate(timeout=60)
            return process.returncode, said

    @property
    def installs(self) -> list[str]:
        log = self.root / "installs.txt"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a checkout"
    shutil.copytree(ROOT / "bin", root / "bin")
    for name in ("pyproject.toml", "constraints.txt"):
        (root / name).write_text(name)
    wheel = root / ".tools/pip/usr/share/python-wheels/pip-0-py3-none-any.whl/pip"
    wheel.mkdir(parents=True)
    (wheel / "__main__.py").write_text(FAKE_WHEEL)
    (tmp_path / "lacks/ensurepip").mkdir(parents=True)
    (tmp_path / "lacks/ensurepip/__init__.py").write_text("raise ImportError")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/lacks exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return Checkout(root, {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHON": str(python)})


def test_an_environment_is_made_without_ensurepip_and_only_once(checkout: Checkout) -> None:
    assert checkout.run("need_python profile") == (0, "assay: installing into .venv (the first time about a minute)\n")
    (install,) = checkout.installs
    assert install.endswith(f"-c {checkout.root}/constraints.txt -e {checkout.root}[profile]")
    assert checkout.run("need_python profile") == (0, "")
    assert len(checkout.installs) == 1


def test_it_installs_again_when_the_pins_change(checkout: Checkout) -> None:
    checkout.run("need_python profile")
    (checkout.root / "constraints.txt").write_text("others")
    checkout.run("need_python profile")
    assert len(checkout.installs) == 2


def test_dev_is_all_that_the_others_need(checkout: Checkout) -> None:
    checkout.run("need_python dev; need_python profile; need_python datagen")
    assert len(checkout.installs) == 1


def test_what_tests_lakes_is_all_that_a_demo_of_one_needs(checkout: Checkout) -> None:
    assert checkout.run("lake_python dev; lake_python profile,datagen; echo $LAKE")[1].endswith("/.tools/lake\n")
    (install,) = (checkout.root / ".tools/installs.txt").read_text().splitlines()
    assert install.endswith(f"-e {checkout.root}[dev,lake]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param("--store", "assay: --store needs duckdb or ducklake", id="no store"),
        pytest.param(
            "--store=lake", "assay: there is no store lake: --store takes duckdb or ducklake", id="unknown store"
        ),
        pytest.param("--quick", "assay: demo.sh knows no --quick", id="unknown option"),
    ],
)
def test_a_demo_with_wrong_arguments_installs_nothing(checkout: Checkout, arguments: str, said: str) -> None:
    code, lines = checkout.run(f"'{checkout.root}/bin/demo.sh' {arguments}")
    assert code == 2
    assert lines.startswith(f"{said}\nusage: bin/demo.sh ")
    assert checkout.installs == []


def test_a_demo_tells_its_options(checkout: Checkout) -> None:
    code, lines = checkout.run(f"'{checkout.root}/bin/demo.sh' --help")
    assert code == 0
    assert "--store ducklake" in lines
    assert checkout.installs == []


def test_two_scripts_at_once_install_once(checkout: Checkout) -> None:
    with (
        checkout.begin("need_python profile", FAKE_PIP_TAKES="1") as one,
        checkout.begin("need_python profile") as other,
    ):
        said = one.communicate(timeout=60)[0] + other.communicate(timeout=60)[0]
    assert (one.returncode, other.returncode, len(checkout.installs)) == (0, 0, 1)
    assert "waiting for another script" in said


def test_a_failed_install_says_why_and_is_tried_again(checkout: Checkout) -> None:
    cause = checkout.root / "no-network"
    cause.touch()
    code, said = checkout.run("need_python profile; echo went on")
    assert code == 1
    assert said.endswith("no network\nassay: could not install assay[profile] into .venv\n")
    cause.unlink()
    assert checkout.run("need_python profile")[0] == 0
    assert len(checkout.installs) == 2


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the process in /proc")
def test_a_stopped_script_stops_its_install(checkout: Checkout) -> None:
    file = checkout.root / "pip.pid"
    with checkout.begin("need_python profile", FAKE_PIP_TAKES="60") as process:
        assert until(lambda: file.exists() and file.read_text() != "", 30)
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert not is_running(int(file.read_text()))


def test_a_python_that_is_too_old_is_named(checkout: Checkout) -> None:
    code, said = checkout.run("PYTHON=false; need_python profile")
    assert (code, said.splitlines()[-1]) == (1, "assay: PYTHON=false is no Python 3.11 or newer")


# ---- bin/monitor.sh, with a real Prometheus

RULES = """
groups:
  - name: assay
    rules:
      - alert: {alert}
        expr: vector(1) > 2
"""


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def get(port: int, path: str) -> Any:
    """The answer's JSON; None while nobody answers with a 200."""
    connection = http.client.HTTPConnection("localhost", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


@dataclass(frozen=True)
class Monitor:
    process: subprocess.Popen[str]
    port: int
    alertmanager_port: int
    rules: Path
    said: Path
    environment: dict[str, str]

    def alerts(self) -> list[str]:
        answer = get(self.port, "/api/v1/rules")
        return [rule["name"] for group in answer["data"]["groups"] for rule in group["rules"]] if answer else []

    def children(self) -> list[int]:
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a monitor.sh beside whichever other runs on this machine."""
    if not (shutil.which("prometheus") or (ROOT / ".tools/prometheus").exists()):
        pytest.skip("no Prometheus; bin/test.sh brings one")
    config = tmp_path / "promconfig"
    shutil.copytree(ROOT / "promconfig", config)
    for rules in config.glob("*rules*.yml"):
        rules.unlink()
    return os.environ | {
        "MONITOR_PORT": str(free_port()),
        "ALERTMANAGER_PORT": str(free_port()),
        "MONITOR_DATA": str(tmp_path / "data"),
        "PROMCONFIG": str(config),
        "TARGET": f"localhost:{free_port()},localhost:{free_port()}",
    }


@pytest.fixture
def monitor(environment: dict[str, str], tmp_path: Path) -> Iterator[Monitor]:
    rules = Path(environment["PROMCONFIG"], "data_quality_rules.yml")
    rules.write_text(RULES.format(alert="First"))
    said = tmp_path / "said.txt"
    with (
        said.open("w") as output,
        subprocess.Popen(
            [ROOT / "bin/monitor.sh"], cwd="/", env=environment, stdout=output, stderr=output, text=True
        ) as process,
    ):
        port, alertmanager_port = int(environment["MONITOR_PORT"]), int(environment["ALERTMANAGER_PORT"])
        it = Monitor(process, port, alertmanager_port, rules, said, environment)
        try:
            assert until(lambda: it.alerts() == ["First"], 30), said.read_text()
            yield it
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.e2e
def test_a_change_is_loaded_within_5_s_and_a_broken_one_is_not(monitor: Monitor) -> None:
    monitor.rules.write_text(RULES.format(alert="Second"))
    assert until(lambda: monitor.alerts() == ["Second"], 5)
    assert monitor.said.read_text() == ""

    monitor.rules.write_text(RULES.format(alert="Broken") + "        expr: twice\n")
    assert until(lambda: monitor.said.read_text().endswith("the old rules stay\n"), 5)
    assert f"assay: {monitor.rules} is broken\n" in monitor.said.read_text()
    assert monitor.alerts() == ["Second"]
    # Nor does it reach Prometheus when somebody else has it read its files again.
    connection = http.client.HTTPConnection("localhost", monitor.port, timeout=5)
    connection.request("POST", "/-/reload")
    assert connection.getresponse().status == 200
    connection.close()
    assert monitor.alerts() == ["Second"]

    monitor.rules.unlink()
    monitor.rules.write_text(RULES.format(alert="Third"))
    assert until(lambda: monitor.alerts() == ["Third"], 5)


@pytest.mark.e2e
def test_the_targets_can_be_others(monitor: Monitor) -> None:
    def targets() -> list[str]:
        answer = get(monitor.port, "/api/v1/targets")
        return [target["labels"]["instance"] for target in answer["data"]["activeTargets"]]

    assert until(lambda: sorted(targets()) == sorted(monitor.environment["TARGET"].split(",")), 10)


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_that_it_started(monitor: Monitor, number: signal.Signals) -> None:
    children = monitor.children()
    assert children
    monitor.process.send_signal(number)
    assert monitor.process.wait(20) == 128 + number
    assert not any(is_running(pid) for pid in children)
    assert get(monitor.port, "/-/ready") is None


@pytest.mark.e2e
def test_alertmanager_runs_beside_it(monitor: Monitor) -> None:
    if not (shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")):
        pytest.skip("no Alertmanager; bin/test.sh brings one in CI")
    assert until(lambda: get(monitor.alertmanager_port, "/api/v2/status") is not None, 15), monitor.said.read_text()
    urls = [f"http://localhost:{monitor.alertmanager_port}/api/v2/alerts"]

    def told() -> list[str]:
        return [one["url"] for one in get(monitor.port, "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]]

    assert until(lambda: told() == urls, 15)


def fails(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [ROOT / "bin/monitor.sh"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.mark.e2e
def test_a_taken_port_is_named(environment: dict[str, str]) -> None:
    with socket.create_server(("localhost", int(environment["MONITOR_PORT"]))):
        assert f"port {environment['MONITOR_PORT']} is taken" in fails(environment)


@pytest.mark.e2e
def test_it_does_not_start_with_broken_rules(environment: dict[str, str]) -> None:
    rules = Path(environment["PROMCONFIG"], "data_quality_rules.yml")
    rules.write_text("groups: [")
    assert fails(environment).endswith(f"assay: {rules} is broken\nassay: nothing was started\n")
