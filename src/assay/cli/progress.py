"""A bar on stderr for work that takes long, where somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["progress"]

_AFTER_S: Final = 0.5


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """Something to tell the share that is done, in [0, 1]. The bar shows once it has taken half a second, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    begun = time.monotonic()
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=1.0)

    def tell(share: float) -> None:
        if not bar.live.is_started and time.monotonic() - begun > _AFTER_S:
            bar.start()
        bar.update(task, completed=share)

    try:
        yield tell
    finally:
        bar.stop()
