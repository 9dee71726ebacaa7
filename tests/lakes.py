"""Stores for tests: a DuckDB file, a lake with an SQLite catalogue, one with a PostgreSQL of the tests' own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeAlias

import duckdb
import pytest

from assay.store.address import Lake
from assay.store.opening import AnyStore, open_store

__all__ = [
    "HAS_LAKE",
    "S3",
    "Postgres",
    "Where",
    "find_postgres",
    "find_s3",
    "needs_a_file",
    "opened",
    "store_of",
    "where_is",
]

Where: TypeAlias = "Path | Lake"

#: Whether `assay[lake]` is installed: bin/test.sh runs these tests in an environment of its own.
HAS_LAKE = importlib.util.find_spec("duckdb_extension_ducklake") is not None


def store_of(where: Where, log: Callable[[], str] = lambda: "t") -> AnyStore:
    """The store there."""
    return open_store(where, log=log, memory_limit="1GB")


def opened(where: Where) -> duckdb.DuckDBPyConnection:
    """A connection to write by, as its owner may."""
    if isinstance(where, Path):
        return duckdb.connect(str(where))
    from assay.store.ducklake import attach

    return attach(where)


def needs_a_file(where: Where) -> None:
    """Skip the test of a lake: it has no indexes and no constraints that could refuse a row."""
    if isinstance(where, Lake):
        pytest.skip("a lake has no indexes and no constraints")


def find_postgres() -> Path | None:
    """The folder of the server's programs; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


class Postgres:
    """A PostgreSQL server in a folder, reached by a socket there."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self.folder = folder
        # It refuses to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self._user = "postgres" if self._as else pwd.getpwuid(os.getuid()).pw_name
        if self._as:
            for each in [folder, *folder.parents]:
                if each.stat().st_uid == 0 and each.stat().st_mode & 0o005 != 0o005 and len(each.parts) > 2:
                    each.chmod(0o755)
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    def start(self) -> Self:
        """Begin to answer."""
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        data, log = self.folder / "data", self.folder / "log"
        self._run("pg_ctl", "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
        return self

    def stop(self) -> None:
        """End at once, as if the power had gone; a start recovers."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def lake(self, data: str) -> Lake:
        """A lake with an empty catalogue here."""
        name = f"lake_{uuid.uuid4().hex[:12]}"
        self._run("createdb", "-h", str(self.folder), "-U", self._user, name)
        address = f"ducklake:postgres:host={self.folder} user={self._user} dbname={name}"
        return Lake.parse(address, data=data, root=self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        # To a file: a server keeps what it was given open.
        with tempfile.TemporaryFile() as said:
            ran = subprocess.run(
                [*self._as, str(self._programs / program), *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
            )
            said.seek(0)
            assert ran.returncode == 0, (program, arguments, said.read().decode())


def where_is(kind: str, request: pytest.FixtureRequest, folder: Path) -> Where:
    """A store of a kind that is not there yet; the test is skipped where that kind cannot be had."""
    if kind == "file":
        return folder / "s.duckdb"
    if not HAS_LAKE:
        pytest.skip("assay[lake] is not installed")
    if kind == "sqlite":
        return Lake.parse("ducklake:sqlite:lake.sqlite", root=folder)
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.lake(str(folder / "files"))


def find_s3() -> Path | None:
    """A server that speaks S3: moto's, which bin/test.sh puts into .tools."""
    found = shutil.which("moto_server") or shutil.which(Path(__file__).parents[1] / ".tools/moto/bin/moto_server")
    return None if found is None else Path(found)


class S3:
    """An S3 behind a door that can be shut: then connections are refused, and what is stored stays."""

    def __init__(self, program: Path, bucket: str) -> None:
        self._inner, self.port = _free_port(), _free_port()
        self._process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(self._inner)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._door: socket.socket | None = None
        deadline = time.monotonic() + 60
        while True:
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{self._inner}/{bucket}", method="PUT")
                urllib.request.urlopen(request, timeout=10).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "moto_server does not answer"
                time.sleep(0.1)
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Let others in."""
        self._door = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        threading.Thread(target=self._serve, args=(self._door,), daemon=True).start()

    def shut(self) -> None:
        """Refuse whoever comes."""
        if self._door is not None:
            self._door.shutdown(socket.SHUT_RDWR)
            self._door.close()
            self._door = None

    def stop(self) -> None:
        """End."""
        self.shut()
        self._process.kill()
        self._process.wait()

    def _serve(self, door: socket.socket) -> None:
        while True:
            try:
                outer, _ = door.accept()
                inner = socket.create_connection(("127.0.0.1", self._inner))
            except OSError:
                return
            for source, sink in ((outer, inner), (inner, outer)):
                threading.Thread(target=self._pass, args=(door, source, sink), daemon=True).start()

    @staticmethod
    def _pass(door: socket.socket, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while door.fileno() >= 0 and (data := source.recv(1 << 16)):
                sink.sendall(data)
        for each in (source, sink):
            each.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
