import socket
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import uvicorn

from assay.errors import FateUnknown
from assay.service.protocol import Protocol
from tests.conftest import NUMBER, Bench, until

REQUEST = b"POST /collect/d HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"


def ask(port: int, body: bytes) -> bytes:
    """All that comes back until the connection is closed, or the answer is whole."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(REQUEST + body)
        try:
            return connection.recv(1 << 16)
        except ConnectionResetError:
            return b""


def test_nothing_is_answered_where_nobody_knows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.enforce("d", {"a": NUMBER})
    service = bench.service()
    append = service.collector._log.append

    def failing(records: Sequence[Any], **given: Any) -> None:
        append(records, **given)
        raise FateUnknown(bench.log, "disk I/O error")

    config = uvicorn.Config(service.client.app, port=0, log_level="critical", http=Protocol, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert ask(port, b'{"a":1}').startswith(b"HTTP/1.1 200")
        with monkeypatch.context() as patch:
            patch.setattr(service.collector._log, "append", failing)
            assert ask(port, b'{"a":2}') == b""
        assert ask(port, b'{"a":3}').startswith(b"HTTP/1.1 200")
    finally:
        server.should_exit = True
        thread.join()
