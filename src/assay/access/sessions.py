"""Sessions of people on the pages: a browser shows a key once, and keeps a token in its place.

They live in memory. A session is as good as its key: it ends with it, at once. It also ends when nobody used it for half a
day, when the person says so, and when the service does.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Final

from assay.access.keyring import Keyring
from assay.access.keys import Key

__all__ = ["COOKIE", "Sessions"]

COOKIE: Final = "assay_session"

_IDLE_S: Final = 12 * 3600.0
_MOST: Final = 10_000


class Sessions:
    """Who is logged in. `clock` is in seconds, and never goes back."""

    def __init__(self, keyring: Keyring, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keyring = keyring
        self._clock = clock
        self._open: dict[
            bytes, tuple[str, float]
        ] = {}  # by the token's digest: the key's id, when it was used; oldest first

    def begin(self, key: Key) -> str:
        """A session of who came with a key: the token that the browser keeps."""
        token = secrets.token_urlsafe(32)
        while len(self._open) >= _MOST:
            del self._open[next(iter(self._open))]
        self._open[_digest(token)] = key.id, self._clock()
        return token

    def find(self, token: str) -> Key | None:
        """The key that a session was begun with; None where there is none, or none any more."""
        kept = self._open.pop(_digest(token), None)
        if kept is None:
            return None
        key_id, used = kept
        now = self._clock()
        key = self._keyring.get(key_id)
        if key is None or now - used > _IDLE_S:
            return None
        self._open[_digest(token)] = key_id, now
        return key

    def end(self, token: str) -> None:
        """Forget a session."""
        self._open.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    """A dictionary looks up at the pace of what it holds: so it holds no token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
