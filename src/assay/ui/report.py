"""The report: one file that says what is in a dataset or a file, offline, as a page or as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from datetime import UTC, datetime

from markupsafe import Markup

from assay.contract.document import Contract, Field
from assay.contract.evidence import SPECIAL_BINS, Bins
from assay.contract.words import rule_in_words
from assay.frames.counts import Counts
from assay.monitor.drift import Drift, drift
from assay.profile.document import FieldProfile, Profile
from assay.ui.charts import BinRow, bin_rows, distribution, sparkline
from assay.ui.first_look import figures, heights, remarks, with_shares
from assay.ui.history import Bar
from assay.ui.render import FOLDER, environment
from assay.ui.scales import percent
from assay.ui.text_bars import text_bars
from assay.ui.views import Group

__all__ = ["Against", "Broken", "FieldLook", "Report", "html", "markdown"]


@dataclass(frozen=True, slots=True)
class Against:
    """A reference: its profile, and the values of what is reported on, counted into the coarse bins of that profile."""

    name: str
    profile: Profile
    bins: Mapping[str, Bins]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Broken:
    """One kind of violation that a check found: how many rows have it."""

    field: str
    msg: str
    rows: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report shows of `name`.

    `shape` has fine bins, of the reference where there is one, and `counts` the values of what is reported on in them;
    `base_counts` those of the reference. `checked` is how many rows were held to `contract` and how many of them are bad.
    `bars` are events over time.
    """

    name: str
    profile: Profile
    shape: Contract
    counts: Counts
    contract: Contract | None = None
    against: Against | None = None
    base_counts: Counts | None = None
    checked: tuple[int, int] | None = None
    broken: Sequence[Broken] = ()
    groups: Sequence[Group] = ()
    bars: Sequence[Bar] = ()
    bar_s: float = 0.0
    made: datetime = attribute(default_factory=lambda: datetime.now(UTC))

    @property
    def remarks(self) -> list[str]:
        """What stands out."""
        return [*self._changes(), *remarks(self.profile)]

    def fields(self) -> list[FieldLook]:
        """Every field, what moved most first where there is a reference."""
        rules = {} if self.contract is None else dict(self.contract.root.walk())
        shapes = dict(self.shape.root.walk())
        looks = [self._look(label, field, shapes.get(label), rules.get(label)) for label, field in self.profile.walk()]
        return sorted(looks, key=lambda look: -(look.drift.distance if look.drift else 0.0))

    def _look(self, label: str, measured: FieldProfile, shaped: Field | None, rule: Field | None) -> FieldLook:
        own = self.counts.get(label)
        base = own if self.base_counts is None else self.base_counts.get(label)
        drawn = None
        if shaped is not None and shaped.bins is not None:
            drawn = with_shares(replace(rule or shaped, name=measured.name, bins=shaped.bins), base)
        moved = None
        known = None if self.against is None else self.against.bins.get(label)
        if self.against is not None and known is not None and known.labels != SPECIAL_BINS:
            moved = drift(known, self.against.counts[label])
        live = own if self.against is not None and own is not None and any(own) else None
        return FieldLook(
            label,
            measured,
            list(figures(measured)),
            "" if rule is None else rule_in_words(rule),
            None if drawn is None else distribution(drawn, live),
            moved,
            [] if drawn is None or drawn.bins is None or live is None else _most_changed(bin_rows(drawn.bins, live)),
        )

    def _changes(self) -> Iterator[str]:
        if self.against is None:
            return
        here, there = dict(self.profile.walk()), dict(self.against.profile.walk())
        for label in there.keys() - here.keys():
            yield f"{label} is in {self.against.name}, and not here."
        for label, field in here.items():
            if label not in there:
                yield f"{label} is new: {self.against.name} does not have it."
            elif field.kinds.keys() != there[label].kinds.keys():
                was = " or ".join(there[label].kinds) or "never there"
                yield f"{label} was {was} and is {' or '.join(field.kinds) or 'never there'}."


