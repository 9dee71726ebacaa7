"""Being asked to stop: by a signal, at any moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Stop", "Stoppable"]


class Stoppable(Protocol):
    """A server, as far as it is asked to stop."""

    should_exit: bool


class Stop:
    """A handler of signals, before a server is there and after. `first` is done before the server is asked."""

    def __init__(self) -> None:
        self.is_asked = False
        self.server: Stoppable | None = None
        self.first: Callable[[], object] | None = None

    def __call__(self, *_: object) -> None:
        """Stop in good order."""
        self.is_asked = True
        if self.first is not None:
            self.first()
        elif self.server is not None:
            self.server.should_exit = True
