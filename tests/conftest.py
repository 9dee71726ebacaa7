"""What many tests share: a workspace in a folder of its own, and the service running in it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import hypothesis
import pytest
from fastapi import FastAPI

from assay import settings as configuration
from assay.access.keys import KeyFile, Scope
from assay.assemble import application
from assay.assemble import collector as build
from assay.contract.document import Contract
from assay.contract.versions import Active, Mode, Versions
from assay.service.collector import Collector
from assay.store.embedded import open_duckdb

_T = TypeVar("_T")

NUMBER = {"type": "number", "minimum": 0, "maximum": 100}

#: Holds a DuckDB file until its standard input ends.
_HOLD = """
import duckdb, sys, time
while True:
    try:
        con = duckdb.connect(sys.argv[1])
        break
    except duckdb.IOException:  # the service is writing: as a person would, it tries again
        time.sleep(0.02)
print("held", flush=True)
sys.stdin.read()
con.close()
"""


# The machines that tests run on are shared: how long an example takes says nothing.
hypothesis.settings.register_profile("assay", deadline=None)
hypothesis.settings.load_profile("assay")


def until(is_so: Callable[[], Any], timeout_s: float = 10.0) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process has the DuckDB file open for writing."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.stdin.close()
            holder.wait()


class Bench:
    """A workspace: contracts, and a store that is not there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "s.duckdb"
        self.log = folder / "s.duckdb.log"
        self.versions = Versions(folder / "contracts")
        self.keys = KeyFile(folder / "s.duckdb.keys")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "assay.toml").write_text('store = "s.duckdb"\n')

    def contract(self, dataset: str, properties: Mapping[str, Any], **keywords: Any) -> int:
        """Write the next version of a dataset's contract; its number."""
        schema = {"type": "object", "properties": dict(properties), **keywords}
        version = self.versions.add(Contract.parse(schema, dataset=dataset)).version
        assert version is not None
        return version

    def activate(
        self, dataset: str, number: int = 1, mode: Mode = "enforce", fields: Mapping[str, Mode] | None = None
    ) -> None:
        """Put a version in force."""
        self.versions.activate(dataset, Active(number, mode, fields or {}))

    def enforce(self, dataset: str, properties: Mapping[str, Any], **keywords: Any) -> None:
        """Write a contract and put it in force."""
        self.activate(dataset, self.contract(dataset, properties, **keywords))

    def key(self, *scopes: Scope, name: str = "") -> str:
        """Make an API key, named as its scopes where it is given no name."""
        return self.keys.create(name or "-".join(scopes), scopes)[1]

    def rows(self, query: str) -> list[Any]:
        """What is in the store; single columns unpacked. Shares the service's own instance of the file."""
        con = open_duckdb(str(self.store))
        try:
            return [row[0] if len(row) == 1 else row for row in con.execute(query).fetchall()]
        finally:
            con.close()

    def service(self, **settings: Any) -> Service:
        """The service in this workspace, to be entered."""
        return Service(self, **settings)


class Client:
    """Speaks HTTP to an application in this process; its event loop runs in a thread of its own."""

    def __init__(self, app: FastAPI, *, base_url: str = "http://localhost:8080", peer: str = "127.0.0.1") -> None:
        self.app = app
        self._base_url = base_url
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 50_000))
        self._stack = AsyncExitStack()

    def open(self) -> None:
        """Start the application."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self.run(self._open())
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Stop the application."""
        try:
            self.run(self._stack.aclose())
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _open(self) -> None:
        await self._stack.enter_async_context(self.app.router.lifespan_context(self.app))
        client = httpx.AsyncClient(transport=self._transport, base_url=self._base_url)
        self.http = await self._stack.enter_async_context(client)

    def run(self, work: Coroutine[Any, Any, _T], timeout_s: float = 20) -> _T:
        """The result of a coroutine, run where the application runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def request(
        self, method: str, path: str, *, content: bytes | Iterable[bytes] | None = None, headers: Any = None
    ) -> httpx.Response:
        """One request; `content` in several pieces is sent chunked."""
        body = content if content is None or isinstance(content, bytes) else _pieces(content)
        return self.run(self.http.request(method, path, content=body, headers=headers))

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET."""
        return self.request("GET", path, headers=headers)

    def post(self, path: str, content: bytes | Iterable[bytes] = b"", headers: Any = None) -> httpx.Response:
        """POST."""
        return self.request("POST", path, content=content, headers=headers)

    def together(self, *requests: tuple[str, str, bytes]) -> list[httpx.Response]:
        """Several requests (method, path, JSON body) at the same time."""

        async def all_of_them() -> list[httpx.Response]:
            kind = {"Content-Type": "application/json"}
            return await asyncio.gather(
                *(self.http.request(method, path, content=body, headers=kind) for method, path, body in requests)
            )

        return self.run(all_of_them())


async def _pieces(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


class Service:
    """The service, in this process: its application under a client that speaks HTTP to it."""

    def __init__(self, bench: Bench, **settings: Any) -> None:
        self.bench = bench
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ASSAY_WORKSPACE", str(bench.folder))
            self.settings = configuration.load(**settings)
        self.collector: Collector = build(self.settings, apart=False)
        self.client = Client(application(self.settings, self.collector))

    def __enter__(self) -> Self:
        self.client.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def send(self, path: str, body: Any, kind: str = "application/json", **headers: str) -> httpx.Response:
        """POST a body: bytes as they are, text as UTF-8, anything else as JSON."""
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=data, headers={"Content-Type": kind, **names})

    def lines(self, path: str, *events: Any) -> httpx.Response:
        """POST NDJSON: each event as JSON, or bytes as they are."""
        lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
        return self.send(path, b"\n".join(lines), "application/x-ndjson")

    def flush(self) -> None:
        """Everything acknowledged is in its table."""
        answer = self.client.post("/flush")
        assert answer.status_code == 200, answer.text

    def rows(self, query: str) -> list[Any]:
        """What is in the store, once everything acknowledged is."""
        self.flush()
        return self.bench.rows(query)

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels, as the text format has them."""
        text = self.client.get("/metrics").text
        found = (re.fullmatch(r"(\w+(?:\{.*\})?) (\S+)", line) for line in text.splitlines())
        return {match[1]: float(match[2]) for match in found if match}

    def counted(self, dataset: str, source: str = "unknown") -> tuple[float, ...]:
        """Events accepted, flagged and rejected; NaN where there is no such series."""
        found = self.metrics()
        names = (
            f'assay_events_total{{dataset="{dataset}",outcome="{outcome}",source="{source}"}}'
            for outcome in ("accepted", "flagged", "rejected")
        )
        return tuple(found.get(name, float("nan")) for name in names)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A workspace of its own."""
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One running service for a module's tests, with a contract in force for `d`; each should mean rows of its own."""
    bench = Bench(tmp_path_factory.mktemp("shared"))
    bench.enforce("d", {"a": NUMBER, "s": {"type": "string"}}, required=["a"])
    with bench.service() as service:
        yield service
