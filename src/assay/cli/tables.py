"""Profiles and contracts as text, a line a field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

from assay.cli.output import plain as plain_text
from assay.contract.document import Contract, Field
from assay.contract.evidence import Bins
from assay.contract.relations import relations
from assay.contract.words import figure, rule_in_words
from assay.profile.document import FieldProfile, Profile
from assay.ui.first_look import heights
from assay.ui.text_bars import text_bars

if TYPE_CHECKING:
    from assay.profile.compare import Change

__all__ = ["aligned", "changes_table", "contract_table", "print_profile", "profile_table", "rules_table"]

_NAMES_SHOWN: Final = 5


def contract_table(contract: Contract) -> str:
    """What a contract asks of each field, what was seen, and what it is expected to cost."""
    fields = [(label, rule_in_words(field), _seen(field)) for label, field in contract.root.walk()]
    name = contract.dataset if contract.version is None else f"{contract.dataset}@{contract.version}"
    lines = [f"{name}, learned from {contract.rows:,} rows", ""]
    lines += aligned([("field", "rule", "seen"), *fields])
    lines += ["", _cost(contract), "", *_stream(contract)]
    if soft := relations(contract):
        lines += ["", "Between fields, counted and never refused:"]
        lines += aligned([(plain_text(relation.rule), relation.says) for relation in soft])
    if keys := contract.evidence.get("keys", []):
        lines += ["", "Keys, as it seems:"]
        lines += aligned([(plain_text(str(key["field"])), str(key["says"])) for key in keys])
    left_out = contract.evidence.get("left_out", [])
    if left_out:
        lines += ["", "Left out for lack of rows:"]
        grouped: dict[tuple[str, int], list[str]] = {}
        for each in left_out:
            grouped.setdefault((str(each["claim"]), each["rows_needed"]), []).append(plain_text(str(each["field"])))
        lines += aligned(
            [(f"{claim}, from {needed:,} rows on", _listed(names)) for (claim, needed), names in grouped.items()]
        )
    return "\n".join(lines)


def rules_table(contract: Contract) -> str:
    """What a contract asks of each field."""
    fields = [(label, rule_in_words(field)) for label, field in contract.root.walk()]
    lines = [f"{contract.dataset}@{contract.version}", "", *aligned([("field", "rule"), *fields])]
    return "\n".join([*lines, *([] if contract.root.additional else ["", "no other fields"])])


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


_HEAD: Final = ("field", "type", "missing", "null", "distinct", "spread", "min", "median", "max", "most often")
_NUMERIC: Final = frozenset(("missing", "null", "distinct", "min", "median", "max"))


def changes_table(changes: Sequence[Change]) -> str:
    """What changed in each field; those that did not, in a row."""
    rows: list[tuple[str, ...]] = [("field", "drift", "limit", "")]
    for change in changes:
        if change.status != "same":
            figures = ("" if value is None else f"{value:.3g}" for value in (change.drift, change.limit))
            rows.append((plain_text(change.label), *figures, plain_text("; ".join(change.says))))
    same = [plain_text(change.label) for change in changes if change.status == "same"]
    unchanged = [f"no change in {', '.join(same)}"] if same else []
    return "\n".join([*(aligned(rows) if len(rows) > 1 else []), *([""] if len(rows) > 1 and same else []), *unchanged])


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


def profile_table(profile: Profile, *, plain: bool = False) -> str:
    """The figures of each field, with a small histogram; `plain`: in ASCII alone."""
    rows = [_HEAD, *(_figures(label, field, profile.rows, plain=plain) for label, field in profile.walk())]
    return "\n".join([_title(profile), "", *(line.rstrip() for line in aligned(rows))])


def print_profile(profile: Profile) -> None:
    """The same on a terminal: in colours, unless NO_COLOR says otherwise, and as wide as it is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=_title(profile),
        title_justify="left",
        title_style="",
        expand=True,
    )
    for name in _HEAD:
        justify: Literal["left", "right"] = "right" if name in _NUMERIC else "left"
        # The last column gives way where the terminal is narrow.
        table.add_column(
            name, justify=justify, no_wrap=True, overflow="ellipsis", ratio=1 if name == _HEAD[-1] else None
        )
    styles = ("bold", "", "yellow", "yellow", "", "blue", "", "", "", "")
    for label, field in profile.walk():
        cells = _figures(label, field, profile.rows, plain=False)
        table.add_row(
            *(Text(cell, style="" if cell == "0" else style) for cell, style in zip(cells, styles, strict=True))
        )
    Console().print(table)


def _title(profile: Profile) -> str:
    return f"{plain_text(profile.dataset) or 'data'}: {profile.rows:,} rows"


def _figures(label: str, field: FieldProfile, rows: int, *, plain: bool) -> tuple[str, ...]:
    absent = field.types.get("absent", 0)
    missing = f"{absent:,}" if absent else f"{field.types.get('missing', 0):,}"
    null = "" if absent else f"{field.types.get('null', 0):,}"
    bars = text_bars(heights(field, rows), plain=plain)
    start = (plain_text(label), "|".join(field.kinds) or "nothing", missing, null)
    if field.numbers is not None:
        numbers = field.numbers
        ends = [figure(value) for value in (numbers.minimum, numbers.median, numbers.maximum)]
        return (*start, f"{numbers.distinct:,}", bars, *ends, "")
    if field.strings is not None:
        most = ", ".join(
            plain_text(value if len(value) <= 20 else value[:19] + "…") for value, _ in field.strings.values[:3]
        )
        return (*start, f"{field.strings.distinct:,}", bars, "", "", "", most)
    return (*start, "", bars, "", "", "", f"true in {field.true:,}" if "boolean" in field.kinds else "")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, a column under the other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
