"""`assay compact`."""

from __future__ import annotations

from dataclasses import asdict

from assay import settings as configuration
from assay.cli.options import JsonOption
from assay.cli.output import app, result
from assay.errors import UsageError

__all__ = ["compact"]


@app.command()
def compact(*, as_json: JsonOption = False) -> None:
    """Tidy the lake: small files made large, states older than `lake_history` forgotten, what nobody needs deleted."""
    settings = configuration.load()
    lake = settings.lake
    if lake is None:
        raise UsageError(f"{settings.store} is a file, which DuckDB tidies by itself; a lake is what needs this")
    from assay.monitor.rule_settings import seconds
    from assay.store.compact import compact as compact_lake

    done = compact_lake(lake, history_s=seconds(settings.lake_history), memory_limit=settings.memory_limit)
    text = (
        f"{done.files} files became {done.into}; {done.states} states older than {settings.lake_history} forgotten; "
        f"{done.deleted} files deleted"
    )
    result(text, asdict(done), as_json=as_json)
