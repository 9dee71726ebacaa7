"""Room on the disk that is set aside for the log, so that freeing can go on when the disk is full.

To take records out of an SQLite database costs space before it gives some back. Without a reserve a full disk would
stay full: what the store has could not be freed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

__all__ = ["Reserve"]

_MOST_BYTES: Final = 64 << 20
#: On a disk with less room than twice this none is set aside, and after a release this must be there again.
_LEAST_BYTES: Final = 4 << 20


class Reserve:
    """The file `<log>.reserve`: 64 MiB, or half of the room on a disk that has less than twice as much."""

    def __init__(self, log: Path) -> None:
        self.path = log.with_name(log.name + ".reserve")
        #: It was given away because the disk was full, and there is no room for another.
        self.is_missing = False

    def make(self) -> None:
        """Set it aside, where there is room."""
        try:
            size = self._affordable()
            if size:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
                try:
                    os.posix_fallocate(descriptor, 0, size)
                finally:
                    os.close(descriptor)
                self.is_missing = False
        except OSError:  # somebody else was faster, or the file system cannot do it
            self._remove()

    def release(self) -> bool:
        """Give it away: there was one."""
        was_there = self._remove()
        self.is_missing |= was_there
        return was_there

    def discard(self) -> None:
        """In good order: who opens the log next makes another."""
        self._remove()

    def _affordable(self) -> int:
        """How much to set aside; 0 for none. One that is left from before is room too."""
        own = 0
        with contextlib.suppress(OSError):
            own = self.path.stat().st_blocks * 512
        disk = os.statvfs(self.path.parent)
        room = disk.f_bavail * disk.f_frsize + own
        size = min(_MOST_BYTES, room // 2)
        return max(size, own) if size >= _LEAST_BYTES else own

    def _remove(self) -> bool:
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
