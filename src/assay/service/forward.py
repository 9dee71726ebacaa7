"""Hands a request on to the head, over a Unix socket, and its answer back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import httptools
from starlette.types import Receive, Scope, Send

from assay.service.problems import problem

__all__ = ["Forward"]

#: The bodies of what is not an event are small.
_MOST_BYTES: Final = 1 << 20
_AT_ONCE: Final = 64 << 10
#: About the connection, not the request. Whom the head takes a request to come from is ours to say alone.
_OWN: Final = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"expect", b"upgrade"}
    | {b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"}
)


class Forward:
    """ASGI application: all of a request's own goes to who listens at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the head does."""
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > _MOST_BYTES:
                await problem(413, f"a body of at most {_MOST_BYTES:,} bytes is taken here")(scope, receive, send)
                return
        answer = _Answer()
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._path))
            try:
                writer.write(_head(scope, len(body)) + body)
                while chunk := await reader.read(_AT_ONCE):
                    answer.feed(chunk)
                    await answer.pass_on(send)
            finally:
                writer.close()
        except OSError:
            pass
        if answer.is_begun:
            await send({"type": "http.response.body", "body": b""})
        else:
            response = problem(503, "the process that answers this is not there", headers={"Retry-After": "1"})
            await response(scope, receive, send)


def _head(scope: Scope, length: int) -> bytes:
    target = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    lines = [b"%s %s HTTP/1.1" % (scope["method"].encode(), target)]
    lines += [b"%s: %s" % (name, value) for name, value in scope["headers"] if name not in _OWN]
    if scope.get("client") is not None:
        lines.append(b"x-forwarded-for: " + scope["client"][0].encode())
    lines += [b"content-length: %d" % length, b"connection: close", b"", b""]
    return b"\r\n".join(lines)


class _Answer:
    """An answer as it comes. Its methods are the parser's to call."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._messages: list[dict[str, Any]] = []
        self.is_begun = False

    def feed(self, chunk: bytes) -> None:
        self._parser.feed_data(chunk)

    async def pass_on(self, send: Send) -> None:
        messages, self._messages = self._messages, []
        for message in messages:
            self.is_begun = True
            await send(message)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in {b"connection", b"date"}:  # its own are given to it here
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers = [(name, value) for name, value in self._headers if name != b"transfer-encoding"]
        self._messages.append({"type": "http.response.start", "status": status, "headers": headers})

    def on_body(self, body: bytes) -> None:
        self._messages.append({"type": "http.response.body", "body": body, "more_body": True})
