"""Answers are written once, and whole, whatever the client does."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from assay.service.protocol import Joined, Protocol
from tests.conftest import NUMBER, Bench, until
from tests.service.test_hang_up import REQUEST


class Pipe:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.writes.append(data)

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str) -> str:
        return name


def joined(pipe: Pipe) -> Joined:
    return Joined(cast("asyncio.Transport", pipe), asyncio.get_running_loop())


@given(st.lists(st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=4), max_size=5))
def test_two_writes_are_made_one_and_none_waits_beyond_its_turn(turns: list[list[bytes]]) -> None:
    async def run() -> Pipe:
        pipe = Pipe()
        transport = joined(pipe)
        for number, turn in enumerate(turns, 1):
            for data in turn:
                transport.write(data)
            await asyncio.sleep(0)
            assert b"".join(pipe.writes) == b"".join(map(b"".join, turns[:number]))
        return pipe

    assert asyncio.run(run()).writes == [b"".join(turn[i : i + 2]) for turn in turns for i in range(0, len(turn), 2)]


@pytest.mark.parametrize(("end", "left"), [("close", [b"head"]), ("abort", [])])
def test_closing_writes_what_there_is_and_aborting_does_not(end: str, left: list[bytes]) -> None:
    async def run() -> Pipe:
        pipe = Pipe()
        transport = joined(pipe)
        transport.write(b"head")
        getattr(transport, end)()
        await asyncio.sleep(0)
        assert transport.get_extra_info("peername") == "peername"
        return pipe

    pipe = asyncio.run(run())
    assert (pipe.writes, pipe.is_closed) == (left, True)


@contextmanager
def listening(app: Any, http: type[HttpToolsProtocol]) -> Iterator[int]:
    """Where a service listens that speaks by this protocol."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", http=http, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def port(bench: Bench) -> Iterator[int]:
    """Where a service of the kind that `assay serve` starts listens."""
    bench.enforce("d", {"a": NUMBER})
    with listening(bench.service().client.app, Protocol) as port:
        yield port


def answers(connection: socket.socket) -> list[str]:
    """The status of each answer that comes until the connection is closed."""
    received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return re.findall(r"HTTP/1.1 (\d+)", received.decode())


def test_requests_sent_at_once_are_answered_in_turn(port: int) -> None:
    last = REQUEST.replace(b"Length: 7", b"Length: 8\r\nConnection: close") + b'{"a":""}'
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(2 * (REQUEST + b'{"a":1}') + last)
        assert answers(connection) == ["200", "200", "422"]


def test_the_head_of_an_answer_comes_without_its_body(port: int) -> None:
    head = b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = head.replace(b"HEAD", b"GET").replace(b"localhost", b"localhost\r\nConnection: close")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + last)
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    first, second = re.split(rb"(?<!^)(?=HTTP/1.1 200 OK)", received)
    assert first.endswith(b"\r\n\r\n")
    assert second.endswith(b'\r\n\r\n{"ok":true}')
    assert b"content-length: 11\r\n" in first


def test_what_is_no_http_is_answered_before_the_end(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"what?\r\n\r\n")
        assert answers(connection) == ["400"]


def test_a_client_that_has_said_all_still_gets_what_was_written(port: int) -> None:
    head = REQUEST.replace(b"Content-Length: 7", b"Expect: 100-continue\r\nContent-Length: 7")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")
        connection.sendall(b'{"a":1}')
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        connection.shutdown(socket.SHUT_WR)
        assert answers(connection) == []


def test_no_call_of_the_transport_is_lost(port: int) -> None:
    """What uvicorn asks of a transport beyond writing still reaches it: a body beyond its bound pauses reading."""
    body = b"[" + b",".join([b'{"a":1}'] * 200_000) + b"]"
    head = REQUEST.replace(b"Content-Length: 7", f"Connection: close\r\nContent-Length: {len(body)}".encode())
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head + body)
        assert answers(connection) == ["200"]


def raw_answer(port: int, request: bytes) -> bytes:
    """What comes back for one request, but for its date."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(1 << 16)
        return re.sub(rb"date: [^\r]+", b"date:", received)


class Untouched(Response):
    """An answer that nobody may send in the usual way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was to be sent at once")


def test_the_answer_that_is_ready_made_is_the_one_that_uvicorn_writes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.enforce("d", {"a": NUMBER})
    with listening(bench.service().client.app, HttpToolsProtocol) as port:
        usual = raw_answer(port, REQUEST + b'{"a":1}')
    monkeypatch.setattr("assay.service.collect._ACCEPTED", Untouched(b""))
    with listening(bench.service().client.app, Protocol) as port:
        assert raw_answer(port, REQUEST + b'{"a":1}') == usual
    assert usual.startswith(b"HTTP/1.1 200 OK\r\ndate:\r\n")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(REQUEST.replace(b"Length: 7", b"Length: 7\r\nConnection: close"), id="close"),
    ],
)
def test_a_connection_that_is_to_close_does(port: int, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + b'{"a":1}')
        assert answers(connection) == ["200"]


def test_what_a_transport_lacks_is_an_error() -> None:
    async def run() -> Any:
        return joined(Pipe()).set_tcp_quickack

    with pytest.raises(AttributeError, match="set_tcp_quickack"):
        asyncio.run(run())
