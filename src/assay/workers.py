"""Builds the service of several processes: the head, and the workers that take events."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from assay.assemble import Stop, application, apply_command, configure_logging, door, following, limits, opened_store
from assay.errors import AssayError, LogInUse, ServiceError
from assay.ingest.logs import log_of, logs_beside

if TYPE_CHECKING:
    from assay.ingest.log import Log
    from assay.service.collector import Collector
    from assay.service.crew import Start
    from assay.service.line import Line
    from assay.settings import Settings

__all__ = ["serve_by_workers", "work"]

#: A worker's: one at each address that the host's name means.
_Sockets: TypeAlias = list[socket.socket]

_BACKLOG: Final = 2048
#: A worker that was killed may hold its log for a moment still; one whose head was killed, for another.
_KILLED_S: Final = 10.0
_LEFT_S: Final = 2.0
#: Beyond what a stop waits for requests in flight: for what was taken to be in the log.
_DRAIN_S: Final = 10.0


def serve_by_workers(settings: Settings, stop: Stop) -> None:
    """Run the head until it is asked to stop.

    Raises:
        ServiceError: it cannot start.
        LogFailed, StoreFailed: a log or the store cannot be used.
    """
    import asyncio

    from assay.service.serving import loop_factory

    configure_logging()
    with contextlib.ExitStack() as stack, asyncio.Runner(loop_factory=loop_factory()) as runner:
        sockets = stack.enter_context(_listening(settings))
        runner.run(_lead(settings, stop, sockets, stack))


async def _lead(settings: Settings, stop: Stop, sockets: list[_Sockets], stack: contextlib.ExitStack) -> None:
    import asyncio

    from assay.monitor.memory import Memory, new_memory
    from assay.service.crew import Crew

    numbers = range(settings.workers)
    for number in numbers:  # what keeps a log from being used is said now, and here
        _owned(settings, number, patience_s=_LEFT_S).close()
    path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="assay-"))) / "head"
    descriptors = [new_memory() for _ in numbers]
    claims = new_memory()
    for descriptor in (*descriptors, claims):
        stack.callback(os.close, descriptor)
    crew = Crew(settings.workers, _starting(settings, path, sockets, descriptors, claims))
    crew.begin()  # they load what they need while the head does
    from assay.contract.versions import Versions
    from assay.ingest.apart import ApartWorker
    from assay.ingest.enforced import Enforced
    from assay.monitor.summed import SummedMetrics
    from assay.service.head import Head
    from assay.service.rendered import RenderedModels
    from assay.service.serving import run

    versions = Versions(settings.contracts)
    head = Head(
        crew,
        store=opened_store(settings),
        enforced=Enforced(versions),
        metrics=SummedMetrics([Memory(descriptor) for descriptor in descriptors]),
        make_worker=lambda on_applied, on_trouble: ApartWorker(
            apply_command(settings), on_applied=on_applied, on_trouble=on_trouble
        ),
        rendered=RenderedModels(settings.root / "app" / "contracts.py"),
        following=following(settings, versions),
    )
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    async def drain() -> None:
        for listening in chain(*sockets):
            listening.close()
        await head.drain(settings.shutdown_s + _DRAIN_S)
        if stop.server is not None:
            stop.server.should_exit = True

    def begin_to_stop() -> None:
        if not draining:
            draining.append(loop.create_task(drain()))

    stop.first = lambda: loop.call_soon_threadsafe(begin_to_stop)
    if stop.is_asked:
        await head.drain(0)
        return
    await run(application(settings, head), stop, shutdown_s=settings.shutdown_s, path=path)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[list[_Sockets]]:
    """Sockets for each worker, all at the same addresses: the system shares connections out among them.

    Raises:
        ServiceError: something is there already, or it is no address here.
    """
    from assay.service.serving import taken

    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
            for family, address in places:  # beside others that share it too, it would be let in
                _bound(family, address).close()
            sockets = [
                [stack.enter_context(_bound(family, address, is_shared=True)) for family, address in places]
                for _ in range(settings.workers)
            ]
        except OSError as error:
            raise ServiceError(taken(settings.host, settings.port)) from error
        yield sockets


def _bound(family: int, address: Any, *, is_shared: bool = False) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
        if is_shared:
            bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _starting(settings: Settings, path: Path, sockets: list[_Sockets], descriptors: list[int], claims: int) -> Start:
    """What starts a worker: this Python, safe from modules that lie in the current folder."""
    written = {"root": str(settings.root.resolve()), **settings.model_dump(mode="json", exclude_none=True)}

    def start(number: int) -> subprocess.Popen[bytes]:
        shared = [descriptors[number], claims, *(each.fileno() for each in sockets[number])]
        given = {"settings": written, "number": number, "head": str(path), "shared": shared}
        command = [sys.executable, "-P", "-c", "from assay.workers import work; work()", json.dumps(given)]
        return subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=shared)

    return start


# ---- in a worker


def work() -> NoReturn:
    """The main of a worker."""
    import asyncio

    from assay.service.line import Line
    from assay.service.orders import Report
    from assay.service.serving import loop_factory

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)  # they are for the head, which says when to stop
    given = json.loads(sys.argv[1])
    stop = Stop()
    # A stdout of our own: whatever a library prints goes to stderr, and not into the talk.
    line = Line(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"), on_stop=stop)
    os.dup2(2, 1)
    configure_logging()
    code = 0
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_take_events(given, stop, line))
    except AssayError as error:
        line.report(Report("failed", text=str(error)))
        code = 3
    except Exception as fault:  # noqa: BLE001  no traceback reaches a user
        line.report(Report("failed", text=f"{type(fault).__name__}: {fault}"))
        code = 3
    os._exit(code)  # the thread that listens to the head would be in the way of any other end


async def _take_events(given: dict[str, Any], stop: Stop, line: Line) -> None:
    from assay.service.app import create_worker_app
    from assay.service.forward import Forward
    from assay.service.serving import run
    from assay.settings import Settings

    settings = Settings(**given["settings"])
    for descriptor in given["shared"]:
        os.set_inheritable(descriptor, False)  # what it starts itself is not to have them
    memory, claims, *listening = given["shared"]
    collector = _worker_collector(settings, given["number"], memory, claims, line)
    app = create_worker_app(
        collector,
        line,
        Forward(Path(given["head"])),
        door(settings, is_quiet=True),
        default_dataset=settings.default_dataset,
    )
    await run(app, stop, shutdown_s=settings.shutdown_s, listening=[socket.socket(fileno=each) for each in listening])


def _worker_collector(settings: Settings, number: int, memory: int, claims: int, line: Line) -> Collector:
    from assay.contract.versions import Versions
    from assay.ingest.claims import Claims
    from assay.ingest.enforced import Enforced
    from assay.monitor.memory import Memory
    from assay.monitor.metrics import Metrics
    from assay.service.collector import Collector, Shared
    from assay.store.opening import open_store

    log = _owned(settings, number, patience_s=_KILLED_S)
    shared = Shared(
        Claims(claims, number, settings.workers),
        [path for path in (settings.log_path, *logs_beside(settings.log_path)) if path != log.path],
    )
    shared.claims.open()
    return Collector(
        log=log,
        store=open_store(settings.where, memory_limit=settings.memory_limit),
        make_worker=lambda on_applied, _: line.hear(on_applied),
        enforced=Enforced(Versions(settings.contracts)),
        metrics=Metrics(memory=Memory(memory)),
        limits=limits(settings),
        shared=shared,
    )


def _owned(settings: Settings, number: int, *, patience_s: float) -> Log:
    """A worker's log.

    Raises:
        LogFailed: it cannot be written, or another process owns it, and does so still after a while.
    """
    from assay.ingest.log import Log

    path = log_of(settings.log_path, number)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return Log(path, keys_max_bytes=settings.keys_max_bytes // settings.workers)
        except LogInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
