"""Which logs there are: the first one's own path, those of further workers with their number behind it."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["log_of", "logs_beside"]


def log_of(log: Path, number: int) -> Path:
    """The log of a worker; they are counted from 0."""
    return log if number == 0 else log.with_name(f"{log.name}.{number}")


def logs_beside(log: Path) -> list[Path]:
    """The logs of further workers that are there, by their numbers."""
    numbered = re.compile(re.escape(log.name) + r"\.([1-9][0-9]{0,3})")
    try:
        matches = [numbered.fullmatch(path.name) for path in log.parent.iterdir()]
    except OSError:
        return []
    return [log_of(log, number) for number in sorted(int(match[1]) for match in matches if match)]
