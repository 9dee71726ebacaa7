"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["write_atomic", "write_new"]


def write_atomic(path: Path, data: bytes, *, mode: int | None = None, owner: tuple[int, int] | None = None) -> None:
    """Put `data` at `path`, durably: written beside it, synced, renamed over it. A reader sees the old bytes or the new.

    Missing folders are made. Its permissions are `mode`, from the first byte on; without it an existing file's are kept. It
    belongs to `owner`, a user and a group, else to who writes.

    Raises:
        OSError: it could not be written; what was at `path` is untouched.
    """
    temporary = _beside(path, data, mode, owner)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_new(path: Path, data: bytes) -> None:
    """The same, for a path that must not exist yet.

    Raises:
        FileExistsError: somebody was first.
        OSError: it could not be written.
    """
    temporary = _beside(path, data)
    try:
        os.link(temporary, path)  # fails where rename would overwrite
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _beside(path: Path, data: bytes, mode: int | None = None, owner: tuple[int, int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode is None:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    # For its owner alone until it is whole.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fsync(file.fileno())
        Path(name).chmod(mode)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
