"""What a person does with a workspace, the service running or not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.errors import LogInUse, ServiceError, StoreFailed, UnknownDataset
from assay.ingest.log import Log
from assay.ingest.logs import log_of, logs_beside
from assay.ingest.record import Kind, Record
from assay.ingest.validate import Judge
from assay.settings import load
from assay.workspace import Workspace
from tests.conftest import NUMBER, Bench


@pytest.fixture
def workspace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(bench.folder))
    return Workspace(load(port=1))


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """A server that gives one answer to all; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        pytest.param(200, b'{"ok": true}', None, id="a service"),
        pytest.param(503, b'{"detail": "held by a notebook"}', "503: held by a notebook", id="a problem"),
        pytest.param(503, b'{"ok": false, "reason": "the log fails"}', "503: the log fails", id="not ready"),
        pytest.param(500, b"<html>", "500: <html>", id="no JSON"),
        pytest.param(404, b"[]", "404: []", id="a list"),
    ],
)
def test_asking(bench: Bench, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, says: str | None) -> None:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(bench.folder))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # none of its business
    with answering(status, body) as port:
        workspace = Workspace(load(port=port))
        if says is None:
            assert workspace.ask("GET", "/readyz") == {"ok": True}
        else:
            with pytest.raises(ServiceError, match=says.replace("[", r"\[")):
                workspace.ask("POST", "/flush")


@pytest.mark.parametrize("body", [b"[1]", b"hello", b""], ids=["a list", "text", "nothing"])
def test_another_program_there_is_no_service(bench: Bench, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(bench.folder))
    with answering(200, body) as port:
        assert Workspace(load(port=port)).ask("GET", "/readyz") is None


def test_nobody_there_is_no_service(workspace: Workspace) -> None:
    assert workspace.ask("GET", "/readyz") is None


def test_the_log_of_a_service_at_another_port_is_left_alone(bench: Bench, workspace: Workspace) -> None:
    with bench.service(), pytest.raises(LogInUse):
        workspace.flush()


@pytest.mark.parametrize("name", ["nothing", "o'brien", '"', "D", "", "_learning", "_quarantine", "x" * 64])
def test_what_is_not_stored_cannot_be_profiled(bench: Bench, workspace: Workspace, name: str) -> None:
    with pytest.raises(UnknownDataset):
        workspace.profile(name)
    with bench.service() as service:
        service.send("/collect/other", {"a": 1})
        service.flush()
    with pytest.raises(UnknownDataset):
        workspace.profile(name)


def test_what_waits_is_profiled_and_then_the_table(bench: Bench, workspace: Workspace) -> None:
    with bench.service() as service:
        service.lines("/collect/d", *({"a": n} for n in range(30)))
        service.flush()
    assert workspace.profile("d").rows == 30
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        service.send("/collect/d", {"a": 30})
        service.flush()
    assert workspace.profile("d").rows == 31


def test_a_query_that_fails_is_the_stores_failure(bench: Bench, workspace: Workspace) -> None:
    with bench.service():
        pass
    with pytest.raises(StoreFailed, match=r"s\.duckdb"), workspace.connection() as con:
        con.execute("SELECT * FROM nothing")


def test_rendering_names_what_it_wrote_once(bench: Bench, workspace: Workspace) -> None:
    bench.enforce("d", {"a": NUMBER})
    written, _ = workspace.render()
    names = {
        "app/contracts.py",
        "promconfig/data_quality_rules.yml",
        "promconfig/data_quality_rules.test.yml",
        "promconfig/grafana/dashboards/d.json",
        "promconfig/grafana/dashboards/_collectors.json",
        "promconfig/grafana/provisioning/dashboards/assay.yml",
        "promconfig/grafana/provisioning/datasources/assay.yml",
    }
    assert {str(path) for path in written} == names
    before = {name: (bench.folder / name).read_bytes() for name in names}
    assert workspace.render()[0] == []
    (bench.folder / "promconfig" / "data_quality_rules.yml").unlink()
    assert workspace.render()[0] == [Path("promconfig/data_quality_rules.yml")]
    assert {name: (bench.folder / name).read_bytes() for name in names} == before


def test_a_flush_brings_in_what_former_workers_left(workspace: Workspace) -> None:
    versions = workspace.versions
    versions.add(Contract.parse({"type": "object", "properties": {"id": {"type": "integer"}}}, dataset="d"))
    judge = Judge(versions.load("d", 1), Active(1))
    for number in range(3):
        with Log(log_of(workspace.settings.log_path, number)) as log:
            log.append([Record(Kind.EVENTS, "d", judge.contract, "s", "", 10**15, 1, b'[{"id": %d}]' % number)])
    workspace.flush()
    with workspace.connection() as con:
        assert con.execute("SELECT id FROM d ORDER BY id").fetchall() == [(0,), (1,), (2,)]
    assert logs_beside(workspace.settings.log_path) == []
