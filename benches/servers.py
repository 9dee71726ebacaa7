"""Servers under test: real processes on loopback, each ended by its own pid."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from assay.errors import ServiceError

__all__ = ["Server", "assay_granian", "assay_uvicorn", "exercise", "noop_granian", "noop_uvicorn"]

_ROOT: Final = Path(__file__).parents[1]
_BIN: Final = Path(sys.executable).parent
_TICKS: Final = os.sysconf("SC_CLK_TCK")
#: What a process that the service starts is for, by a word of how it is started.
_ROLES: Final = {
    "apply_apart": "the process that applies",
    "assay.workers": "the workers",
    "spawn_main": "the processes that judge",
    "resource_tracker": "the processes that judge",
}


class Server:
    """A process that listens. Leaving the block ends it and its children."""

    def __init__(self, name: str, command: Sequence[str | Path], port: int, root: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.port = port
        self.root = root
        self._command = command
        self._env = {key: value for key, value in os.environ.items() if not key.startswith("ASSAY_")} | dict(env)
        self._env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f"{self.name}.out").open("ab") as out:
            self._process = subprocess.Popen(self._command, cwd=self.root, env=self._env, stdout=out, stderr=out)
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise ServiceError(
                    f"{self.name} did not start:\n{(self.root / f'{self.name}.out').read_text()[-2000:]}"
                )
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        children = self.pids()[1:]
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait(10)
        for pid in children:  # those that did not end with their parent
            with contextlib.suppress(OSError):
                os.kill(pid, 9)

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def pids(self) -> list[int]:
        """It and all of its descendants."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds of its processes so far, by what they do."""
        spent: dict[str, float] = {}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                started = Path(f"/proc/{pid}/cmdline").read_text()
                role = next((role for sign, role in _ROLES.items() if sign in started), "the service")
                spent[role] = spent.get(role, 0) + (int(fields[11]) + int(fields[12])) / _TICKS
        return spent

    def resident_bytes(self) -> int:
        """Resident memory of all of its processes; what they share is counted for each."""
        pages = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def ask(self, method: str, path: str, timeout_s: float = 120) -> tuple[int, bytes]:
        """Status and body of one request."""
        con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            con.request(method, path, headers={"Content-Length": "0"})
            answer = con.getresponse()
            return answer.status, answer.read()
        finally:
            con.close()

    def flush(self, timeout_s: float = 120) -> float:
        """Seconds until all that was acknowledged is in its table."""
        began = time.monotonic()
        while self.ask("POST", "/flush")[0] != 200:
            if time.monotonic() > began + timeout_s:
                raise ServiceError(f"{self.name} did not move everything within {timeout_s:g} s")
        return time.monotonic() - began

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/metrics", 2)[0] < 500
        return False


def assay_uvicorn(root: Path, contracts: Path, **settings: int | str) -> Server:
    """`assay serve`, as it is shipped, but for `settings`."""
    return Server("assay-uvicorn", [_BIN / "assay", "serve"], *_workspace(root, contracts, **settings))


def assay_granian(root: Path, contracts: Path) -> Server:
    """The same application under granian."""
    port, root, env = _workspace(root, contracts)
    return Server("assay-granian", _granian("benches.served:collecting", port), port, root, env)


def noop_uvicorn(root: Path) -> Server:
    """The no-op endpoint under uvicorn, run just as `assay serve` runs it."""
    port = _free_port()
    return Server("noop-uvicorn", [sys.executable, "-m", "benches.served", str(port)], port, root, {})


def noop_granian(root: Path) -> Server:
    """The no-op endpoint under granian."""
    port = _free_port()
    return Server("noop-granian", _granian("benches.served:idle", port), port, root, {})


def exercise(root: Path) -> Server:
    """The exercise's way."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "benches.baseline_exercise:app", "--port", str(port)]
    quiet = ["--no-access-log", "--log-level", "warning"]
    return Server("exercise", command + quiet, port, root, {"BENCH_STORE": str(root / "exercise.duckdb")})


def _workspace(root: Path, contracts: Path, **more: int | str) -> tuple[int, Path, dict[str, str]]:
    root.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    settings = {"store": str(root / "store.duckdb"), "contracts": str(contracts), "default_dataset": "agrawal", **more}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    (root / "assay.toml").write_text(f"{text}port = {port}\n")
    return port, root, {}


def _granian(target: str, port: int) -> list[str | Path]:
    # One worker: one process owns the log. Its thread settings are its defaults: others were not tried.
    fixed = ["--interface", "asgi", "--http", "1", "--no-ws", "--loop", "uvloop", "--workers", "1"]
    return [_BIN / "granian", *fixed, "--port", str(port), "--log-level", "warning", "--factory", target]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
