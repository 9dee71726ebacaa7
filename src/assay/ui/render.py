"""Templates into responses: everything escaped, nothing inline, and headers that hold the browser to it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.responses import HTMLResponse

from assay import __version__
from assay.contract.words import figure
from assay.ui import charts
from assay.ui.scales import counted, percent, short
from assay.ui.views import ago, moment

__all__ = ["FOLDER", "environment", "page", "warm"]

FOLDER: Final = Path(__file__).parent

#: Nothing but what this service serves; no script, style or image in a page itself; in nobody's frame.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would send forms with `Origin: null`, which is anybody's.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@cache
def environment() -> jinja2.Environment:
    """The templates, with what they may call."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {
        "counted": counted,
        "figure": figure,
        "percent": percent,
        "short": short,
        "size": size,
        "ago": ago,
        "since": _since,
        "clock": clock,
        "span": span,
    }
    found.globals |= {"distribution": charts.distribution, "sparkline": charts.sparkline, "version": __version__}
    return found


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page."""
    text = environment().get_template(template).render(now=datetime.now(UTC), **values)
    return HTMLResponse(text, status, headers=_HEADERS)


def warm() -> None:
    """Load what pages need, before somebody waits for it."""
    import scipy.special  # noqa: F401  the limits of drift

    for name in environment().list_templates():
        environment().get_template(name)


def size(count: float) -> str:
    """Bytes, in their unit."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:,.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:,.1f} {unit}"
        count /= 1024
    raise AssertionError


def span(seconds: float) -> str:
    """A stretch of time."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def clock(rfc3339: str) -> str:
    """A moment of the store's or of Prometheus': the date too, unless it is today's."""
    when = moment(rfc3339)
    if when is None:
        return rfc3339
    return f"{when:%H:%M:%S}" if when.date() == datetime.now(UTC).date() else f"{when:%Y-%m-%d %H:%M}"


def _since(rfc3339: str) -> str:
    when = moment(rfc3339)
    return rfc3339 if when is None else ago(max(0.0, (datetime.now(UTC) - when).total_seconds()))
