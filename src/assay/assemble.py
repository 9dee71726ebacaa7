"""Builds the product from its parts: alone in knowing every layer."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO, cast

import structlog

from assay import settings as configuration
from assay.contract.versions import Versions
from assay.errors import AssayError, ServiceError, StoreLocked, StoreUnreachable
from assay.priority import give_way
from assay.service.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

    from assay.ingest.apart import OnApplied, OnStatus, OnTrouble
    from assay.ingest.apply import Retention
    from assay.ingest.enforced import Enforced
    from assay.ingest.worker import AnyWorker, Worker
    from assay.service.collector import Collector, Limits
    from assay.service.errands import Errands
    from assay.service.following import Following
    from assay.service.guard import Door
    from assay.service.office import Office
    from assay.settings import Settings
    from assay.store.opening import AnyStore
    from assay.ui.pages import Pages

__all__ = [
    "Stop",
    "application",
    "apply_command",
    "collector",
    "configure_logging",
    "door",
    "following",
    "limits",
    "opened_store",
    "serve_alone",
]

#: Applying gives way to answering where the two want the same core.
_BEHIND: Final = 10

#: What the extra `ui` brings.
_PAGES_NEED: Final = (
    "jinja2",
    "markupsafe",
    "markdown_it",
    "scipy",
    "datamodel_code_generator",
    "grafana_foundation_sdk",
)

_log = structlog.get_logger("assay")


def application(settings: Settings | None = None, built: Office | None = None) -> FastAPI:
    """The collection service as an ASGI application, around what was built, or a collector built when it starts.

    Raises:
        UsageError: a setting is not what it should be.
    """
    from assay.service.app import create_app
    from assay.service.errands import Errands

    chosen = configuration.load() if settings is None else settings
    configure_logging()
    errands = Errands(_errand_command(chosen))
    way_in = door(chosen)
    missing = next((name for name in _PAGES_NEED if importlib.util.find_spec(name) is None), None)
    return create_app(
        lambda: built or collector(chosen),
        errands,
        way_in,
        log=chosen.log_path,
        make_pages=None if missing else lambda running: _pages(running, errands, chosen, way_in),
        no_pages=f"the page needs the package {missing}, which is not installed; pip install 'assay[ui]' brings it",
        default_dataset=chosen.default_dataset,
    )


def door(settings: Settings, *, is_quiet: bool = False) -> Door:
    """Who may come in. `is_quiet`: another process says what there is to say of the keys."""
    from assay.access.keyring import Keyring
    from assay.access.keys import KeyFile
    from assay.access.sessions import Sessions
    from assay.service.guard import Door

    keyring = Keyring(KeyFile(settings.keys_path), is_quiet=is_quiet)
    return Door(
        keyring,
        Sessions(keyring),
        settings.allowed_hosts,
        insecure=settings.insecure,
        metrics_key=settings.metrics_key,
    )


def _pages(running: Office, errands: Errands, settings: Settings, way_in: Door) -> Pages:
    """The pages for people."""
    from assay.desk import WorkspaceDesk
    from assay.ui.pages import Pages

    desk = WorkspaceDesk(running, errands, settings)
    return Pages(desk, way_in.keyring, way_in.sessions, prometheus_url=settings.prometheus_url)


def serve_alone(settings: Settings, stop: Stop) -> None:
    """Run the service in this process until it is asked to stop.

    Raises:
        ServiceError: it cannot start.
    """
    import asyncio

    from assay.service.serving import loop_factory, run

    async def serve() -> None:
        app = application(settings, collector(settings))
        await run(app, stop, shutdown_s=settings.shutdown_s, host=settings.host, port=settings.port)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())


def collector(settings: Settings, *, apart: bool = True) -> Collector:
    """Open the log and look at the store. The log is applied in a process of its own, or in a thread here.

    It takes events alone, whatever `workers` says.

    Raises:
        LogFailed: the log cannot be written, or another process owns it.
        StoreFailed: the store is damaged. One that another program holds is none: events wait for it.
    """
    from assay.ingest.apart import ApartWorker
    from assay.ingest.apply import Retention
    from assay.ingest.enforced import Enforced
    from assay.ingest.logs import check_left, open_log
    from assay.monitor.metrics import Metrics
    from assay.monitor.rule_settings import seconds
    from assay.service.collector import Collector
    from assay.service.rendered import RenderedModels

    settings = settings.model_copy(update={"workers": 1})
    if settings.log_stream is not None:
        check_left(settings.beside(".log"))
    log = open_log(settings.log_path, settings.log_stream, keys_max_bytes=settings.keys_max_bytes)
    try:
        store = opened_store(settings)
        enforced = Enforced(Versions(settings.contracts))

        def make_worker(on_applied: OnApplied, on_trouble: OnTrouble) -> AnyWorker:
            if not apart:
                keep_unknown = settings.extra != "ignore"
                return _worker(
                    store,
                    [settings.log_path],
                    enforced,
                    keep_unknown=keep_unknown,
                    keys_max_bytes=settings.keys_max_bytes,
                    retention=Retention(seconds(settings.quarantine_max_age), settings.quarantine_max_bytes),
                    interval_s=_interval_s(settings),
                    on_applied=on_applied,
                    on_trouble=on_trouble,
                )
            return ApartWorker(apply_command(settings), on_applied=on_applied, on_trouble=on_trouble)

        return Collector(
            log=log,
            store=store,
            make_worker=make_worker,
            enforced=enforced,
            metrics=Metrics(),
            rendered=RenderedModels(settings.root / "app" / "contracts.py"),
            following=following(settings, enforced.versions),
            limits=limits(settings),
        )
    except BaseException:
        log.close()
        raise


def following(settings: Settings, versions: Versions) -> Following | None:
    """What has the folder of contracts follow the lake, where the lake decides which there are."""
    lake = settings.lake if settings.registry == "lake" else None
    if lake is None:
        return None
    from assay.service.following import Following
    from assay.store.mirror import Mirror

    def tell(message: str) -> None:
        _log.warning(message)

    return Following(Mirror(lake, versions, memory_limit=settings.memory_limit, tell=tell))


def opened_store(settings: Settings) -> AnyStore:
    """The store, looked at; one that another program holds, or that is out of reach, may be looked at later.

    Raises:
        StoreFailed: it is damaged.
    """
    from assay.ingest.log_reader import Reader
    from assay.store.opening import open_store

    store = open_store(settings.where, log=Reader(settings.log_path).id, memory_limit=settings.memory_limit)
    try:
        with store.write():
            pass
    except (StoreLocked, StoreUnreachable) as trouble:
        _log.warning("events will wait in the log", reason=str(trouble))
    return store


def limits(settings: Settings) -> Limits:
    """A collector's bounds: its share of those that all workers have together."""
    from assay.service.collector import Limits

    return Limits(
        max_body_bytes=settings.max_body_bytes,
        max_pending_bytes=settings.max_pending_bytes // settings.workers,
        log_max_bytes=settings.log_max_bytes // settings.workers,
        open_datasets=settings.opens_datasets,
        max_datasets=settings.max_datasets,
        learning_max_bytes=settings.learning_max_bytes,
        keep_unknown=settings.extra != "ignore",
    )


