"""What an alert says: Go templates that ask for figures when the alert is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from assay.monitor.rule_settings import Window

__all__ = ["DATASET", "NAMED_FIELD", "Figures", "Passed", "named", "queried"]

DATASET: Final = "{{ $labels.dataset }}"
NAMED_FIELD: Final = f"{DATASET}: field {{{{ $labels.field }}}}"


def queried(query: str, labels: Sequence[str], then: str) -> str:
    """`then`, a template about the query's first value (`$v`), or nothing where the query finds none.

    `query` has `%[1]q`, `%[2]q` ... where the quoted values of the alert's `labels` go.
    """
    arguments = "".join(f" $labels.{label}" for label in labels)
    asked = f"printf `{query}`{arguments}" if labels else f"`{query}`"
    return f"{{{{ with {asked} | query }}}}{{{{ $v := . | first | value }}}}{then}{{{{ end }}}}"


def named(query: str, label: str, otherwise: str = "") -> str:
    """The series of a query of one dataset (`%q`), each by its `label` and value: `salary (12), age (3)`."""
    name = f"{{{{ or $s.Labels.{label} `{otherwise}` }}}}" if otherwise else f"{{{{ $s.Labels.{label} }}}}"
    return (
        f'{{{{ range $i, $s := printf `{query}` $labels.dataset | query | sortByLabel "{label}" }}}}'
        f"{{{{ if $i }}}}, {{{{ end }}}}{name} ({{{{ printf `%.0f` $s.Value }}}}){{{{ end }}}}"
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the figures of an alert are recorded: series, or numbers that never change.

    The figure is the sum of the series with the alert's labels `key`; what is expected, and the limit, have `labels`.
    """

    figure: str
    expected: str | float | None
    limit: str | float
    key: tuple[str, ...]
    labels: tuple[str, ...]
    only: str = ""


@dataclass(frozen=True, slots=True)
class Passed:
    """The end of a sentence: what was expected, and the limit that was passed, in the window that says so.

    `figure`, `expected` and `limit` are recorded series without their window. The figure has the labels `key`, the
    others have the first of them; `only` is a further matcher of the figure.
    """

    figure: str
    expected: str
    limit: str
    key: tuple[str, ...]
    labels: tuple[str, ...]
    only: str = ""

    def figures(self, windows: Sequence[Window]) -> tuple[Figures, ...]:
        """The same for a program, a window each."""
        return tuple(
            Figures(
                f"{self.figure}:n{window.text}",
                f"{self.expected}:n{window.text}",
                f"{self.limit}:n{window.text}",
                self.key,
                self.labels,
                self.only,
            )
            for window in windows
        )

    def text(self, windows: Sequence[Window], *, digits: int = 1) -> str:
        """As a template."""
        number = f"{{{{ printf `%.{digits}f` $v }}}}"
        expected = queried(self._query(windows, self.expected), self.key, f", expected {number}")
        return expected + queried(self._query(windows, None), self.key, f", above the limit of {number}")

    def _query(self, windows: Sequence[Window], wanted: str | None) -> str:
        matchers = [f"{name}=%[{i}]q" for i, name in enumerate(self.key, start=1)]
        figure_selector = "{" + ",".join([*matchers, *([self.only] if self.only else [])]) + "}"
        selector = "{" + ",".join(matchers[: len(self.labels)]) + "}"
        parts = []
        for window in windows:
            w = window.text
            passed = f"{self.limit}:n{w}{selector} < scalar(sum({self.figure}:n{w}{figure_selector}))"
            parts.append(passed if wanted is None else f"{wanted}:n{w}{selector} and {passed}")
        return " or ".join(parts)
