"""What every command shares: results to stdout, messages to stderr, the exit code of an error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import typer

from assay.errors import AssayError, BadBody, ContractError, EditedByHand, ServiceError, UsageError

__all__ = ["app", "fail", "own_modes", "plain", "result", "say", "tell"]

app: Final = typer.Typer(
    name="assay",
    help="Collects events, learns what good data looks like, holds every event to it, and alerts within seconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _assay() -> None:
    """What keeps `app` a group of commands even where only the one that was typed has been loaded."""


_EXIT: Final = ((UsageError, 2), (EditedByHand, 1), (ContractError, 1), (BadBody, 1), (ServiceError, 3))


def say(message: str) -> None:
    """A message for the person at the terminal; where stderr is on a full disk, or nobody's, there is none to read it."""
    with contextlib.suppress(OSError):
        sys.stderr.write(message + "\n")


def tell(message: str) -> None:
    """What a person should know beside the result."""
    say(f"assay: {plain(message)}")


def plain(text: str) -> str:
    """What a client or a document says, without what would move the cursor of who looks at it."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def own_modes(modes: Mapping[str, str]) -> str:
    """The modes of single fields, to stand behind the contract's: ` (salary: observe)`; nothing where there are none."""
    return f" ({', '.join(f'{plain(label)}: {mode}' for label, mode in modes.items())})" if modes else ""


def result(text: str, document: Any, *, as_json: bool) -> None:
    """A command's result: `text` for people, `document` with `--json`."""
    full = json.dumps(document, ensure_ascii=False, indent=2, default=str) if as_json else text
    encoding = sys.stdout.encoding or "utf-8"
    try:
        # What a terminal cannot show is shown by its number.
        sys.stdout.write(full.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough; the command goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(error: AssayError) -> NoReturn:
    """End with the error's message and exit code."""
    if isinstance(error, EditedByHand):
        say(error.diff.removesuffix("\n"))
    say(f"assay: {error}")
    sys.exit(next((code for kind, code in _EXIT if isinstance(error, kind)), 3))
