"""uvicorn's HTTP protocol: each answer in one write, the most frequent one ready made, and a way for the application to hang up."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from assay.service.collect import AT_ONCE, HANG_UP

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
        """A request begins: tell the application how to answer it at once, and how to hang up."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {HANG_UP: {"close": self.transport.abort}, AT_ONCE: {"send": self._at_once}}

    def _at_once(self, scope: Scope, answer: bytes) -> bool:
        """Write an answer of status 200, from its own headers on, in one step: a tenth of what a request costs.

        False, and nothing is written, where uvicorn must see to it: another request came behind this one, or the connection closes.
        """
        cycle = self.cycle
        is_plain = cycle.keep_alive and not (cycle.response_started or cycle.disconnected or self.flow.write_paused)
        if cycle.scope is not scope or not is_plain:
            return False
        own = cycle.default_headers
        if own is not _Head.headers:
            _Head.headers = own
            _Head.data = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % header for header in own)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self._joined.write_now(_Head.data + answer)
        cycle.message_event.set()
        cycle.on_response()
        return True


class _Head:
    """uvicorn's own headers, which change once a second, as they are written."""

    headers: ClassVar[list[tuple[bytes, bytes]] | None] = None
    data: ClassVar[bytes] = b""


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

    def write_now(self, data: bytes) -> None:
        """Write `data`, after what waits."""
        if self._written:
            self._written.append(data)
            self.flush()
        else:
            self._transport.write(data)

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
