"""uvicorn's HTTP protocol: each answer in one write, and a way for the application to hang up without one."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from assay.service.collect import HANG_UP

__all__ = ["Joined", "Protocol"]


class Protocol(HttpToolsProtocol):
    """What uvicorn takes by default where httptools is installed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        self._joined = Joined(transport, self.loop)
        super().connection_made(self._joined)  # type: ignore[arg-type]

    def eof_received(self) -> None:
        """A client will send no more, and its connection closes: not before it has what was written to it."""
        self._joined.flush()
        super().eof_received()

    def on_message_begin(self) -> None:
        """A request begins: tell the application how to hang up."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {HANG_UP: {"close": self.transport.abort}}


class Joined:
    """A transport that makes one write of two: what is written first waits for the next, to the end of the loop's turn at most.

    uvicorn writes an answer's head and its body apart. uvloop makes a system call of each write at once, and one to a
    socket is as dear as judging an event.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []
        # What a request asks for often is asked of the transport itself.
        self.abort = transport.abort
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        """Write `data`: with what waits, else with what comes next."""
        self._written.append(data)
        if len(self._written) > 1:
            self.flush()
        else:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what there is now."""
        written, self._written = self._written, []
        if written and not self._transport.is_closing():
            self._transport.write(b"".join(written))

    def close(self) -> None:
        """Write what there is, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
