"""Stores for tests: a DuckDB file, a lake with an SQLite catalogue, one with a PostgreSQL of the tests' own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeAlias

import duckdb
import pytest

from assay.store.address import Lake
from assay.store.opening import AnyStore, open_store

__all__ = ["HAS_LAKE", "Postgres", "Where", "find_postgres", "needs_a_file", "opened", "store_of", "where_is"]

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