def apply_command(settings: Settings) -> list[str]:
    """What starts the process that applies the logs of all workers: this Python, safe from modules that lie in the current folder."""
    from assay.ingest.logs import log_of
    from assay.monitor.rule_settings import seconds

    lake = settings.lake
    given = {
        "store": str(settings.store),
        "lake": None if lake is None else asdict(lake),
        "interval_s": _interval_s(settings),
        "logs": [str(log_of(settings.log_path, number)) for number in range(settings.workers)],
        "keys_max_bytes": settings.keys_max_bytes,
        "contracts": str(settings.contracts),
        "memory_limit": settings.memory_limit,
        "keep_unknown": settings.extra != "ignore",
        "retention": [seconds(settings.quarantine_max_age), settings.quarantine_max_bytes],
    }
    return [sys.executable, "-P", "-c", "from assay.assemble import apply_apart; apply_apart()", json.dumps(given)]


def apply_apart() -> NoReturn:
    """The main of the process that applies the log for a collector."""
    from assay.ingest.apart import serve_apart
    from assay.ingest.apply import Retention
    from assay.ingest.enforced import Enforced
    from assay.ingest.log_reader import Reader
    from assay.store.address import Lake
    from assay.store.opening import open_store

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the parent, which says when to stop
    give_way(_BEHIND)
    given = json.loads(sys.argv[1])
    enforced = Enforced(Versions(Path(given["contracts"])))
    where = Path(given["store"]) if given["lake"] is None else Lake(**given["lake"])
    store = open_store(where, log=Reader(Path(given["logs"][0])).id, memory_limit=given["memory_limit"])

    def make_worker(on_applied: OnApplied, on_status: OnStatus) -> Worker:
        return _worker(
            store,
            [Path(log) for log in given["logs"]],
            enforced,
            keep_unknown=given["keep_unknown"],
            keys_max_bytes=given["keys_max_bytes"],
            retention=Retention(*given["retention"]),
            interval_s=given["interval_s"],
            on_applied=on_applied,
            on_status=on_status,
        )

    def refresh() -> None:
        with contextlib.suppress(OSError):  # the folder cannot be read, as the parent says; what is in force stays
            enforced.adopt(enforced.refresh())

    serve_apart(make_worker, refresh)
    sys.stdout.flush()
    os._exit(0)  # a round that nobody waits for any more is undone, not waited for


