"""Everything that assay raises on purpose.

    AssayError
      UsageError           it was used wrongly                       exit 2
        UnknownDataset       no such dataset here
        UnsupportedType      a content type or encoding we do not take
        TooLarge             a body beyond max_body_bytes
        KeyReused            an idempotency key that another body came with before
      ContractError        the data or the contract falls short      exit 1
        NotASchema           a schema that cannot be enforced exactly
        NotEnoughData        too few rows to learn from
        EditedByHand         a generated file that a person has edited
      BadBody              a body that is not what it says it is     exit 1
      ServiceError         the service or the storage failed         exit 3
        Overloaded           at a bound: try again later
        LogFailed            the ingest log could not be written
          LogInUse             it belongs to another process
          FateUnknown          nobody can say whether what was to be written is there
        StoreLocked          another program holds the store
        StoreFailed          the store is damaged or out of reach
          StoreUnreachable     it is elsewhere, and does not answer
        KeysFailed           the file of API keys is damaged, or not to be believed

Errors carry what happened as fields and know nothing of HTTP. A message says what, where, and what to do. An event that
breaks its contract is no error: it is a `Violation`, returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "AssayError",
    "BadBody",
    "ContractError",
    "EditedByHand",
    "FateUnknown",
    "KeyReused",
    "KeysFailed",
    "LogFailed",
    "LogInUse",
    "NotASchema",
    "NotEnoughData",
    "Overloaded",
    "ServiceError",
    "StoreFailed",
    "StoreLocked",
    "StoreUnreachable",
    "TooLarge",
    "UnknownDataset",
    "UnsupportedType",
    "UsageError",
]


class AssayError(Exception):
    """The root: catch this to catch all that assay raises on purpose. It may come from another process: it can be pickled."""

    def __reduce__(self) -> tuple[Callable[..., AssayError], tuple[object, ...], dict[str, Any]]:
        return _again, (type(self), *self.args), self.__dict__


def _again(kind: type[AssayError], *args: object) -> AssayError:
    """An error that was pickled: it is told its message, and not made anew from what would give it one."""
    return kind.__new__(kind, *args)


class UsageError(AssayError):
    """It was used wrongly: an option, a name, a file that is not there."""


class UnknownDataset(UsageError):
    """No dataset of that name is known here, and none may be opened; without a name, none at all."""

    def __init__(self, dataset: str, hint: str = "see `assay contracts` for those that are known") -> None:
        self.dataset = dataset
        super().__init__(f'dataset "{dataset}" is unknown here; {hint}' if dataset else hint)


class UnsupportedType(UsageError):
    """A content type or content encoding that is not taken."""


class TooLarge(UsageError):
    """A body of more bytes than `max_body_bytes`; `what` says what of it is, where it is not the body itself."""

    def __init__(self, limit_bytes: int, what: str = "the body") -> None:
        self.limit_bytes = limit_bytes
        super().__init__(
            f"{what} is larger than max_body_bytes = {limit_bytes:,}; send it in smaller pieces, or raise the setting"
        )


class KeyReused(UsageError):
    """An idempotency key that another body came with before."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f'the idempotency key "{key}" was used for another body, which was accepted; '
            "send this one with a key of its own, or none"
        )


class ContractError(AssayError):
    """The data, or a contract, falls short."""


class NotASchema(ContractError):
    """A document that is not a contract, or uses a keyword that assay could not enforce exactly.

    `pointer` is the JSON Pointer (RFC 6901) of the place in the document. `place` is its line and column in the file,
    both from 1, where it came from one.
    """

    def __init__(
        self, pointer: str, reason: str, *, where: str = "contract", place: tuple[int, int] | None = None
    ) -> None:
        self.pointer = pointer
        self.reason = reason
        self.where = where
        self.place = place
        spot = where if place is None else f"{where}:{place[0]}:{place[1]}"
        super().__init__(f"{spot}: at {pointer or '/'}: {reason}")

    def placed(self, place: tuple[int, int]) -> NotASchema:
        """The same error, with the line and column that its pointer leads to."""
        return NotASchema(self.pointer, self.reason, where=self.where, place=place)


class NotEnoughData(ContractError):
    """There are fewer rows than anything can be learned from."""

    def __init__(self, dataset: str, rows: int, needed: int) -> None:
        self.dataset = dataset
        self.rows = rows
        self.needed = needed
        super().__init__(
            f'dataset "{dataset}" has {rows:,} rows: a contract needs at least {needed:,}; collect more, then learn again'
        )


class EditedByHand(ContractError):
    """A generated file was edited by a person: it is not overwritten unless told so."""

    def __init__(self, path: Path, diff: str, hint: str) -> None:
        self.path = path
        self.diff = diff
        super().__init__(f"{path} was edited by hand and is left as it is; {hint}")


class BadBody(AssayError):
    """A body that is not what it says it is. `byte` (offset from 0) or `line` (from 1) is where it broke."""

    def __init__(self, reason: str, *, byte: int | None = None, line: int | None = None) -> None:
        self.reason = reason
        self.byte = byte
        self.line = line
        place = f" at line {line}" if line is not None else f" at byte {byte}" if byte is not None else ""
        super().__init__(f"{reason}{place}")


class ServiceError(AssayError):
    """The service, or the storage under it, failed."""


class Overloaded(ServiceError):
    """A bound is reached: nothing of the request was kept; it may be sent again after `retry_after_s` seconds."""

    def __init__(self, reason: str, *, retry_after_s: int = 1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class LogFailed(ServiceError):
    """The ingest log at `path`, a file or a stream's address, could not be opened or written."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        super().__init__(f"ingest log {path}: {reason}")


class LogInUse(LogFailed):
    """Another process owns the log: two would both move it."""

    def __init__(
        self,
        path: Path | str,
        reason: str = "another assay process owns it; stop that one first, or name another store "
        "(a service on another port than assay.toml's is found by ASSAY_PORT)",
    ) -> None:
        super().__init__(path, reason)


class FateUnknown(LogFailed):
    """The disk, or the way to it, failed while the ingest log was made durable: yes or no would be a guess, so nothing is said."""


class StoreLocked(ServiceError):
    """Another program holds the store; `holder` names it where the engine does."""

    def __init__(self, path: str, holder: str) -> None:
        self.path = path
        self.holder = holder
        super().__init__(f"the store {path} is held by {holder or 'another program'}; try again when it lets go")


class StoreFailed(ServiceError):
    """The store at `path` is damaged or cannot be reached."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        super().__init__(f"store {path}: {reason}")


class KeysFailed(ServiceError):
    """The file of API keys at `path` is damaged, cannot be read or written, or might be somebody else's."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"the file of keys {path} {reason}")


class StoreUnreachable(StoreFailed):
    """A store that is elsewhere does not answer, or not as it should. It may again."""
