"""A PostgreSQL of our own, in a temporary folder, as the catalogue of a lake."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Catalogue", "catalogue"]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A running PostgreSQL: its socket's folder, and what it logs."""

    folder: Path
    log: Path
    version: str

    def dsn(self, database: str) -> str:
        """How libpq finds a database of it."""
        return f"dbname={database} host={self.folder} user={_OWNER}"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs against it; what it printed."""
        command = [str(_binaries() / program), "-h", str(self.folder), "-U", _OWNER, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def ask(self, database: str, sql: str) -> list[list[str]]:
        """The rows of a query, as text."""
        said = self.run("psql", "-d", database, "-qAt", "-F", "\t", "-c", sql)
        return [line.split("\t") for line in said.splitlines()]

    def cpu_s(self) -> float:
        """The processor seconds that it has used so far: its first process, those that run, and those that have ended."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        used = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, _, rest = path.read_text().partition(" ")
            except OSError:
                continue  # it has ended
            fields = rest.rpartition(")")[2].split()  # from the third one on: state, parent, …
            if int(pid) == first:
                used += sum(map(int, fields[11:15]))
            elif int(fields[1]) == first:
                used += sum(map(int, fields[11:13]))
        return used / os.sysconf("SC_CLK_TCK")

    def statements(self, sql_of_a_client: Callable[[], None]) -> int:
        """How many statements it is asked while that runs: each is one trip over the network and back."""
        self.ask("postgres", "ALTER SYSTEM SET log_statement = 'all'")
        self.ask("postgres", "SELECT pg_reload_conf()")
        time.sleep(0.5)
        before = self._logged()
        sql_of_a_client()
        asked = self._logged() - before
        self.ask("postgres", "ALTER SYSTEM RESET log_statement")
        self.ask("postgres", "SELECT pg_reload_conf()")
        return asked

    def _logged(self) -> int:
        text = self.log.read_text(errors="replace")
        return text.count("LOG:  statement:") + text.count("LOG:  execute ")

    def refused(self) -> int:
        """How many commits it has refused so far as another was there first."""
        return self.log.read_text(errors="replace").count("duplicate key value violates unique constraint")


_OWNER = "postgres"


@contextmanager
def catalogue() -> Iterator[Catalogue]:
    """Start one with its defaults (it syncs each commit), listening on a Unix socket alone, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="catalogue-"))
    user = _OWNER if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    folder.chmod(0o755)
    bin_, data, log = _binaries(), folder / "data", folder / "log"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)

    run(str(bin_ / "initdb"), "-D", str(data), "-U", _OWNER, "-A", "trust", "--no-sync")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c max_connections=200"
    run(str(bin_ / "pg_ctl"), "-D", str(data), "-l", str(log), "-w", "-o", options, "start")
    try:
        version = subprocess.run([str(bin_ / "postgres"), "--version"], check=True, capture_output=True, text=True)
        yield Catalogue(folder, log, version.stdout.split()[-1].strip("()") if version.stdout else "?")
    finally:
        run(str(bin_ / "pg_ctl"), "-D", str(data), "-m", "fast", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    """Where initdb and the others are: Debian keeps them off PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not packaged:
        raise SystemExit("no PostgreSQL here: apt-get install postgresql, or put initdb on PATH")
    return packaged[-1].parent
