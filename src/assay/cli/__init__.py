"""The command line: a file for each command. Errors become exit codes in `output` and `run` alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["main"]

#: Commands that know files and tables, and no frames.
_FRAMELESS: Final = frozenset(("check", "learn", "profile"))


def main(first: Sequence[str] = ()) -> None:
    """The `assay` command, with `first` before the arguments that it was started with."""
    arguments = [*first, *sys.argv[1:]]
    by_spark = not {"spark", "--engine=spark"}.isdisjoint(arguments)  # which asks for pandas, and makes no use of it
    is_brief = bool(arguments) and arguments[0] in _FRAMELESS and not by_spark
    if is_brief and "pandas" not in sys.modules:
        # PyArrow loads it, wherever it is installed, with the first value that it is given: half a second for nothing.
        sys.meta_path.insert(0, _NoPandas())
    from assay.cli.run import run

    try:
        run(arguments)
    except SystemExit as done:
        if is_brief and isinstance(done.code, int):
            _end(done.code)
        raise


def _end(code: int) -> None:
    """End this process without taking it apart, object by object: that is a tenth of a short command's time.

    All that the command opened it has closed, and its threads have ended.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # nobody reads any more: Python says so at its own end
    os._exit(code)


class _NoPandas:
    """Finds pandas, and says that it is not there."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("this command does without pandas", name=name)
