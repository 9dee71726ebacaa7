"""What takes long, or needs libraries that collecting does not: done in a process of its own, so that no request waits for it.

The process is told what to do in its last argument, and tells in lines of JSON how far it is and what came of it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from assay import errors
from assay.errors import AssayError, Overloaded, ServiceError

__all__ = ["Errands", "told_failure"]

#: Those of one kind are done one after the other. How many may wait for their turn.
_MOST_WAITING: Final = 16


class Errands:
    """Runs errands. Activations have a lane of their own: they do not wait for what measures."""

    def __init__(self, command: Sequence[str]) -> None:
        """`command` starts the process, but for its last argument."""
        self._command = list(command)
        self._lanes = {
            name: ThreadPoolExecutor(1, thread_name_prefix=f"assay-{name}") for name in ("activate", "measure")
        }
        self._waiting = 0
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    async def run(self, what: Mapping[str, Any], progress: Callable[[float], object] = lambda _: None) -> Any:
        """Do what is said: its `do` names the errand. `progress` is told the share that is done, from another thread.

        Raises:
            Overloaded: too many wait already.
            AssayError: what the errand met.
        """
        if self._waiting >= _MOST_WAITING:
            raise Overloaded("too many contracts and profiles are asked for at once; ask again when some are done")
        lane = self._lanes["activate" if what["do"] == "activate" else "measure"]
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(lane, partial(self._run, what, progress))
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """Break off what is under way: an errand does its work at the end, all of it or nothing."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.terminate()
        for lane in self._lanes.values():
            lane.shutdown(cancel_futures=True)

    def _run(self, what: Mapping[str, Any], progress: Callable[[float], object]) -> Any:
        with self._lock:
            if self._stopped:
                raise ServiceError("the service stops")
            process = subprocess.Popen(
                [*self._command, json.dumps(what)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
            self._processes.add(process)
        said: dict[str, Any] = {}
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line)
                if "progress" in said:
                    progress(said["progress"])
        with self._lock:
            self._processes.discard(process)
        if "failed" in said:
            raise _failure(**said["failed"])
        if "done" not in said:
            raise ServiceError(f"the process that was to {what['do']} ended with {process.returncode}")
        return said["done"]


def told_failure(error: AssayError) -> dict[str, str]:
    """An error as the process tells of it."""
    return {"kind": type(error).__name__, "text": str(error)}


def _failure(kind: str, text: str) -> AssayError:
    """An error that the process told of: of its kind, saying the same, and without its fields."""
    found = getattr(errors, kind, ServiceError)
    error: AssayError = found.__new__(found)
    error.args = (text,)
    return error
