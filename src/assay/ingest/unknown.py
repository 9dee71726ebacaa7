"""Events with fields that the contract does not name: decoded as fast as the others, once the names are known.

A struct has room for the names it was made with. So the names that come are learned, a few of them, and a struct is made
with room for those too. What else comes is left to the ordinary way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from assay.ingest.decode import is_plain

__all__ = ["Extended", "UnknownFields"]

#: Names learned of one contract's events. Whoever sends more of them is served, slowly.
_MOST_NAMES: Final = 64

_decode_any: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Extended:
    """A struct with room for some unknown fields, behind the contract's own."""

    names: tuple[str, ...]
    decode: Callable[[bytes], Struct]

    def texts(self, columns: Sequence[Sequence[Any]]) -> tuple[list[str | None], int]:
        """What `_extra` holds of the unknown fields, one column of values each, row by row; and how many those are."""
        found = len(self.names) * len(columns[0]) - sum(column.count(UNSET) for column in columns)
        texts: list[str | None] = []
        for row in zip(*columns, strict=True):
            left = {name: value for name, value in zip(self.names, row, strict=True) if value is not UNSET}
            texts.append(_encode(left).decode() if left else None)
        return texts, found


class UnknownFields:
    """The unknown fields of one contract's events. Threads share it: they at most learn the same name twice."""

    def __init__(self, known: type[Struct]) -> None:
        """`known` is the struct of the contract's own fields, which has no room for others."""
        self._known = known
        self._fields = frozenset(field.encode_name for field in msgspec.structs.fields(known))
        self.extended = Extended((), msgspec.json.Decoder(known).decode)

    def decode(self, raw: bytes) -> Struct:
        """One event as a struct of `extended`, which may be another one afterwards.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is declined.
        """
        if not is_plain(raw):
            raise msgspec.DecodeError("it needs a closer look")
        try:
            return self.extended.decode(raw)
        except msgspec.ValidationError:
            if not self._learn(raw):
                raise
            return self.extended.decode(raw)

    def _learn(self, raw: bytes) -> bool:
        """Whether the event has names that were not known and now are."""
        event = _decode_any(raw)
        if not isinstance(event, dict):
            return False
        names = self.extended.names
        wanted = (*names, *(name for name in event if name not in self._fields and name not in names))
        if len(wanted) == len(names) or len(wanted) > _MOST_NAMES:
            return False
        try:
            struct = msgspec.defstruct(
                "Event",
                [(f"u{i}", Any, UNSET) for i in range(len(wanted))],
                bases=(self._known,),
                rename={f"u{i}": name for i, name in enumerate(wanted)},
                forbid_unknown_fields=True,
                gc=False,
                kw_only=True,
                module=__name__,
            )
            self.extended = Extended(wanted, msgspec.json.Decoder(struct).decode)
        except (TypeError, ValueError):  # a name that it cannot have
            return False
        return True
