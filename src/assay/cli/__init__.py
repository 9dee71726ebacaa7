"""The command line: a file for each command. Errors become exit codes in `output` and `run` alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from assay.cli.run import run

__all__ = ["main"]


def main(first: Sequence[str] = ()) -> None:
    """The `assay` command, with `first` before the arguments that it was started with."""
    run([*first, *sys.argv[1:]])
