"""The stores that `_demo.py` tells its story on: one collector with a DuckDB file, or several with a lake."""  # noqa: INP001

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from _stage import Stage

__all__ = ["STORES", "Store"]


@dataclass(frozen=True)
class Store:
    """A store as `assay.toml` names it, how many collectors write to it, and what a person is told of it."""

    settings: Mapping[str, str]
    collectors: int
    description: str

    @property
    def address(self) -> str:
        """What `assay.connect` takes."""
        return self.settings["store"]


def duckdb(stage: Stage) -> Store:
    """A file."""
    path = stage.folder / "agrawal.duckdb"
    return Store({"store": str(path)}, 1, f"DuckDB, {path.name}")


def ducklake(stage: Stage) -> Store:
    """A lake. Its catalogue is in a PostgreSQL of the demo's own where one can be started, else in a file.

    Raises:
        Failed: PostgreSQL is installed and did not start.
        Interrupted: a signal came.
    """
    files = stage.folder / "lake.files"
    programs, user = _postgres(), _unprivileged()
    if programs is None:
        return _with_a_file(stage, files, "PostgreSQL is not installed")
    if user is None:
        return _with_a_file(stage, files, "PostgreSQL refuses to run as root, and there is no user postgres")
    folder = stage.folder / "catalogue"
    folder.mkdir(mode=0o700)
    if user != os.getuid():
        os.chown(folder, user, -1)
        stage.folder.chmod(0o711)  # that user is to find its way
    data = folder / "data"
    options = ["-A", "trust", "-U", "assay", "-E", "UTF8", "--locale=C", "-N"]  # only who may enter the folder gets in
    stage.start_as(user, "initdb", programs / "initdb", "-D", str(data), *options)
    stage.finish("initdb", 60)
    listening = ["-k", str(folder), "-p", "5432", "-c", "listen_addresses="]  # at a socket in that folder alone
    stage.start_as(user, "catalogue", programs / "postgres", "-D", str(data), *listening)
    log = stage.log("catalogue")
    stage.until(lambda: "ready to accept connections" in log.read_text() or None, 30, "PostgreSQL is ready")
    version = (data / "PG_VERSION").read_text().strip()
    return _lake(
        f"ducklake:postgres:host={folder} port=5432 user=assay dbname=postgres",
        files,
        f"its catalogue in a PostgreSQL {version} of this demo's own",
    )


def _with_a_file(stage: Stage, files: Path, why: str) -> Store:
    return _lake(f"ducklake:sqlite:{stage.folder / 'lake.sqlite'}", files, f"its catalogue in an SQLite file ({why})")


def _lake(address: str, files: Path, catalogue: str) -> Store:
    return Store({"store": address, "lake_data": str(files)}, 2, f"a DuckLake, {catalogue}, its rows in {files.name}/")


def _postgres() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


def _unprivileged() -> int | None:
    """Whom PostgreSQL can run as, which refuses to run as root."""
    if os.getuid() != 0:
        return os.getuid()
    try:
        return pwd.getpwnam("postgres").pw_uid
    except KeyError:
        return None


#: By the names that `bin/demo.sh --store` takes.
STORES: Mapping[str, Callable[[Stage], Store]] = {"duckdb": duckdb, "ducklake": ducklake}
