"""Which logs there are: the first one's own path, those of further workers with their number behind it. And how one is opened."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assay.errors import LogFailed

if TYPE_CHECKING:
    from assay.ingest.log import Log
    from assay.ingest.stream_address import StreamAddress

__all__ = ["LOG_HEADER", "check_left", "id_of", "log_of", "logs_beside", "open_log"]

#: What a service answers with at `/`: the id of its log, by which commands know whether it is their workspace's.
LOG_HEADER: Final = "Assay-Log"


def check_left(path: Path) -> None:
    """Whether the log that was before a stream took its place is empty: nobody would look into it again.

    Raises:
        LogFailed: it has what the store has not, or cannot be read.
    """
    if not path.exists():
        return
    from assay.ingest.log_reader import Reader

    with closing(Reader(path)) as reader:
        if reader.read(0, 1):
            raise LogFailed(
                path, f"has what is not in the store yet, from before: `ASSAY_LOG={path} assay flush` brings it in"
            )


def id_of(path: Path) -> str:
    """The id of the log in a file.

    Raises:
        LogFailed: it cannot be read.
    """
    from assay.ingest.log_reader import Reader

    with closing(Reader(path)) as reader:
        return reader.id()


def open_log(path: Path, stream: StreamAddress | None, *, keys_max_bytes: int) -> Log:
    """The log in a file; or in a stream, with the file as its copy.

    Raises:
        UsageError: what talks to streams is not installed.
        LogFailed: it cannot be written, or another process owns it.
    """
    if stream is not None:
        from assay.ingest.stream_log import StreamLog

        return StreamLog(path, stream, keys_max_bytes=keys_max_bytes)
    from assay.ingest.log import Log

    return Log(path, keys_max_bytes=keys_max_bytes)


def log_of(log: Path, number: int) -> Path:
    """The log of a worker; they are counted from 0."""
    return log if number == 0 else log.with_name(f"{log.name}.{number}")


def logs_beside(log: Path) -> list[Path]:
    """The logs of further workers that are there, by their numbers."""
    numbered = re.compile(re.escape(log.name) + r"\.([1-9][0-9]{0,3})")
    try:
        matches = [numbered.fullmatch(path.name) for path in log.parent.iterdir()]
    except OSError:
        return []
    return [log_of(log, number) for number in sorted(int(match[1]) for match in matches if match)]
