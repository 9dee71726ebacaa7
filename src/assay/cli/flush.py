"""`assay flush`."""

from __future__ import annotations

from assay import settings as configuration
from assay.cli.options import StoreOption
from assay.cli.output import app
from assay.workspace import Workspace

__all__ = ["flush"]


@app.command()
def flush(*, store: StoreOption = None) -> None:
    """Bring every acknowledged event into its table: what a stopped service left in the log, or by asking a running one."""
    Workspace(configuration.load(store=store)).flush()
