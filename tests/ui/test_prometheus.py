"""What fires, as Prometheus says it; and when it says nothing that can be read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from assay.ui.prometheus import ask


class Answering:
    """A server that gives one answer."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        it = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(it.status if self.path == "/prefix/api/v1/alerts" else 404)
                self.end_headers()
                self.wfile.write(it.body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/prefix/"


@pytest.fixture
def prometheus() -> Iterator[Answering]:
    it = Answering()
    thread = threading.Thread(target=it.server.serve_forever, daemon=True)
    thread.start()
    yield it
    it.server.shutdown()
    it.server.server_close()
    thread.join()


def alert(name: str, severity: str, state: str = "firing", since: str = "2026-01-01T00:00:00Z", **labels: str) -> Any:
    return {
        "labels": {"alertname": name, "severity": severity, **labels},
        "annotations": {"summary": f"{name} said"},
        "state": state,
        "activeAt": since,
    }


def test_pages_come_first_and_what_only_waits_is_left_out(prometheus: Answering) -> None:
    alerts = [
        alert("Warned", "warn", dataset="d", field="a"),
        alert("Waiting", "page", "pending"),
        alert("Late", "page", since="2026-01-02T00:00:00Z"),
        alert("Early", "page", dataset="d"),
    ]
    prometheus.body = json.dumps({"status": "success", "data": {"alerts": alerts}}).encode()
    found = ask(prometheus.url)
    assert [each.name for each in found.firing] == ["Early", "Late", "Warned"]
    assert [each.field for each in found.of("d")] == ["", "a"]
    assert list(found.by_dataset()) == ["d", ""]
    assert found.firing[0].summary == "Early said"
    assert found.asked
    assert not found.trouble


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(500, b"", id="a failure"),
        pytest.param(200, b"<html>", id="a page"),
        pytest.param(200, b"[]", id="another document"),
        pytest.param(200, b'{"data": {"alerts": [{"state": "firing"}]}}', id="an alert without labels"),
    ],
)
def test_what_cannot_be_read_is_said(prometheus: Answering, status: int, body: bytes) -> None:
    prometheus.status, prometheus.body = status, body
    found = ask(prometheus.url)
    assert found.asked
    assert not found.firing
    assert prometheus.url in found.trouble


def test_nobody_there() -> None:
    assert "gives no answer" in ask("http://127.0.0.1:1").trouble
