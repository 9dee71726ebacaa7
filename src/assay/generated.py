"""Files that assay generates carry a checksum of themselves, so that a person's edit is noticed and never overwritten."""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["is_edited", "sealed"]

_SEAL: Final = re.compile(rb"# assay:seal ([0-9a-f]{16})\r?\n?\Z")


def sealed(data: bytes) -> bytes:
    """The same bytes with their checksum as a last line, a comment in Python and YAML alike."""
    body = data if data.endswith(b"\n") else data + b"\n"
    return body + b"# assay:seal " + _digest(body) + b"\n"


def is_edited(data: bytes) -> bool:
    """Whether the content of a file is something else than `sealed` made: edited, or never generated."""
    match = _SEAL.search(data)
    return match is None or _digest(data[: match.start()]) != match[1]


def _digest(body: bytes) -> bytes:
    # A formatter's or an editor's line ends are no edit.
    return hashlib.sha256(body.replace(b"\r\n", b"\n")).hexdigest()[:16].encode()
