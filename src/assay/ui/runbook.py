"""The runbook of docs/, as a page beside the alerts that link to it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from markupsafe import Markup

__all__ = ["runbook"]

#: In a wheel it lies beside this file; in a checkout it is where its readers look for it.
_PLACES: Final = (Path(__file__).parent / "runbook.md", Path(__file__).parents[3] / "docs/how-to/runbook.md")


@cache
def runbook() -> Markup:
    """The page's text as HTML, its headings with anchors as code hosts make them."""
    from markdown_it import MarkdownIt

    text = next(place.read_text(encoding="utf-8") for place in _PLACES if place.exists())
    # Its links to other documents lead nowhere here; those to its own sections do.
    text = re.sub(r"\[([^\]]+)\]\((?!#)[^)]*\)", r"\1", text)
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return Markup(re.sub(r"<(h[1-6])>(.*?)</\1>", _with_anchor, html))  # noqa: S704 - our own file, and no HTML of its own


def _with_anchor(match: re.Match[str]) -> str:
    tag, inside = match[1], match[2]
    name = re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]*>", "", inside).lower()).strip().replace(" ", "-")
    return f'<{tag} id="{name}">{inside}</{tag}>'
