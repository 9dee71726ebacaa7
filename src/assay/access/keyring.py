"""The keys that a running service goes by. It looks at their file twice a second, as at contracts: decision 0004.

Whatever is wrong with the file, the door stays shut. A service that has seen keys asks for them until it ends: a file that
vanishes opens nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from assay.access.keys import Key, KeyFile, id_of
from assay.errors import AssayError, KeysFailed

__all__ = ["Keyring"]

_log = structlog.get_logger("assay")

_EVERY_S: Final = 0.5

_Stamp: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read last: replaced whole, so that no request sees half of it."""

    is_asked: bool = False
    keys: Mapping[str, Key] = field(default_factory=dict)
    trouble: AssayError | None = None


class Keyring:
    """Knows a key when it sees one."""

    def __init__(self, file: KeyFile, *, is_quiet: bool = False) -> None:
        """`is_quiet`: another process, which goes by the same file, says what becomes of it."""
        self._file = file
        self._is_quiet = is_quiet
        self._known = _Known()
        self._stamp: _Stamp | None = None

    @property
    def is_asked(self) -> bool:
        """Whether a key is asked for. Not before the first one is made."""
        return self._known.is_asked

    @property
    def trouble(self) -> AssayError | None:
        """Why nobody can be told from anybody now; None where all is well."""
        return self._known.trouble

    def find(self, presented: str) -> Key | None:
        """What is known of a key that somebody came with; None: it is none, or none any more."""
        key = self._known.keys.get(id_of(presented))
        return key if key is not None and key.is_key(presented) else None

    def get(self, key_id: str) -> Key | None:
        """The key of that id, as long as it is in force."""
        return self._known.keys.get(key_id)

    def look(self) -> None:
        """Take up what changed in the file. Raises nothing: what is wrong is `trouble`."""
        before = self._known
        try:
            stamp = _stamp(self._file.path)
            if stamp is not None and stamp == self._stamp:
                return
            self._known, self._stamp = self._read(before), stamp
        except Exception as error:  # noqa: BLE001  whatever it is, the door stays shut
            trouble = error if isinstance(error, AssayError) else KeysFailed(self._file.path, str(error))
            self._known, self._stamp = _Known(is_asked=True, trouble=trouble), None
        if not self._is_quiet:
            self._tell(before)

    async def watch(self) -> None:
        """Look again and again, beside the requests, until cancelled."""
        loop = asyncio.get_running_loop()
        # In a thread of its own: a key must not stay good for as long as other work holds all the others.
        with ThreadPoolExecutor(1, thread_name_prefix="assay-keys") as own:
            while True:
                await asyncio.sleep(_EVERY_S)
                await loop.run_in_executor(own, self.look)

    def _read(self, before: _Known) -> _Known:
        keys = self._file.read()
        if keys is not None:
            return _Known(is_asked=True, keys={each.id: each for each in keys if each.revoked_at is None})
        if before.is_asked:
            raise KeysFailed(self._file.path, "is gone; bring it back, or start the service anew to go on without keys")
        return before

    def _tell(self, before: _Known) -> None:
        now = self._known
        if now.trouble is not None:
            if str(now.trouble) != str(before.trouble):
                _log.error("no key is known: nothing that needs one is answered", reason=str(now.trouble))
        elif now.is_asked and (not before.is_asked or before.trouble is not None):
            _log.info("keys are asked for", keys=len(now.keys))
        else:
            for key in now.keys.keys() - before.keys.keys():
                _log.info("key taken up", key=key, name=now.keys[key].name)
            for key in before.keys.keys() - now.keys.keys():
                _log.info("key revoked", key=key, name=before.keys[key].name)


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