@dataclass(frozen=True, slots=True)
class FieldLook:
    """One field of a report. `drift` is its distance from the reference, `changed` the bins that differ most."""

    label: str
    measured: FieldProfile
    figures: Sequence[tuple[str, str]]
    rule: str
    chart: Markup | None
    drift: Drift | None
    changed: Sequence[BinRow]


def _most_changed(rows: Sequence[BinRow]) -> list[BinRow]:
    ordered = sorted(rows, key=lambda row: -abs((row.live or 0) - row.expected))
    return [row for row in ordered[:3] if abs((row.live or 0) - row.expected) > 0.01]


def html(report: Report) -> bytes:
    """The report as one page that needs nothing else: no network, no script, no other file."""
    style = (FOLDER / "static" / "style.css").read_text(encoding="utf-8")
    refused = sum(bar.rejected for bar in report.bars)
    quality = None
    if report.bars:
        title = f"{sum(bar.accepted + bar.flagged for bar in report.bars):,} events stored and {refused:,} refused over time"
        quality = sparkline(report.bars, len(report.bars), title)
    text = (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            looks=report.fields(),
            style=Markup(style),  # noqa: S704 - our own file
            quality=quality,
            refused=refused,
        )
    )
    return text.encode()


def markdown(report: Report) -> str:
    """The report for a pull request: what stands out, a line for each field, what was refused."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"## {_cell(report.name)}"
    yield ""
    yield f"{report.profile.rows:,} rows, {len(report.profile.fields)} fields{_period(report.profile)}"
    if report.checked is not None:
        rows, bad = report.checked
        share = percent(bad / rows) if rows else "0%"
        yield ""
        yield (
            f"**{bad:,} of {rows:,} rows ({share}) break the contract.**"
            if bad
            else f"All {rows:,} rows keep the contract."
        )
    if report.remarks:
        yield ""
        yield from (f"- {_cell(remark)}" for remark in report.remarks[:30])
    yield ""
    yield from _table(report)
    if report.broken:
        yield from ("", "### Broken rules", "", "| field | why | rows |", "| --- | --- | ---: |")
        for each in report.broken[:30]:
            yield f"| {_cell(each.field or 'the event')} | {_cell(each.msg)} | {each.rows:,} |"
    if report.groups:
        yield from ("", "### In quarantine", "", "| events | why | from | last |", "| ---: | --- | --- | --- |")
        for group in report.groups[:20]:
            why = "; ".join(f"{field}: {msg}" for field, _, msg in group.reasons[:3])
            yield f"| {group.count:,} | {_cell(why)} | {_cell(', '.join(group.sources[:5]))} | {group.last[:19]}Z |"


def _table(report: Report) -> Iterator[str]:
    against = report.against is not None
    yield "| field | type | missing | distribution | least | median | greatest |" + (" distance |" if against else "")
    yield "| --- | --- | ---: | --- | ---: | ---: | ---: |" + (" ---: |" if against else "")
    for look in report.fields():
        said = dict(look.figures)
        bars = text_bars(heights(look.measured, report.profile.rows)).replace(" ", "\N{NO-BREAK SPACE}")
        cells = [
            f"`{_cell(look.label)}`",
            said["type"],
            said.get("missing or null", "0"),
            bars,
            said.get("least", ""),
            said.get("median", said.get("true", f"{said['distinct']} distinct" if "distinct" in said else "")),
            said.get("greatest", ""),
        ]
        if against:
            bold = "**" if look.drift is not None and look.drift.is_over else ""
            cells.append("" if look.drift is None else f"{bold}{look.drift.distance:.3f}{bold}")
        yield f"| {' | '.join(cells)} |"


def _period(profile: Profile) -> str:
    return f", {profile.first[:16]} to {profile.last[:16]} UTC" if profile.first and profile.last else ""


def _cell(text: str) -> str:
    """Text in a table's cell: nothing in it is Markdown or HTML, and it stays on its line."""
    plain = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return plain.replace("`", "'")
