"""uvicorn's HTTP protocol, with a way for the application to close a connection without an answer."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from assay.service.collect import HANG_UP

__all__ = ["Protocol"]


class Protocol(HttpToolsProtocol):
    """What uvicorn takes by default where httptools is installed."""

    def on_message_begin(self) -> None:
        """A request begins: tell the application how to hang up."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {HANG_UP: {"close": self.transport.abort}}
