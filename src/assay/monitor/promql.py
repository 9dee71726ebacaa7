"""Text of PromQL and of Go templates: quoting, and the shapes that several rules share."""

from __future__ import annotations

import json
from collections.abc import Sequence

__all__ = ["above", "by", "count_limit", "quoted", "template_text"]


def quoted(text: str) -> str:
    """A string of PromQL: JSON's escapes are among Go's."""
    return json.dumps(text, ensure_ascii=False)


def template_text(text: str) -> str:
    """Text that stands for itself in a Go template."""
    return text.replace("{{", '{{ "{{" }}')


def by(labels: Sequence[str]) -> str:
    """A list of labels, as `by` and `on` take it."""
    return f"({', '.join(labels)})"


def count_limit(expected: str) -> str:
    """What a count of mean `expected` (a series) exceeds once in 10^7 looks at most, at any mean; never below 3.

    With L = `expected`: 3 + L + 6 * sqrt(L). A Poisson count above it has a chance of 1.3e-7 at most (computed; it
    needs four events even where none is expected).
    """
    return f"3 + {expected} + 6 * sqrt({expected})"


def above(figure: str, limit: str, labels: Sequence[str], *, many: bool = False) -> str:
    """The series of `figure` above their `limit`, matched by `labels`; `many`: several series share a limit."""
    return f"{figure} > on {by(labels)}{' group_left ()' if many else ''} {limit}"
