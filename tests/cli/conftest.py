"""Running commands: in this process where only what they say matters, in one of their own where signals and pipes do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.cli.run import run
from tests.conftest import Bench

ASSAY = Path(sys.executable).with_name("assay")


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: object
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its `--json` result."""
        return json.loads(self.out)


Command = Callable[..., Ran]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A workspace that commands find, and a port of its own that nobody listens on."""
    for name in os.environ:
        if name.startswith("ASSAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("ASSAY_PORT", str(free_port()))
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)


@pytest.fixture
def assay(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in the workspace, in this process."""

    def command(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            run(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ran(ended.value.code, out, err)

    return command


@contextmanager
def serving(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`assay serve` in a process of its own, until the block ends."""
    with subprocess.Popen([ASSAY, "serve", *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
            process.wait()
