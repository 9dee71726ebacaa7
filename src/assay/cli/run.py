"""Runs the command that was typed. No traceback reaches a user."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Any, Final, NoReturn

import typer

from assay.cli.output import app, fail, say
from assay.errors import AssayError

__all__ = ["run"]

#: The modules of the commands, each named as the command that it adds to `app`.
_COMMANDS: Final = (
    "activate",
    "check",
    "contracts",
    "diff",
    "doctor",
    "export",
    "flush",
    "import",
    "init",
    "keys",
    "learn",
    "profile",
    "quarantine",
    "replay",
    "report",
    "rules",
    "serve",
)
# Where a command's name is a word of Python's.
_MODULES: Final = {"import": "import_"}
# Click's, or that of the Click which Typer brings since it has one of its own.
_Misused: Final[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def run(arguments: list[str]) -> NoReturn:
    """Run a command and end with its exit code."""
    try:
        # The others' are not needed to run one, and take longer to load than many a command takes.
        typed = arguments[0] if arguments else ""
        for name in (typed,) if typed in _COMMANDS else _COMMANDS:
            import_module(f"assay.cli.{_MODULES.get(name, name)}")
        code = app(arguments, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)  # 130 after Ctrl-C
    except AssayError as error:
        fail(error)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except typer.Abort:
        sys.exit(130)
    except _Misused as error:
        error.show()
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = "ui" if error.name in {"jinja2", "markupsafe", "markdown_it"} else "profile"
        say(
            f"assay: this needs the package {error.name}, which is not installed; pip install 'assay[{extra}]' brings it"
        )
        sys.exit(2)
    except OSError as error:
        say(f"assay: {error}")
        sys.exit(3)
    except Exception as fault:  # noqa: BLE001  no traceback ever reaches a user
        *_, last = traceback.extract_tb(fault.__traceback__)
        say(
            f"assay: a fault of assay's own, please report it: {type(fault).__name__}: {fault} ({last.name}, line {last.lineno})"
        )
        sys.exit(3)
