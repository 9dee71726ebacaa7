"""When alerts of a dataset were firing: asked of Prometheus."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Final

from assay.errors import ServiceError

__all__ = ["firing"]

#: What is wrong with the data is so for a while before an alert can say it: the longest of the short windows.
LEAD_S: Final = 300.0
#: Prometheus gives no more points of a series in one answer.
_POINTS: Final = 10_000
_TIMEOUT_S: Final = 30.0
_open: Final = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def firing(url: str, dataset: str, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The spans in which any alert of a dataset was firing, each from five minutes before it began to.

    Raises:
        ServiceError: Prometheus cannot be asked, or gives no such answer.
    """
    start, end = since.timestamp(), until.timestamp()
    step = max(60, math.ceil((end - start) / _POINTS))
    query = {
        "query": f'ALERTS{{alertstate="firing",dataset="{dataset}"}}',
        "start": f"{start:.0f}",
        "end": f"{end:.0f}",
        "step": str(step),
    }
    try:
        # The address is a setting's, http or https.
        request = urllib.request.Request(f"{url.rstrip('/')}/api/v1/query_range?{urllib.parse.urlencode(query)}")  # noqa: S310
        with _open(request, timeout=_TIMEOUT_S) as answer:
            found = json.load(answer)["data"]["result"]
        times = sorted({float(time) for series in found for time, _ in series["values"]})
    except (urllib.error.URLError, HTTPException, OSError, ValueError, KeyError, TypeError) as error:
        raise ServiceError(f"Prometheus at {url} does not say which alerts were firing: {error}") from error
    return [
        (datetime.fromtimestamp(begin - LEAD_S, UTC), datetime.fromtimestamp(last + step, UTC))
        for begin, last in _spans(times, step)
    ]


def _spans(times: Iterable[float], step: float) -> list[tuple[float, float]]:
    """Ascending times as spans without a gap."""
    spans: list[tuple[float, float]] = []
    for time in times:
        if spans and time - spans[-1][1] <= 1.5 * step:
            spans[-1] = (spans[-1][0], time)
        else:
            spans.append((time, time))
    return spans
