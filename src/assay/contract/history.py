"""Who put which version in force, and when: lines that are only ever added, beside the versions.

contracts/<dataset>/history.ndjson   {"at": "2026-07-01T12:00:00Z", "by": "ada", "how": "assay activate", "contract": 2, …}
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from assay.contract.versions import Active, Mode, Versions, parse_active
from assay.errors import NotASchema

__all__ = ["EDITED", "Activation", "activate", "history", "history_path", "own_mode_since"]

#: How a version came into force that nobody said anything about: `active.json` was edited, or brought by git.
EDITED: Final = "active.json changed"

_MOMENT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class Activation:
    """One change of what is in force. `by` is None where nobody knows who it was; `how` is the way that it was done."""

    at: datetime
    by: str | None
    how: str
    active: Active

    def to_document(self) -> dict[str, Any]:
        """As the file holds it."""
        said = json.loads(self.active.to_json())
        return {"at": self.at.strftime(_MOMENT), "by": self.by, "how": self.how, **said}

    def to_line(self) -> str:
        """As a line of it."""
        return json.dumps(self.to_document(), ensure_ascii=False) + "\n"


def activate(versions: Versions, dataset: str, active: Active, *, by: str | None, how: str) -> None:
    """Make a version the enforced one, and write down who did.

    What was changed before without being written down is written down first.

    Raises:
        UnknownDataset, UsageError, NotASchema: as `Versions.activate`; nothing is changed then.
    """
    unsaid: list[Activation] = []
    with contextlib.suppress(NotASchema):  # a line that somebody broke must not keep a switch from being thrown
        unsaid = _unsaid(versions, dataset, _written(versions, dataset))
    versions.activate(dataset, active)
    lines = [*unsaid, Activation(datetime.now(UTC), by, how, active)]
    text = "".join(each.to_line() for each in lines)
    handle = os.open(history_path(versions, dataset), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        begun = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # by an editor that ends no line
        os.write(handle, ("\n" * begun + text).encode())  # at once: others may add lines, too
        os.fsync(handle)
    finally:
        os.close(handle)


def history(versions: Versions, dataset: str) -> list[Activation]:
    """Every change of what is in force of a dataset, the first one first; the last may be one that nobody wrote down.

    Raises:
        NotASchema: a line of the file is none that assay wrote; the message says which.
    """
    written = _written(versions, dataset)
    return [*written, *_unsaid(versions, dataset, written)]


def own_mode_since(versions: Versions, dataset: str) -> dict[str, datetime]:
    """Since when each field with a mode of its own has had it without a break.

    Empty where the history cannot be read: `history` says why, and what is in force is not hidden for it.
    """
    try:
        past = history(versions, dataset)
    except NotASchema:
        return {}
    found: dict[str, datetime] = {}
    before: Mapping[str, Mode] = {}
    for each in past:
        own = each.active.fields
        found = {label: found[label] if before.get(label) == mode else each.at for label, mode in own.items()}
        before = own
    return found


def history_path(versions: Versions, dataset: str) -> Path:
    """Where the lines are, or would be."""
    return versions.root / dataset / "history.ndjson"


def _written(versions: Versions, dataset: str) -> list[Activation]:
    path = history_path(versions, dataset)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise NotASchema("", f"cannot be read: {error}", where=str(path)) from error
    return [_parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _parsed(line: str, where: str) -> Activation:
    try:
        document = json.loads(line)
        at = datetime.strptime(document.pop("at"), _MOMENT).replace(tzinfo=UTC)
        by, how = document.pop("by"), document.pop("how")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise NotASchema("", "no line of a history; take it out", where=where) from error
    if not (by is None or isinstance(by, str)) or not isinstance(how, str):
        raise NotASchema("", "no line of a history; take it out", where=where)
    return Activation(at, by, how, parse_active(json.dumps(document), where))


def _unsaid(versions: Versions, dataset: str, written: list[Activation]) -> list[Activation]:
    """What is in force, where it is not what was written down last."""
    active = versions.active(dataset)
    if active is None or (written and written[-1].active == active):
        return []
    changed = datetime.fromtimestamp(versions.active_path(dataset).stat().st_mtime, UTC)
    return [Activation(changed, None, EDITED, active)]
