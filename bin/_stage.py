"""Processes, and what they say of themselves: the stage that `_demo.py` tells its story on."""  # noqa: INP001

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["ROOT", "Failed", "Interrupted", "Prometheus", "Stage", "ask", "free_port"]

ROOT = Path(__file__).parents[1]

_T = TypeVar("_T")
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # to this machine, never through a proxy


class Failed(Exception):
    """Something did not hold; the message says what."""


class Interrupted(Exception):
    """Ctrl-C, or a signal that asks to end."""


class Stage:
    """The folder, the processes in it, and the clock. Every wait is in `until`, which notices signals and deaths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.began = time.monotonic()
        self.environment = _environment()
        self.signal: int | None = None
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _: object) -> None:
        self.signal = number

    def start(self, name: str, script: str, *arguments: str, **environment: str) -> None:
        """Start bin/SCRIPT; what it says goes to NAME.log."""
        self.start_as(os.getuid(), name, ROOT / "bin" / script, *arguments, **environment)

    def start_as(self, user: int, name: str, program: Path, *arguments: str, **environment: str) -> None:
        """Start a program as somebody, whom only root may choose."""
        other = None if user == os.getuid() else pwd.getpwuid(user)
        with self.log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [program, *arguments],
                cwd=self.folder,
                env=self.environment | environment,
                user=other and other.pw_uid,
                group=other and other.pw_gid,
                extra_groups=other and [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C reaches this script alone, which stops the others in order
            )

    def stop(self, *names: str) -> list[int]:
        """Ask them to end, and insist after 25 s: monitor.sh may need 20 to stop its own. Their exit codes."""
        processes = [self._running.pop(name) for name in names]
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + 25
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return [process.returncode for process in processes]

    def stop_all(self) -> None:
        """Stop whatever still runs, the newest first."""
        self.stop(*reversed(self._running))

    def finish(self, name: str, within_s: float) -> str:
        """Wait until it has ended well: what it said on stdout and stderr."""
        process = self._running[name]
        code = self.until(process.poll, within_s, f"{name} has ended", may_end=name)
        del self._running[name]
        said = self.log(name).read_text().rstrip()
        if code != 0:
            raise Failed(f"{name} ended with {code}:\n{said}")
        return said

    def until(self, look: Callable[[], _T | None], within_s: float, what: str, *, may_end: str = "") -> _T:
        """Look again until there is something to see: that."""
        deadline = time.monotonic() + within_s
        while True:
            if self.signal is not None:
                raise Interrupted
            for name, process in self._running.items():
                if name != may_end and process.poll() is not None:
                    end = "\n".join(self.log(name).read_text().splitlines()[-15:])
                    raise Failed(f"{name} ended before its time:\n{end}")
            if (seen := look()) is not None:
                return seen
            if time.monotonic() > deadline:
                raise Failed(f"within {within_s:g} s it did not come true that {what}")
            time.sleep(0.1)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def seconds(self) -> float:
        return time.monotonic() - self.began


def _environment() -> dict[str, str]:
    """What this script was given, without what a person may have set for a service or a load of theirs."""
    theirs = ("ASSAY_", "LOCUST_", "ANOMALY", "RATE", "SEED")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)}


def ask(url: str, body: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
    """GET, or POST when there is a body: status and answer; (0, b"") when nobody listens."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "X-Assay-Source": "demo"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 (http, to ourselves)
    try:
        with _direct.open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()
    except OSError:
        return 0, b""


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class Prometheus:
    """Prometheus, through its own API."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://localhost:{port}"

    def is_ready(self) -> bool | None:
        return ask(f"{self.url}/-/ready")[0] == 200 or None

    def data(self, path: str, **query: str) -> Any:
        status, body = ask(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        return json.loads(body)["data"] if status == 200 else None

    def alerting_rules(self) -> int | None:
        """How many there are, once it has evaluated each of them."""
        groups = (self.data("rules", type="alert") or {"groups": []})["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return len(rules) if rules and all(rule["health"] == "ok" for rule in rules) else None

    def firing(self) -> list[dict[str, Any]] | None:
        """The alerts that fire now; None when it did not answer."""
        found = self.data("alerts")
        return None if found is None else [alert for alert in found["alerts"] if alert["state"] == "firing"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found = self.data("query", query=expression)
        if found is None:
            raise Failed(f"Prometheus does not answer {expression}")
        result: list[dict[str, Any]] = found["result"]
        return result
