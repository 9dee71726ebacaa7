"""Applying in a process of its own, so that it never holds the interpreter that answers requests.

The two talk in lines of JSON over the child's stdin and stdout. When the parent dies, however it dies, the child reads
the end of its stdin and stops after the round that it is in.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, TypeAlias

import msgspec

from assay.errors import AssayError, LogFailed, ServiceError, StoreFailed, StoreLocked
from assay.ingest.apply import Applied, Gap
from assay.ingest.replay import Portion, Replayed
from assay.ingest.worker import Status, Worker

__all__ = ["ApartWorker", "serve_apart"]

OnApplied: TypeAlias = Callable[[Applied, float], None]
OnTrouble: TypeAlias = Callable[[ServiceError | None], None]
OnStatus: TypeAlias = Callable[[Status], None]

_RESTART_S: Final = 1.0
_ANSWER_S: Final = 60.0
_LOOK_S: Final = 0.2


class _Trouble(msgspec.Struct):
    """An error on its way through the pipe: a `ServiceError` when it comes out."""

    kind: str
    path: str
    text: str

    @classmethod
    def of(cls, error: AssayError) -> _Trouble:
        detail = error.holder if isinstance(error, StoreLocked) else str(error)
        return cls(type(error).__name__, str(getattr(error, "path", "")), detail)

    def error(self) -> ServiceError:
        match self.kind:
            case "StoreLocked":
                return StoreLocked(self.path, self.text)
            case "StoreFailed":
                return StoreFailed(self.path, self.text.removeprefix(f"store {self.path}: "))
            case "LogFailed":
                return LogFailed(Path(self.path), self.text.removeprefix(f"ingest log {self.path}: "))
            case _:
                return ServiceError(self.text)


class _Ask(msgspec.Struct):
    """From the parent: `flush` or `replay` (with `seconds`; answered under `number`), `contracts`, or `stop`."""

    what: str
    number: int = 0
    seconds: float = 0.0
    portion: Portion | None = None


class _Tell(msgspec.Struct):
    """From the child: a new status, what a round did, or the answer to a flush or a replay."""

    through: int
    in_quarantine: int
    waiting: bool
    trouble: _Trouble | None = None
    gaps: list[tuple[int, int]] = msgspec.field(default_factory=list)
    not_storable: dict[str, int] = msgspec.field(default_factory=dict)
    took_s: float | None = None
    expired: dict[str, int] = msgspec.field(default_factory=dict)
    answers: int = 0
    replayed: Replayed | None = None
    others: tuple[int, ...] = ()


_ask = msgspec.json.Decoder(_Ask).decode
_tell = msgspec.json.Decoder(_Tell).decode
_line = msgspec.json.Encoder().encode


class ApartWorker:
    """What a `Worker` is to its user, around a process that runs one."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        on_applied: OnApplied,
        on_trouble: OnTrouble,
    ) -> None:
        """`command` starts the process: a program that calls `serve_apart`."""
        self._command = list(command)
        self._on_applied = on_applied
        self._on_trouble = on_trouble
        self.status = Status()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._asked = 0
        self._answers: dict[int, _Tell | None] = {}
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="assay-apply", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._start()
        self._thread.start()

    def stop(self) -> None:
        """Have it try once more to move everything, then end. What could not be moved stays in the log."""
        self._stopping = True
        self._send(_Ask("stop"))
        self._thread.join()

    def kick(self) -> None:
        """There is something new to move: the process looks by itself."""

    def contracts_changed(self) -> None:
        """A contract was activated: events may have waited for it."""
        self._send(_Ask("contracts"))

    def flush(self, timeout_s: float) -> None:
        """Wait until everything that is durable now is in its table.

        Raises:
            ServiceError: it is not, and for `timeout_s` seconds nothing was moved.
        """
        self._answer("flush", timeout_s)

    def replay(self, portion: Portion, timeout_s: float) -> Replayed:
        """Replay a portion of the quarantine; what became of it.

        Raises:
            ServiceError: it was not replayed; or nobody knows, as the process ended. Asking again does nothing twice.
        """
        answer = self._answer("replay", timeout_s, portion)
        assert answer.replayed is not None
        return answer.replayed

    def _answer(self, what: str, timeout_s: float, portion: Portion | None = None) -> _Tell:
        with self._changed:
            self._asked += 1
            number = self._asked
        if not self._send(_Ask(what, number, timeout_s, portion)):
            raise ServiceError("the process that applies the log has ended; it is started again")
        with self._changed:
            done = self._changed.wait_for(lambda: number in self._answers, timeout=max(timeout_s, 0) + _ANSWER_S)
            answer = self._answers.pop(number, None)
        if not done or answer is None:
            raise ServiceError("the process that applies the log gave no answer; it is started again")
        if answer.trouble is not None:
            raise answer.trouble.error()
        return answer

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._send(_Ask("contracts"))
        if self._stopping:  # it was asked while nobody was there to be told
            self._send(_Ask("stop"))

    def _send(self, ask: _Ask) -> bool:
        """Whether there is somebody to ask."""
        process = self._process
        if process is None or process.stdin is None:
            return False
        # It may have ended: `_run` sees the end of its stdout, and closes the pipes.
        with self._changed, contextlib.suppress(OSError, ValueError):
            process.stdin.write(_line(ask) + b"\n")
            process.stdin.flush()
            return True
        return False

    def _run(self) -> None:
        while True:
            process = self._process
            assert process is not None
            assert process.stdout is not None
            assert process.stdin is not None
            for line in process.stdout:
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # a line that is none of ours
                    self._hear(_tell(line))
            code = process.wait()
            with self._changed:
                process.stdout.close()
                with contextlib.suppress(OSError):  # what it was told last, it did not hear
                    process.stdin.close()
                for number in range(self._asked + 1):
                    self._answers.setdefault(number, None)
                self._changed.notify_all()
            if self._stopping:
                return
            self._say(
                Status(trouble=ServiceError(f"the process that applies the log ended with {code}; started again"))
            )
            if not self._start_again():
                return

    def _start_again(self) -> bool:
        """Whether it runs again: it may be asked to stop before it can."""
        while True:
            time.sleep(_RESTART_S)
            try:
                self._start()
            except OSError as error:  # the system has no room for it
                reason = f"the process that applies the log cannot be started: {error}; it is tried again"
                self._say(Status(trouble=ServiceError(reason)))
            else:
                return True
            if self._stopping:
                return False

    def _hear(self, told: _Tell) -> None:
        trouble = None if told.trouble is None else told.trouble.error()
        if told.answers:
            with self._changed:
                self._answers[told.answers] = told
                self._changed.notify_all()
            return
        if told.took_s is not None:
            applied = Applied(
                told.through,
                told.others,
                gaps=[Gap(first, last) for first, last in told.gaps],
                not_storable=told.not_storable,
                in_quarantine=told.in_quarantine,
                expired=told.expired,
            )
            self._on_applied(applied, told.took_s)
        self._say(Status(told.through, told.in_quarantine, told.waiting, trouble, told.others))

    def _say(self, status: Status) -> None:
        if str(status.trouble) != str(self.status.trouble):
            self._on_trouble(status.trouble)
        self.status = status