def _errand_command(settings: Settings) -> list[str]:
    """What starts the process that does errands, but for what to do."""
    given = {
        "root": str(settings.root.resolve()),
        **settings.model_dump(mode="json", exclude_none=True, exclude={"api_key"}),
    }
    return [sys.executable, "-P", "-c", "from assay.assemble import errand; errand()", json.dumps(given)]


def errand() -> NoReturn:
    """The main of the process that does one errand for a service: it activates, learns or profiles."""
    from assay.service.errands import told_failure
    from assay.settings import Settings
    from assay.workspace import Workspace

    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to stderr, and not into the talk

    def tell(**said: object) -> None:
        out.write(json.dumps(said) + "\n")
        out.flush()

    configure_logging()
    given, what = json.loads(sys.argv[1]), json.loads(sys.argv[2])
    dataset = what["dataset"]
    try:
        workspace = Workspace(Settings(**given), is_flushed=True, tell=_log.warning)
        match what["do"]:
            case "activate":
                written, checked = workspace.activate(
                    dataset,
                    what["contract"],
                    mode=what["mode"],
                    fields=what["fields"],
                    by=what["by"],
                    how="POST /activate",
                )
                tell(done={"written": list(map(str, written)), "checked": checked})
            case "learn":
                give_way(_BEHIND)
                contract = workspace.learn(dataset, budget=what["budget"], progress=lambda share: tell(progress=share))
                tell(
                    done={
                        "contract": contract.version,
                        "rows": contract.rows,
                        "expected_refusals": contract.expected_refusals,
                        "bound_refusals": contract.bound_refusals,
                    }
                )
            case _:
                give_way(_BEHIND)
                tell(done=json.loads(workspace.profile(dataset).to_json()))
    except AssayError as error:
        tell(failed=told_failure(error))
    except ModuleNotFoundError as error:
        reason = f"this needs the package {error.name}, which is not installed; pip install 'assay[profile]' brings it"
        tell(failed=told_failure(ServiceError(reason)))
    except OSError as error:
        tell(failed=told_failure(ServiceError(str(error))))
    out.close()
    sys.exit(0)


def _worker(
    store: AnyStore,
    logs: Sequence[Path],
    enforced: Enforced,
    *,
    keep_unknown: bool,
    keys_max_bytes: int,
    retention: Retention,
    interval_s: float,
    **told: Any,
) -> Worker:
    """What applies logs to a store, in a thread, those of former workers beside them too.

    The first log is the one that the others are numbered after. `told` is whom it tells: see `Worker`.
    """
    from assay.ingest.appliers import Appliers, Rounds
    from assay.ingest.apply import Applier, Books
    from assay.ingest.former import Former
    from assay.ingest.log_reader import Reader
    from assay.ingest.logs import logs_beside
    from assay.ingest.replay import Replayer
    from assay.ingest.worker import Worker

    books = Books()

    def applier(reader: Reader, retention: Retention | None = None) -> Applier:
        return Applier(store, reader, keep_unknown=keep_unknown, retention=retention, books=books)

    first = applier(Reader(logs[0]), retention)
    formers = [
        Former(path, applier, keys_max_bytes=keys_max_bytes) for path in logs_beside(logs[0]) if path not in logs
    ]
    rounds: Rounds = first
    if formers or len(logs) > 1:
        rounds = Appliers([first, *(applier(Reader(log)) for log in logs[1:])], formers, books)
    # Whoever asks how far they are does so from other threads.
    last_of_others = [*(Reader(log).last_seq for log in logs[1:]), *(former.last_seq for former in formers)]
    return Worker(
        rounds,
        judge_for=enforced.get,
        last_seq=Reader(logs[0]).last_seq,
        last_of_others=lambda: [last() for last in last_of_others],
        replayer=Replayer(store, enforced.versions, log=logs[0], keep_unknown=keep_unknown),
        interval_s=interval_s,
        **told,
    )


def _interval_s(settings: Settings) -> float:
    """How far apart rounds are, in seconds: a commit to a lake is dear."""
    from assay.ingest.worker import INTERVAL_S
    from assay.monitor.rule_settings import seconds

    return INTERVAL_S if settings.lake is None else seconds(settings.lake_interval)


def configure_logging() -> None:
    """One line an event on stderr: coloured for a person, JSON where nobody looks."""
    for_people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(
                [structlog.dev.ConsoleRenderer()]
                if for_people
                else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=False,
    )


class _Stderr:
    """stderr, where it cannot fail: on a full disk, or with nobody at its end, what cannot be told ends no thread."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
