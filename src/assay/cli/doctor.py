"""`assay doctor`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assay import __version__
from assay import settings as configuration
from assay.access.keys import SCOPES, KeyFile
from assay.cli.options import JsonOption
from assay.cli.output import app, result
from assay.errors import AssayError, StoreLocked, UsageError
from assay.settings import Settings, is_loopback
from assay.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

    from assay.ingest.stream_address import StreamAddress

__all__ = ["doctor"]


@dataclass(frozen=True, slots=True)
class _Finding:
    what: str
    ok: bool
    detail: str


@app.command()
def doctor(*, as_json: JsonOption = False) -> None:
    """Say what is installed, reachable and writable, and what to do about what is not."""
    findings = list(_look(configuration.load()))
    width = max(len(finding.what) for finding in findings)
    lines = [f"{'ok ' if finding.ok else 'NO '} {finding.what:<{width}}  {finding.detail}" for finding in findings]
    result("\n".join(lines), [asdict(finding) for finding in findings], as_json=as_json)
    if not all(finding.ok for finding in findings):
        sys.exit(3)


def _look(settings: Settings) -> Iterator[_Finding]:
    yield _Finding("assay", True, f"{__version__} on Python {sys.version.split()[0]}, DuckDB {_version('duckdb')}")
    for module, extra in (
        ("datamodel_code_generator", "profile"),
        ("scipy", "profile"),
        ("grafana_foundation_sdk", "profile"),
        ("yaml", "profile"),
        ("jinja2", "ui"),
    ):
        there = importlib.util.find_spec(module) is not None
        yield _Finding(module, there, "installed" if there else f"missing: pip install 'assay[{extra}]'")
    workspace = Workspace(settings)
    yield _contracts(workspace)
    yield _keys(settings)
    yield _service(workspace)
    yield _folder("log", settings)
    yield _store(settings)
    yield _promtool(settings)


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _contracts(workspace: Workspace) -> _Finding:
    try:
        active = workspace.versions.active_contracts()
    except AssayError as error:
        return _Finding("contracts", False, str(error))
    if workspace.rendering.edited():
        from assay.contract.source import bring_in

        how = bring_in([contract.dataset for contract, _ in active])
        return _Finding(
            "contracts", False, f"app/contracts.py was edited by hand: what is enforced is the active contract; {how}"
        )
    names = ", ".join(f"{contract.dataset}@{contract.version}" for contract, _ in active)
    return _Finding("contracts", True, names or "none is active yet")


def _keys(settings: Settings) -> _Finding:
    file = KeyFile(settings.keys_path)
    try:
        keys = file.read()
    except AssayError as error:
        return _Finding("keys", False, str(error))
    if keys is None:
        if is_loopback(settings.host):
            return _Finding("keys", True, "none: programs on this machine may, and no others")
        if settings.insecure:
            return _Finding("keys", True, f"none, and insecure is set: whoever reaches {settings.host} may collect")
        return _Finding("keys", False, f"none, so nothing may listen on {settings.host}: assay keys create makes one")
    alive = [key for key in keys if key.revoked_at is None]
    counts = ", ".join(f"{sum(scope in key.scopes for key in alive)} {scope}" for scope in SCOPES)
    where = f"{len(alive)} in {settings.keys_path} ({counts})"
    if (mode := file.mode()) != 0o600:
        return _Finding("keys", False, f"{where}, whose mode is {mode or 0:o}: chmod 600 {settings.keys_path}")
    if not alive:
        return _Finding("keys", False, f"{where}: nobody may anything; assay keys create makes one")
    sent = (
        "is set" if settings.api_key is not None else "is not set: a running service answers no command that needs one"
    )
    return _Finding("keys", True, f"{where}; ASSAY_API_KEY {sent}")


def _service(workspace: Workspace) -> _Finding:
    url = workspace.settings.url
    try:
        answer = workspace.ask("GET", "/readyz", timeout_s=3)
    except AssayError as error:
        return _Finding("service", False, str(error))
    if answer is None and workspace.is_strangers():
        return _Finding("service", False, f"{url} is another workspace's: set port in assay.toml to one of its own")
    if answer is None:
        return _Finding("service", True, f"none runs at {url}: assay serve starts one")
    return _Finding("service", bool(answer.get("ok")), f"{url} is ready{_note(answer.get('note'))}")


def _note(note: object) -> str:
    return f"; {note}" if note else ""


def _folder(what: str, settings: Settings) -> _Finding:
    stream = settings.log_stream
    if stream is not None:
        return _stream(what, stream)
    folder = settings.log_path.parent
    writable = folder.is_dir() and os.access(folder, os.W_OK)
    return _Finding(what, writable, f"{settings.log_path} {'can be written' if writable else 'cannot be written'}")


def _stream(what: str, address: StreamAddress) -> _Finding:
    from assay.ingest.stream import Stream, StreamFailed

    try:
        with contextlib.closing(Stream(address)) as stream:
            return _Finding(what, True, f"{address} {stream.about()}")
    except UsageError as error:
        return _Finding(what, False, str(error))
    except StreamFailed as failed:
        return _Finding(what, False, f"{address}: {failed}")


def _store(settings: Settings) -> _Finding:
    from assay.store.opening import connect

    where = settings.where
    file = where if isinstance(where, Path) else where.file
    if file is not None and not file.exists():
        return _Finding("store", True, f"{settings.store} is not there yet: the service makes it")
    try:
        con = connect(where, timeout_s=3)
    except StoreLocked as held:
        return _Finding("store", True, str(held))
    except AssayError as error:
        return _Finding("store", False, str(error))
    with con:
        gaps = con.execute("SELECT log, first, last FROM _gaps").fetchall() if _has(con, "_gaps") else []
    if gaps:
        ranges = ", ".join(f"{first}-{last} of log {log[:8]}" for log, first, last in gaps)
        return _Finding("store", False, f"{settings.store} never got the records {ranges}")
    return _Finding("store", True, f"{settings.store} can be read")


def _has(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    query = "SELECT 1 FROM duckdb_tables() WHERE table_name = ?"
    return con.execute(query, [table]).fetchall() != []


def _promtool(settings: Settings) -> _Finding:
    from assay.monitor.promtool import find_promtool

    found = find_promtool([settings.root / ".tools/prometheus/usr/bin"])
    return _Finding("promtool", True, str(found) if found else "not installed: rules are rendered without a check")
