"""Prometheus' own judge of rules: promtool, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from assay.errors import ContractError, ServiceError

__all__ = ["RulesRefused", "check_rules", "find_promtool", "run_rule_tests"]

_TIMEOUT_S = 300


class RulesRefused(ContractError):
    """Promtool refuses the file at `path`; `output` is what it said."""

    def __init__(self, path: Path, output: str) -> None:
        self.path = path
        self.output = output
        super().__init__(f"promtool refuses {path}:\n{output}")


def find_promtool(extra_dirs: Iterable[Path] = ()) -> Path | None:
    """The promtool on PATH, else the first in `extra_dirs`, else None."""
    found = shutil.which("promtool")
    if found is not None:
        return Path(found)
    for folder in extra_dirs:
        candidate = shutil.which("promtool", path=str(folder))
        if candidate is not None:
            return Path(candidate)
    return None


def check_rules(path: Path, promtool: Path) -> None:
    """Have the rules file read as Prometheus would.

    Raises:
        RulesRefused: it is not a rules file.
        ServiceError: promtool could not be run.
    """
    _run([str(promtool), "check", "rules", path.name], path)


def run_rule_tests(path: Path, promtool: Path, *, timeout_s: float = _TIMEOUT_S) -> None:
    """Run the unit tests of rules in the file at `path`, beside the rules that it names.

    Raises:
        RulesRefused: one of them fails.
        ServiceError: promtool could not be run.
    """
    _run([str(promtool), "test", "rules", path.name], path, timeout_s)


def _run(command: list[str], path: Path, timeout_s: float = _TIMEOUT_S) -> None:
    try:
        done = subprocess.run(
            command, cwd=path.parent, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"promtool could not be run: {error}") from error
    if done.returncode:
        raise RulesRefused(path, (done.stdout + done.stderr).strip())
