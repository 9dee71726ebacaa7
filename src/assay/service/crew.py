"""The worker processes, as the head sees them: started, listened to, started again when they die, and stopped together."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from assay.errors import ServiceError
from assay.service.orders import Order, Report, read_report, written

__all__ = ["Crew", "Start"]

_log = structlog.get_logger("assay")

#: A worker that lives this long is started again at once when it dies; else after a pause, each twice the last.
_LONG_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_LOOK_S: Final = 5.0
_END_S: Final = 10.0

#: Starts the process of a worker, by its number: what talks `line` over its stdin and stdout, unbuffered pipes.
Start = Callable[[int], "subprocess.Popen[bytes]"]


class Crew:
    """Workers, numbered from 0. Its methods may be called from any thread; `begin`, `start` and `end` once."""

    def __init__(self, size: int, start: Start) -> None:
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._members = [_Member(number, start, self) for number in range(size)]
        self._looks = 0

    def begin(self) -> None:
        """Start all, and do not wait."""
        for member in self._members:
            member.start()

    def start(self) -> None:
        """Wait until all take events.

        Raises:
            ServiceError: one of them cannot; none is left.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping.is_set() or all(each.is_ready or each.failed for each in self._members)
            )
            failed = next((each.failed for each in self._members if each.failed), None)
        if failed is not None:
            self.end([])
            raise ServiceError(failed)

    # ---- what they say

    @property
    def failure(self) -> str | None:
        """Why no event can be acknowledged; None when each worker that is there can, and one is."""
        ready = [member for member in self._members if member.is_ready]
        if not ready:
            return "no process that takes events is there; they are started again"
        return next((member.state.text for member in ready if member.state.text), None)

    @property
    def learning(self) -> dict[str, int]:
        """What the datasets without a contract have sent to all."""
        return dict(sum((Counter(member.state.learning) for member in self._members), Counter[str]()))

    def gauges(self) -> dict[str, float]:
        """Sums over all; of ages the greatest."""
        total: dict[str, float] = {}
        for member in self._members:
            for name, value in member.state.gauges.items():
                known = total.get(name, 0.0)
                total[name] = max(known, value) if name.endswith("_seconds") else known + value
        return total

    # ---- what they are told

    def moved(self, through: Sequence[int]) -> None:
        """The store has their logs up to there."""
        for member, seq in zip(self._members, through, strict=False):
            member.tell(Order("through", through=seq))

    def look(self) -> None:
        """Have all look at the contracts, and wait until they have; whoever is being started looks by itself."""
        with self._changed:
            self._looks += 1
            number = self._looks
            asked = [member for member in self._members if member.is_ready and member.tell(Order("look", number))]
            self._changed.wait_for(
                lambda: all(each.looked >= number or not each.is_ready for each in asked), timeout=_LOOK_S
            )

    def drain(self, timeout_s: float) -> None:
        """Have them answer what they have and take no more, and wait until all of it is in their logs."""
        self._stopping.set()
        for member in self._members:
            member.tell(Order("stop"))
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: all(each.is_drained or not each.is_running for each in self._members), timeout=timeout_s
            )

    def end(self, through: Sequence[int]) -> None:
        """Have them free their logs, which the store has up to there, and end."""
        self._stopping.set()
        for number, member in enumerate(self._members):
            member.tell(Order("end", through=through[number] if number < len(through) else 0))
        deadline = time.monotonic() + _END_S
        for member in self._members:
            member.join(max(0.0, deadline - time.monotonic()))

    # ---- from the members' threads

    def heard(self, member: _Member, report: Report) -> None:
        """A worker said something."""
        with self._changed:
            member.take(report)
            self._changed.notify_all()
        if report.what == "state":
            self._share_learning()

    def ended(self, member: _Member, code: int, text: str) -> bool:
        """A worker is no more; whether to start it again."""
        with self._changed:
            if not member.was_ready and not self._stopping.is_set():
                member.failed = text or f"a process that takes events ended with {code} before it was ready"
            self._changed.notify_all()
            again = member.was_ready and not self._stopping.is_set()
        if again:
            _log.error("a process that takes events has ended; it is started again", worker=member.number, code=code)
        return again

    def wait(self, pause_s: float) -> bool:
        """Whether to go on, after a while."""
        return not self._stopping.wait(pause_s)

    def _share_learning(self) -> None:
        if not any(member.state.learning or member.told for member in self._members):
            return
        total = Counter(self.learning)
        for member in self._members:
            others = dict(total - Counter(member.state.learning))
            if others != member.told and member.tell(Order("learning", learning=others)):
                member.told = others


class _Member:
    """One worker, through all its lives."""

    def __init__(self, number: int, start: Start, crew: Crew) -> None:
        self.number = number
        self.state = Report("state")
        self.looked = 0
        self.told: dict[str, int] = {}
        self.is_ready = self.was_ready = self.is_drained = self.is_running = False
        self.failed: str | None = None
        self._begin = start
        self._crew = crew
        self._process: subprocess.Popen[bytes] | None = None
        self._telling = threading.Lock()
        self._through = 0
        self._text = ""
        self._thread = threading.Thread(target=self._run, name=f"assay-worker-{number}", daemon=True)

    def start(self) -> None:
        self.is_running = True
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        process = self._process
        if self._thread.is_alive() and process is not None:  # it hangs: what it acknowledged is in its log
            process.kill()
            self._thread.join()

    def tell(self, order: Order) -> bool:
        """Whether there is somebody to tell."""
        if order.what == "through":
            self._through = order.through
        process = self._process
        if process is None or process.stdin is None:
            return False
        # One that hangs does not read: then it is not told, and nobody waits for it.
        with self._telling, contextlib.suppress(OSError, ValueError):
            return process.stdin.write(written(order)) is not None
        return False

    def take(self, report: Report) -> None:
        match report.what:
            case "ready":
                self.is_ready = self.was_ready = True
            case "looked":
                self.looked = report.number
            case "drained":
                self.is_drained, self.is_ready = True, False
            case "failed":
                self._text = report.text
            case _:
                self.state = report

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            code = self._live()
            self.is_ready = False
            self.told = {}
            # What it had sent while it learned is in its log: it says so again. What else it said is over.
            self.state = Report("state", learning=self.state.learning)
            text, self._text = self._text, ""
            if not self._crew.ended(self, code, text):
                break
            if time.monotonic() > began + _LONG_S:
                pause_s = _FIRST_PAUSE_S
                continue
            if text:
                _log.error("it could not start", worker=self.number, problem=text)
            if not self._crew.wait(pause_s):
                break
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self.is_running = False
        self._crew.heard(self, self.state)

    def _live(self) -> int:
        """One life: until it ends; how it ended."""
        try:
            process = self._process = self._begin(self.number)
        except (OSError, ValueError) as error:  # the system has no room for it; or all stop, and its sockets are closed
            self._text = str(error)
            return -1
        assert process.stdout is not None
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        if self._through:
            self.tell(Order("through", through=self._through))
        if not self._crew.wait(0):  # it was asked while nobody was there to be told
            self.tell(Order("stop"))
        for line in process.stdout:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # a line that is none of ours
                self._crew.heard(self, read_report(line))
        code = process.wait()
        process.stdout.close()
        with self._telling, contextlib.suppress(OSError):
            process.stdin.close()
        return code
