"""What came across from one format to another, and what did not."""

from __future__ import annotations

from dataclasses import dataclass

from assay.contract.document import Contract

__all__ = ["Exported", "Imported", "LeftOut"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rule that the other side has no room for: the field's label ("" for the event), the rule, and why."""

    field: str
    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.field or 'the event'}: {self.rule}: {self.why}"

    def to_document(self) -> dict[str, str]:
        """As `--json` prints it."""
        return {"field": self.field, "rule": self.rule, "why": self.why}


@dataclass(frozen=True, slots=True)
class Exported:
    """A contract in another format. What is in `left_out` is not enforced by whoever reads `text` alone."""

    text: str
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """A contract, not written yet, and what its source says that no contract can: claims on more than one event."""

    contract: Contract
    left_out: tuple[LeftOut, ...] = ()
