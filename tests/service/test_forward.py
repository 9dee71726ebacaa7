"""A request handed on to the head, and its answer back."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from assay.service.forward import Forward
from assay.service.serving import run
from assay.service.stop import Stop
from tests.conftest import until

Answering = Callable[[bytes], bytes]


def ask(
    path: Path, answering: Answering | None, send: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
) -> httpx.Response:
    """The answer that comes through, from a head that gives each request, whole, its bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert answering is not None
        request = await reader.readuntil(b"\r\n\r\n")
        length = int(request.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        for part in answering(request + await reader.readexactly(length)).splitlines(keepends=True):
            writer.write(part)
            await writer.drain()
        writer.close()

    async def run() -> httpx.Response:
        server = None if answering is None else await asyncio.start_unix_server(answer, str(path))
        transport = httpx.ASGITransport(Forward(path))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
            response = await send(client)
        if server is not None:
            server.close()
        return response

    return asyncio.run(run())


@pytest.fixture
def path() -> Path:
    return Path(tempfile.mkdtemp()) / "head"  # a Unix socket's path is short


def test_all_that_is_the_requests_own_goes_there_and_all_that_is_the_answers_comes_back(path: Path) -> None:
    asked: list[bytes] = []

    def answering(request: bytes) -> bytes:
        asked.append(request)
        return (
            b"HTTP/1.1 202 Accepted\r\nlocation: /learn/d/1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ndate: now\r\n"
            b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n"
        )

    response = ask(
        path,
        answering,
        lambda client: client.post(
            "/learn/d%20x?budget=1&a=b%2Fc", content=b'{"x": 1}', headers={"x-assay-source": "me"}
        ),
    )
    (request,) = asked
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /learn/d%20x?budget=1&a=b%2Fc HTTP/1.1"
    assert b"x-assay-source: me" in lines
    assert b"host: localhost:8080" in lines
    assert [line for line in lines if line.startswith((b"connection", b"content-length"))] == [
        b"content-length: 8",
        b"connection: close",
    ]
    assert body == b'{"x": 1}'
    assert (response.status_code, response.content) == (202, b"hello there")
    assert response.headers["location"] == "/learn/d/1"
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "date" not in response.headers  # the worker's server gives it one


def test_without_a_head_it_is_503(path: Path) -> None:
    response = ask(path, None, lambda client: client.get("/metrics"))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "not there" in response.json()["detail"]


def test_a_head_that_goes_away_before_it_answers_is_503(path: Path) -> None:
    response = ask(path, lambda _: b"", lambda client: client.get("/metrics"))
    assert response.status_code == 503


def test_a_large_body_is_none_of_its(path: Path) -> None:
    response = ask(path, None, lambda client: client.post("/flush", content=b"x" * (2 << 20)))
    assert response.status_code == 413


def test_the_head_is_told_whom_a_request_is_from_and_believes_nobody_else(path: Path) -> None:
    head = FastAPI()

    @head.get("/who")
    async def who(request: Request) -> list[str]:
        assert request.client is not None
        return [request.client.host, request.url.scheme]

    async def told() -> httpx.Response:
        stop = Stop()
        serving = asyncio.create_task(run(head, stop, shutdown_s=1, path=path))
        assert await asyncio.to_thread(until, path.exists)
        transport = httpx.ASGITransport(Forward(path), client=("203.0.113.9", 1234))
        lies = {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https", "forwarded": "for=127.0.0.1"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            response = await client.get("/who", headers=lies)
        assert stop.server is not None
        stop.server.should_exit = True
        await serving
        return response

    assert asyncio.run(told()).json() == ["203.0.113.9", "http"]
