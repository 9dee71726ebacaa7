"""The evaluator held against Prometheus' own engine: two dataset-days full of faults, the same alerts at the same evaluations.

`python -m benches.alerts.agree --out results.jsonl`; promtool takes some minutes for each day.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from assay.monitor.evaluate import evaluate
from assay.monitor.promtool import RulesRefused, find_promtool, run_rule_tests
from assay.monitor.promtool_replay import replay_test
from assay.monitor.range_functions import Scraped
from assay.monitor.rules import RULES_FILE, RuleSettings
from assay.monitor.yaml_text import yaml_text
from benches.alerts.simulate import DAY_S, KINDS, Episode, agrawal_pool, mixed_pool, shown_series, truth

__all__ = ["main"]

INTERVAL_S: Final = 15
SETTINGS: Final = RuleSettings(scrape_interval_s=INTERVAL_S, evaluation_interval_s=INTERVAL_S)
LOCAL: Final = Path(__file__).parents[2] / ".tools/prometheus/usr/bin"
#: An episode of each kind, an hour and a half apart, so that the alerts of one have ended before the next.
APART_S: Final = 5400
LASTS_S: Final = 1500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a file for the results, a JSON line each")
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--only", choices=("agrawal", "mixed"))
    options = parser.parse_args()
    rng = np.random.default_rng(11)
    pools = {"agrawal": (agrawal_pool, 100.0), "mixed": (lambda: mixed_pool(rng), 5.0)}
    for name, (pool, rate) in pools.items():
        if options.only in {None, name}:
            result = _agree(pool(), name, rate, options.hours * 3600, rng)
            with options.out.open("a", encoding="utf-8") as out:
                out.write(json.dumps(result) + "\n")


def _agree(pool: pa.Table, name: str, rate: float, until_s: float, rng: np.random.Generator) -> dict[str, Any]:
    promtool = find_promtool([LOCAL])
    assert promtool is not None, "no promtool on PATH, nor in .tools"
    known = truth(pool, name, rng, SETTINGS)
    episodes = [
        Episode(kind, APART_S * (i + 1), APART_S * (i + 1) + LASTS_S)
        for i, kind in enumerate(KINDS)
        if APART_S * (i + 1) + LASTS_S < until_s
    ]
    scraped: dict[str, list[Scraped]] = {}
    for number, instance in enumerate(("a", "b")):
        # Neither collector is scraped when rules are evaluated, and some scrapes are lost.
        times = np.arange(3.0 + 4 * number, until_s, INTERVAL_S)
        times = times[rng.random(len(times)) > 0.002]
        for metric, series in shown_series(known, rate / 2, times, rng, instance=instance, episodes=episodes).items():
            scraped.setdefault(metric, []).extend(series)
    at = np.arange(0, min(until_s, DAY_S), INTERVAL_S, dtype=np.float64)
    fired, _ = evaluate(known.rules, scraped, at)
    test = replay_test(scraped, fired, at, interval_s=1, name=name)
    document = {"rule_files": [RULES_FILE], "evaluation_interval": f"{INTERVAL_S}s", "tests": [test]}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / RULES_FILE).write_bytes(known.rules_text)
        path = Path(folder) / "replay.yml"
        path.write_text(yaml_text(document))
        try:
            run_rule_tests(path, promtool, timeout_s=3600)
            complaint = ""
        except RulesRefused as error:
            complaint = error.output[:4000]
    return {
        "what": "agreement",
        "table": name,
        "rate": rate,
        "hours": until_s / 3600,
        "evaluations": len(at),
        "fired": dict(sorted(Counter(each.alert for each in fired).items())),
        "agrees": not complaint,
        "complaint": complaint,
        "promtool_s": round(time.monotonic() - began),
    }


if __name__ == "__main__":
    main()
