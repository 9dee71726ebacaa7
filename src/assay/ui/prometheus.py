"""What fires now, asked of Prometheus: in the background, so that no page waits for it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Alerts", "Firing", "ask"]

_TIMEOUT_S: Final = 2.0
_LARGEST_ANSWER: Final = 4 << 20
_SHOWN: Final = 200

#: It is on this machine or named in the settings: no proxy stands between.
_open: Final = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires. `field` and `dataset` are empty where it is about none; `since` is RFC 3339."""

    name: str
    severity: str
    dataset: str
    field: str
    source: str
    summary: str
    description: str
    since: str


@dataclass(frozen=True, slots=True)
class Alerts:
    """What Prometheus said. `asked` is False where none is configured; `trouble` says why it gave no answer."""

    firing: Sequence[Firing] = ()
    asked: bool = False
    trouble: str = ""
    as_of_s: float = 0.0

    def of(self, dataset: str) -> list[Firing]:
        """Those of one dataset."""
        return [each for each in self.firing if each.dataset == dataset]

    def by_dataset(self) -> dict[str, list[Firing]]:
        """All, a list for each dataset; those of none under "". The dataset with the oldest page comes first."""
        found: dict[str, list[Firing]] = {}
        for each in self.firing:
            found.setdefault(each.dataset, []).append(each)
        return found


def ask(url: str) -> Alerts:
    """The alerts that fire, the pages first. Blocks for at most a few seconds; what goes wrong is in the answer."""
    now_s = time.time()
    try:
        # The scheme is whatever the settings say: they are the operator's.
        with _open(f"{url.rstrip('/')}/api/v1/alerts", timeout=_TIMEOUT_S) as answer:
            document = json.loads(answer.read(_LARGEST_ANSWER))
        found = [_firing(each) for each in document["data"]["alerts"] if each["state"] == "firing"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Alerts(asked=True, trouble=f"Prometheus at {url} gives no answer: {reason}", as_of_s=now_s)
    found.sort(key=lambda each: (each.severity != "page", each.since, each.name, each.field))
    return Alerts(found[:_SHOWN], asked=True, as_of_s=now_s)


def _firing(document: dict[str, Any]) -> Firing:
    labels, notes = document["labels"], document.get("annotations", {})
    return Firing(
        name=str(labels["alertname"]),
        severity=str(labels.get("severity", "")),
        dataset=str(labels.get("dataset", "")),
        field=str(labels.get("field", "")),
        source=str(labels.get("source", "")),
        summary=str(notes.get("summary", "")),
        description=str(notes.get("description", "")),
        since=str(document.get("activeAt", "")),
    )
