"""What a bench ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import assay
from benches.report import table

__all__ = ["machine"]


def machine(packages: Sequence[str], more: Sequence[tuple[str, str]] = ()) -> str:
    """What a bench ran on, and with which versions of these packages: a Markdown table."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    rows = [
        ["date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")],
        ["processor", f"{model}, {os.cpu_count()} cores"],
        ["memory", f"{memory_gib:.1f} GiB"],
        ["kernel", f"{platform.system()} {platform.release()}"],
        ["disk", _disk()],
        ["Python", platform.python_version()],
        *([name, _version(name)] for name in packages),
        *map(list, more),
        ["commit", _commit()],
    ]
    return table(["machine", ""], rows)


def _disk() -> str:
    """The file system of the temporary folder, where all files of a bench are."""
    said = subprocess.run(
        ["df", "--output=fstype,source,size", tempfile.gettempdir()], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    kind, source, _ = (said[-1].split() if said else ["?"] * 3)[:3]
    spins = "".join(_lines(f"/sys/block/{Path(source).name}/queue/rotational")) == "1"
    return f"{kind} on {source}" + (" (rotational)" if spins else "")


def _commit() -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "?"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # assay may run from its sources.
        return assay.__version__ if name == "assay" else "not installed"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
