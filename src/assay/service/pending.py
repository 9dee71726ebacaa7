"""The bodies in memory: from a request's first byte until its answer, all requests together, bounded."""

from __future__ import annotations

from assay.errors import Overloaded

__all__ = ["Held", "Pending"]


class Pending:
    """Counts bytes. For one event loop: not thread-safe, but to read."""

    def __init__(self, max_bytes: int) -> None:
        self.bytes = 0
        self.max_bytes = max_bytes


class Held:
    """What one request has in memory: `take` each piece, and `release` all in the end."""

    __slots__ = ("_own", "_pending")

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._own = 0

    def take(self, size: int) -> None:
        """One piece more; a request alone may always be whole.

        Raises:
            Overloaded: the bodies of all requests would take more than there is room for.
        """
        pending = self._pending
        if pending.bytes > self._own and pending.bytes + size > pending.max_bytes:
            raise Overloaded(f"requests hold max_pending_bytes = {pending.max_bytes:,} already; try again")
        self._own += size
        pending.bytes += size

    def release(self) -> None:
        """The request is answered."""
        self._pending.bytes -= self._own
        self._own = 0
