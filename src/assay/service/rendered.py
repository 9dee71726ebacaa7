"""`app/contracts.py` beside what is enforced: was it edited, is it behind? The service says so, and enforces the contracts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from assay.contract.source import bring_in, rendered
from assay.generated import is_edited

__all__ = ["RenderedModels"]


class RenderedModels:
    """The rendered file, looked at again and again. What two looks in a row find is said, once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: object = None
        self._found: str | None = None
        self._before: str | None = None
        self._said: str | None = None

    def remark(self, active: Mapping[str, int]) -> str | None:
        """What is to be said now, given the active version of each dataset; None where there is nothing new."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino, dict(active))
            if stamp != self._stamp:
                self._stamp, self._found = stamp, _judged(self._path.read_bytes(), active)
        except OSError:  # not rendered yet
            self._found = None
        # Whoever activates a version writes this file a moment later: it is late only at the second look.
        settled, self._before = self._found == self._before, self._found
        if not settled or self._found == self._said:
            return None
        self._said = self._found
        return self._found


def _judged(data: bytes, active: Mapping[str, int]) -> str | None:
    if is_edited(data):
        how = bring_in(sorted(active))
        return f"app/contracts.py was edited by hand, and what is enforced is the active contract; {how}"
    made_from = rendered(data.decode("utf-8", "replace"))
    if made_from is not None and made_from != {f"{dataset}@{number}" for dataset, number in active.items()}:
        return "app/contracts.py and promconfig/ are not those of the active contracts: `assay rules` is due"
    return None
