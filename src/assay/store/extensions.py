"""DuckDB's extensions, from the wheels of `assay[lake]`: nothing is fetched when they are loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from assay.errors import UsageError
from assay.sql import sql_text

__all__ = ["extension", "load"]


def extension(name: str) -> Path:
    """The file of an extension, made for the DuckDB that is installed.

    Raises:
        UsageError: it is not installed, or made for another DuckDB.
    """
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    if found is None or found.origin is None:
        raise UsageError(
            f"a lake needs DuckDB's extension {name}, which is not installed; pip install 'assay[lake]' brings it"
        )
    folder = Path(found.origin).parent / "extensions"
    path = folder / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not path.exists():
        made_for = ", ".join(sorted(each.name for each in folder.glob("v*"))) or "none"
        raise UsageError(
            f"DuckDB {duckdb.__version__} is installed, and its extension {name} is for {made_for}; "
            "pip install 'assay[lake]' brings those that go together"
        )
    return path


def load(con: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Load extensions into a connection's database.

    Raises:
        UsageError: one is not installed, or is damaged.
    """
    for name in names:
        path = extension(name)
        try:
            con.execute(f"LOAD {sql_text(path)}")
        except duckdb.Error as error:
            raise UsageError(f"DuckDB's extension {name} cannot be loaded: {str(error).splitlines()[0]}") from error
