"""What the head and a worker say to each other: lines of JSON over the worker's stdin and stdout."""

from __future__ import annotations

import msgspec

__all__ = ["Order", "Report", "read_order", "read_report", "written"]


class Order(msgspec.Struct):
    """From the head: the store has the log `through`; `look` at the contracts (answered under `number`); others `learn`.

    `stop`: answer what there is and take no more. `end`: let go of the log.
    """

    what: str
    number: int = 0
    through: int = 0
    learning: dict[str, int] = msgspec.field(default_factory=dict)


class Report(msgspec.Struct):
    """From a worker: it is `ready`, has `looked`, has `drained`, or `failed` to start; or its `state`.

    `text` says why it failed, or why it cannot acknowledge events.
    """

    what: str
    number: int = 0
    text: str = ""
    gauges: dict[str, float] = msgspec.field(default_factory=dict)
    learning: dict[str, int] = msgspec.field(default_factory=dict)


read_order = msgspec.json.Decoder(Order).decode
read_report = msgspec.json.Decoder(Report).decode
_encode = msgspec.json.Encoder().encode


def written(message: Order | Report) -> bytes:
    """As a line."""
    return _encode(message) + b"\n"
