"""Imports point down: what pyproject.toml says of the layers holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_imports_point_down() -> None:
    ran = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
