"""Real nats-servers with JetStream, on loopback, for tests: each ended by its own pid."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

_T = TypeVar("_T")


def missing() -> str:
    """Why there can be no stream here; empty where there can."""
    if find_nats() is None:
        return "no nats-server: Debian's package nats-server has it"
    if importlib.util.find_spec("nats") is None:
        return "no nats-py: pip install 'assay[nats]'"
    return ""


def find_nats() -> str | None:
    """The server, on PATH or where Debian puts it."""
    return shutil.which("nats-server") or shutil.which("/usr/sbin/nats-server")


class Server:
    """One nats-server. Its files are its own, and stay when it is killed."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.port, self.route = _free_ports(2)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *routes: str) -> None:
        """Start it, and do not wait; `routes` are those of all servers of the group."""
        program = find_nats()
        assert program is not None
        assert self.process is None, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        group = ["--cluster_name", "assay", "--cluster", self.route_url, "--routes", ",".join(routes)] if routes else []
        command = [program, "-a", "127.0.0.1", "-p", str(self.port), "-n", self.name, "-js", "-sd", str(self.folder)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *group], stdout=log, stderr=log)

    @property
    def route_url(self) -> str:
        """Where the others of its group find it."""
        return f"nats://127.0.0.1:{self.route}"

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def pause(self) -> None:
        """It does nothing, and its connections stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # it has stopped

    def resume(self) -> None:
        """It goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class Servers:
    """A group of them, or one alone."""

    def __init__(self, folder: Path, count: int = 1) -> None:
        self.all = [Server(f"n{number}", folder / f"n{number}") for number in range(1, count + 1)]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> Self:
        """Start those that do not run, and wait until JetStream answers."""
        routes = [server.route_url for server in self.all] if len(self.all) > 1 else []
        for server in self.all:
            if server.process is None:
                server.start(*routes)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, "JetStream does not answer"
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        """All of them."""
        for server in self.all:
            server.kill()

    def url(self, stream: str) -> str:
        """What `log` says of a stream there."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.all)
        return f"nats://{hosts}/{stream}?replicas={len(self.all)}"

    def ask(self, work: Callable[[Any], Coroutine[Any, Any, _T]]) -> _T:
        """What JetStream says: `work` gets nats-py's context."""

        async def asked() -> _T:
            import nats

            living = [f"nats://127.0.0.1:{server.port}" for server in self.all if server.process is not None]
            con = await nats.connect(living, connect_timeout=2, max_reconnect_attempts=2, error_cb=_ignored)
            try:
                return await work(con.jetstream())
            finally:
                await con.close()

        return asyncio.run(asyncio.wait_for(asked(), 10))

    def leader(self, stream: str) -> Server:
        """Who leads a stream now."""

        async def name(js: Any) -> str:
            return str((await js.stream_info(stream)).cluster.leader)

        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(Exception):
                found = self.ask(name)
                return next(server for server in self.all if server.name == found)
            assert time.monotonic() < deadline, "the stream has no leader"
            time.sleep(0.1)

    def messages(self, stream: str) -> int:
        """How many there are in a stream."""

        async def count(js: Any) -> int:
            return int((await js.stream_info(stream)).state.messages)

        return self.ask(count)

    def are_current(self, stream: str) -> bool:
        """Whether all copies of a stream are up to date."""

        async def current(js: Any) -> bool:
            cluster = (await js.stream_info(stream)).cluster
            return len(cluster.replicas) == len(self.all) - 1 and all(
                each.current and not each.offline for each in cluster.replicas
            )

        try:
            return self.ask(current)
        except Exception:  # noqa: BLE001  there is no leader, so they are not
            return False

    def _answers(self) -> bool:
        async def account(js: Any) -> bool:
            await js.account_info()
            return True

        try:
            return self.ask(account)
        except Exception:  # noqa: BLE001  not yet
            return False


async def _ignored(_: Exception) -> None:
    pass


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in taken]