class _Pipe:
    """The child's side of the conversation."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._writing = threading.Lock()

    def tell(self, told: _Tell) -> None:
        with self._writing, contextlib.suppress(OSError):  # nobody listens any more: stdin ends too
            self._out.write(_line(told) + b"\n")
            self._out.flush()


def serve_apart(make_worker: Callable[[OnApplied, OnStatus], Worker], refresh: Callable[[], None]) -> None:
    """The child's main: run the worker that `make_worker` makes until stdin ends. `refresh` looks at the contracts anew."""
    # A stdout of our own: whatever a library prints (DuckDB its progress, say) goes to stderr, and not into the talk.
    pipe = _Pipe(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)

    def on_applied(applied: Applied, took_s: float) -> None:
        gaps = [(gap.first, gap.last) for gap in applied.gaps]
        pipe.tell(
            _Tell(
                applied.through,
                applied.in_quarantine,
                applied.waiting,
                None,
                gaps,
                applied.not_storable,
                took_s,
                applied.expired,
                others=applied.others,
            )
        )

    def on_status(status: Status) -> None:
        trouble = None if status.trouble is None else _Trouble.of(status.trouble)
        pipe.tell(_Tell(status.through, status.in_quarantine, status.waiting, trouble, others=status.others))

    def answer(ask: _Ask) -> None:
        told = _Tell(0, 0, waiting=False, answers=ask.number)
        try:
            if ask.portion is None:
                look_at_contracts()
                worker.flush(ask.seconds)
            else:
                told.replayed = worker.replay(ask.portion, ask.seconds)
        except AssayError as error:
            told.trouble = _Trouble.of(error)
        pipe.tell(told)

    def look() -> None:
        while True:
            time.sleep(_LOOK_S)
            try:
                behind = worker.is_behind
            except LogFailed:
                behind = True  # the round says what is wrong
            if behind:
                worker.kick()

    def look_at_contracts() -> None:
        with looking:
            refresh()

    def contracts() -> None:
        look_at_contracts()
        worker.contracts_changed()

    looking = threading.Lock()
    worker = make_worker(on_applied, on_status)
    look_at_contracts()
    worker.start()
    threading.Thread(target=look, daemon=True).start()
    if _listen(sys.stdin.buffer, answer, contracts):
        worker.stop()


def _listen(stdin: IO[bytes], answer: Callable[[_Ask], None], contracts: Callable[[], object]) -> bool:
    """Do what is asked until told to stop; False when the parent has gone without a word."""
    for line in stdin:
        ask = _ask(line)
        match ask.what:
            case "flush" | "replay":
                threading.Thread(target=answer, args=[ask], daemon=True).start()
            case "contracts":
                contracts()
            case "stop":
                return True
    return False
