"""Profiles and contracts as text, a line a field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from assay.cli.output import plain
from assay.contract.document import Contract, Field
from assay.contract.relations import relations
from assay.contract.words import figure, rule_in_words
from assay.profile.document import FieldProfile, Profile

if TYPE_CHECKING:
    from assay.profile.compare import Change

__all__ = ["changes_table", "contract_table", "profile_table"]

_NAMES_SHOWN: Final = 5


def contract_table(contract: Contract) -> str:
    """What a contract asks of each field, what was seen, and what it is expected to cost."""
    fields = [(label, rule_in_words(field), _seen(field)) for label, field in contract.root.walk()]
    name = contract.dataset if contract.version is None else f"{contract.dataset}@{contract.version}"
    lines = [f"{name}, learned from {contract.rows:,} rows", ""]
    lines += _aligned([("field", "rule", "seen"), *fields])
    lines += ["", _cost(contract)]
    if soft := relations(contract):
        lines += ["", "Between fields, counted and never refused:"]
        lines += _aligned([(plain(relation.rule), relation.says) for relation in soft])
    if keys := contract.evidence.get("keys", []):
        lines += ["", "Keys, as it seems:"]
        lines += _aligned([(plain(str(key["field"])), str(key["says"])) for key in keys])
    left_out = contract.evidence.get("left_out", [])
    if left_out:
        lines += ["", "Left out for lack of rows:"]
        grouped: dict[tuple[str, int], list[str]] = {}
        for each in left_out:
            grouped.setdefault((str(each["claim"]), each["rows_needed"]), []).append(plain(str(each["field"])))
        lines += _aligned(
            [(f"{claim}, from {needed:,} rows on", _listed(names)) for (claim, needed), names in grouped.items()]
        )
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    """Names in a row; of many, the first few and how many more."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _seen(field: Field) -> str:
    evidence = field.evidence.get("evidence", {})
    if "min" not in evidence or "max" not in evidence:
        return ""
    return f"{figure(evidence['min'])} to {figure(evidence['max'])}"


def _cost(contract: Contract) -> str:
    """The expected false refusals, numeric bounds beside their budget and never-seen claims apart."""
    claims = [refusal.share for refusal in contract.refusals if refusal.never_seen]
    return (
        f"Of clean events, bounds are expected to refuse {contract.bound_refusals:.1e} "
        f"(budget {contract.evidence.get('budget', 0):.0e}),\n"
        f"and {len(claims)} rules on what was never seen (missing, null, another type, value or shape, a sign)\n"
        f"at most {sum(claims):.1e}: {max(claims, default=0):.1e} each or less, and less with more rows."
    )


def profile_table(profile: Profile) -> str:
    """The figures of each field."""
    head = ("field", "type", "missing", "null", "distinct", "min", "median", "max")
    rows = [head, *(_figures(label, field) for label, field in profile.walk())]
    return "\n".join([f"{profile.dataset or 'data'}: {profile.rows:,} rows", "", *_aligned(rows)])


def changes_table(changes: Sequence[Change]) -> str:
    """What changed in each field; those that did not, in a row."""
    rows: list[tuple[str, ...]] = [("field", "drift", "limit", "")]
    for change in changes:
        if change.status != "same":
            figures = ("" if value is None else f"{value:.3g}" for value in (change.drift, change.limit))
            rows.append((plain(change.label), *figures, plain("; ".join(change.says))))
    same = [plain(change.label) for change in changes if change.status == "same"]
    unchanged = [f"no change in {', '.join(same)}"] if same else []
    return "\n".join(
        [*(_aligned(rows) if len(rows) > 1 else []), *([""] if len(rows) > 1 and same else []), *unchanged]
    )


def _figures(label: str, field: FieldProfile) -> tuple[str, ...]:
    absent = field.types.get("absent", 0)
    missing = f"{absent:,}" if absent else f"{field.types.get('missing', 0):,}"
    null = "" if absent else f"{field.types.get('null', 0):,}"
    kinds = "|".join(field.kinds) or "nothing"
    if field.numbers is not None:
        numbers = field.numbers
        ends = [figure(value) for value in (numbers.minimum, numbers.median, numbers.maximum)]
        return (label, kinds, missing, null, f"{numbers.distinct:,}", *ends)
    if field.strings is not None:
        most = ", ".join(value if len(value) <= 20 else value[:19] + "…" for value, _ in field.strings.values[:3])
        return (
            label,
            kinds,
            missing,
            null,
            f"{field.strings.distinct:,}",
            "",
            "",
            f"most often {most}" if most else "",
        )
    return (label, kinds, missing, null, "", "", "", f"true in {field.true:,}" if "boolean" in field.kinds else "")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
