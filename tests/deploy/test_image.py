"""The Dockerfile, against what the package is and what the other files of deploy/ count on. It is not built here."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from assay import __version__
from assay.settings import Settings
from tests.deploy.files import COMPOSE, DEPLOY, ROOT, dockerfile, environment, instructions


def copied() -> list[str]:
    """What the build takes from the repository."""
    return [
        source
        for name, arguments in instructions()
        if name == "COPY" and "--from" not in arguments
        for source in arguments.split()[:-1]
    ]


def test_what_is_copied_is_there_and_let_in() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "**" in ignored
    assert copied()
    for source in copied():
        path = ROOT / source
        assert path.exists(), source
        inside = [source] if path.is_file() else [f"{source}/assay/__init__.py"]
        assert [each for each in inside if not any(fnmatch.fnmatch(each, pattern) for pattern in let_in)] == []


def test_what_the_package_is_built_from_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [project["project"]["readme"], *project["project"]["license-files"]]
    needed += project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    needed += [str(Path(each).parent) for each in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
    assert [each for each in needed if each not in copied()] == []


def required(folder: Path, pyproject: Path, extras: str) -> tuple[list[str], list[str]]:
    """What is to be installed, and the pins, as the build has them."""
    subprocess.run(
        [sys.executable, DEPLOY / "requirements.py", pyproject, ROOT / "constraints.txt", extras],
        check=True,
        cwd=folder,
        capture_output=True,
    )
    return (folder / "requirements.txt").read_text().splitlines(), (folder / "pins.txt").read_text().splitlines()


@pytest.mark.parametrize("extras", ["", "ui", "ui,exchange"])
def test_the_requirements_are_those_of_the_extras(tmp_path: Path, extras: str) -> None:
    found, pins = required(tmp_path, ROOT / "pyproject.toml", extras)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found[: len(project["dependencies"])] == project["dependencies"]
    optional = project["optional-dependencies"]
    wanted = {
        each
        for extra in {*extras.split(","), *(["profile"] if "ui" in extras else [])} - {""}
        for each in optional[extra]
        if not each.startswith("assay[")
    }
    assert set(found[len(project["dependencies"]) :]) == wanted - set(project["dependencies"])
    assert pins == (ROOT / "constraints.txt").read_text().splitlines()


def test_what_an_extra_pins_is_not_pinned_twice(tmp_path: Path) -> None:
    """A lake's extensions are each for one DuckDB alone, which need not be that of the constraints."""
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(
        '[project]\nname = "assay"\ndependencies = ["duckdb>=1.5", "numpy>=2"]\n'
        '[project.optional-dependencies]\nlake = ["duckdb==1.5.5", "duckdb-extension-ducklake==1.5.5"]\nall = ["assay[lake]"]\n'
    )
    found, pins = required(tmp_path, pyproject, "all")
    assert found == ["duckdb>=1.5", "numpy>=2", "duckdb==1.5.5", "duckdb-extension-ducklake==1.5.5"]
    names = [line.partition("==")[0] for line in pins]
    assert "duckdb" not in names
    assert "numpy" in names


def test_an_extra_that_is_none_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, DEPLOY / "requirements.py", ROOT / "pyproject.toml", ROOT / "constraints.txt", "uu"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no extra uu" in done.stderr


def test_its_environment_is_assays_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path))
    settings = Settings(root=tmp_path)
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    volumes = re.findall(r"/\w+", dict(instructions())["VOLUME"])
    assert [str(settings.store.parent), environment()["ASSAY_WORKSPACE"]] == volumes
    assert settings.log_path.parent == settings.store.parent  # a disk that outlives the container
    assert f"EXPOSE {settings.port}" in dockerfile()


def test_it_runs_as_nobody_who_is_known_by_number() -> None:
    (user,) = (arguments for name, arguments in instructions() if name == "USER")
    uid, gid = user.split(":")
    assert f"groupadd --gid {gid} " in dockerfile()
    assert f"useradd --uid {uid} --gid {gid} " in dockerfile()
    assert f"install -d -o {uid} -g {gid} /data /workspace" in dockerfile()
    assert f"ASSAY_UID:-{uid}" in COMPOSE.read_text()
    assert f"uid={uid} gid={gid}" in (DEPLOY / "compose" / "setup.sh").read_text()


def test_it_is_stopped_as_the_service_expects_and_says_its_version() -> None:
    assert dict(instructions())["STOPSIGNAL"] == "SIGTERM"
    assert dict(instructions())["ENTRYPOINT"] == '["assay"]'
    assert dict(instructions())["CMD"] == '["serve"]'
    assert f"ARG VERSION={__version__}\n" in dockerfile()


def test_its_health_check_asks_a_service(tmp_path: Path) -> None:
    """The very command, against something that answers as a service would."""
    import http.server
    import json
    import os
    import threading

    (written,) = (arguments for name, arguments in instructions() if name == "HEALTHCHECK")
    command = json.loads(written.partition("CMD ")[2])
    asked: list[str] = []
    status = 200

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name there
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            command[0] = sys.executable
            environ = {**os.environ, "ASSAY_PORT": str(server.server_port)}
            assert subprocess.run(command, check=False, env=environ).returncode == 0
            status = 503
            assert subprocess.run(command, check=False, env=environ).returncode == 1
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/readyz", "/readyz"]
    assert subprocess.run(command, check=False, env=environ, capture_output=True).returncode == 1  # nobody is there


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not on PATH: pip install -r deploy/checks.txt")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
