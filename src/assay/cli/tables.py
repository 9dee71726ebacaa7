"""Profiles and contracts as text, a line a field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.contract.document import Contract, Field
from assay.contract.evidence import Bins
from assay.contract.words import figure, rule_in_words
from assay.profile.document import FieldProfile, Profile

__all__ = ["aligned", "contract_table", "profile_table"]


def contract_table(contract: Contract) -> str:
    """What a contract asks of each field, what was seen, and what it is expected to cost."""
    fields = [(label, rule_in_words(field), _seen(field)) for label, field in contract.root.walk()]
    lines = [f"{contract.dataset}@{contract.version}, learned from {contract.rows:,} rows", ""]
    lines += aligned([("field", "rule", "seen"), *fields])
    lines += ["", _cost(contract), "", *_stream(contract)]
    left_out = contract.evidence.get("left_out", [])
    if left_out:
        lines += ["", "Left out for lack of rows:"]
        lines += aligned(
            [(str(each["field"]), f"{each['claim']}: needs {each['rows_needed']:,} rows") for each in left_out]
        )
    return "\n".join(lines)


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


def _stream(contract: Contract) -> Iterator[str]:
    """What the drift alerts take for granted of the stream, and how often they are expected to be wrong."""
    from assay.monitor.bins import binned_fields
    from assay.monitor.recording import false_alarms

    stretches = contract.evidence.get("stretches", [])
    binned = binned_fields(contract)
    restless = [(label, field.bins) for label, field in binned if field.bins and not _is_independent(field.bins)]
    if not stretches:
        yield "Alerts take the values for independent: too few stretches of time are known that could be compared."
    else:
        cut = " and ".join(f"{each['count']:,} stretches of {each['seconds']:g} s" for each in stretches)
        if restless:
            yield f"Compared over {cut}, these fields change by more than chance, and their limits are wider:"
            yield from aligned([(label, _tolerated(own)) for label, own in restless])
        else:
            yield f"Compared over {cut}, no field changes by more than chance."
    yield _volume(contract)
    yield f"By chance, FieldDrift is expected to raise at most {false_alarms(contract):.2g} alarms in 30 days."


def _volume(contract: Contract) -> str:
    from assay.monitor.recording import volume_waves
    from assay.profile.seasons import DAYS, WEEKDAYS_DAYS

    days = contract.evidence.get("hours", 0) / 24
    if waves := volume_waves(contract):
        what = "hours of the day and days of the week" if max(waves)[0] > 24 else "hours of the day"
        return f"Volume is compared with the hour before, and follows the {what} as in the last {days:.0f} days."
    if days:
        return f"Volume is compared with the hour before: in the last {days:.0f} days hours of the day told no more."
    return (
        f"Volume is compared with the hour before: hours of the day take a history of {DAYS} days, days of the week "
        f"one of {WEEKDAYS_DAYS}."
    )


def _is_independent(own: Bins) -> bool:
    return own.spread == 1 and not own.tolerance


def _tolerated(own: Bins) -> str:
    parts = [f"{own.spread:g} times chance"] if own.spread > 1 else []
    parts += [f"a distance of {own.tolerance:g}"] if own.tolerance else []
    return " and ".join(parts)


def profile_table(profile: Profile) -> str:
    """The figures of each field."""
    head = ("field", "type", "missing", "null", "distinct", "min", "median", "max")
    rows = [head, *(_figures(label, field) for label, field in profile.walk())]
    return "\n".join([f"{profile.dataset or 'data'}: {profile.rows:,} rows", "", *aligned(rows)])


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


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, a column under the other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
