"""False alarms over simulated clean traffic: the generated rules themselves, evaluated every 5 s for many days.

What is simulated are counts: how many values fall into each bin between two scrapes (multinomial), how many events come
(Poisson) and how many are refused (binomial). The truth is a pool of rows: a profile is a sample of it, a contract is
learned from that by the product, and live traffic is drawn from the pool's shares of the contract's bins. Each day has
a restart. Fields are drawn each on its own.

`python -m benches.alerts.simulate --rate 100 --days 60 --out results.jsonl`
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.contract.document import Contract, Field
from assay.monitor.bins import Columns
from assay.monitor.evaluate import Firing, Rule, evaluate, read_rules
from assay.monitor.range_functions import Scraped
from assay.monitor.rules import RuleSettings, render_rules
from assay.monitor.series_frame import Doubles, Labels, labelled
from assay.profile.learn import learn
from assay.profile.relation import profile
from benches.alerts.traffic import LEARNED
from benches.events import agrawal

__all__ = ["Truth", "agrawal_pool", "day", "main", "mixed_pool", "truth"]

POOL_ROWS: Final = 200_000
#: Before a day begins, the longest window and the volume's offset are full.
WARM_S: Final = 4_500
DAY_S: Final = 86_400
INTERVAL_S: Final = 5
#: Days of one contract, before another is learned.
DAYS_OF_ONE: Final = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="another seed, other days")
    parser.add_argument("--out", type=Path, required=True, help="a file for the results, a JSON line each")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    rng = np.random.default_rng([options.seed, round(options.rate * 1000)])
    pools = {"agrawal": agrawal_pool(), "mixed": mixed_pool(rng)}
    alarms: list[dict[str, Any]] = []
    for number in range(options.days):
        name = list(pools)[number // DAYS_OF_ONE % len(pools)]
        if number % DAYS_OF_ONE == 0:
            known = truth(pools[name], name, rng)
        fired = day(known, options.rate, rng)
        alarms += [{"day": number, "table": name, **_document(each)} for each in fired]
    result = {
        "what": "false alarms",
        "rate": options.rate,
        "days": options.days,
        "seed": options.seed,
        "alarms": alarms,
        "seconds": round(time.monotonic() - began, 1),
    }
    with options.out.open("a", encoding="utf-8") as out:
        out.write(json.dumps(result) + "\n")


def _document(firing: Firing) -> dict[str, Any]:
    return {"alert": firing.alert, **dict(firing.labels), "from_s": firing.first_s, "to_s": firing.last_s}


# ---- what is true


def agrawal_pool() -> pa.Table:
    """River's nine features."""
    table = pa.Table.from_pylist(agrawal(POOL_ROWS, 7))
    return table.drop_columns(["label"])


def mixed_pool(rng: np.random.Generator) -> pa.Table:
    """Nine fields of other kinds: bell-shaped, long-tailed, with zeros, nulls, rare categories."""
    n = POOL_ROWS
    cities = np.array([f"city{i}" for i in range(60)])
    zipf = 1 / np.arange(1, 61)
    nullable = rng.normal(0, 1, n)
    return pa.table(
        {
            "normal": rng.normal(100, 15, n),
            "lognormal": rng.lognormal(3, 1, n),
            "spending": np.where(rng.random(n) < 0.3, 0.0, rng.exponential(40, n)),
            "percent": rng.integers(0, 100, n),
            "items": rng.poisson(4, n),
            "sometimes": pa.array(nullable, mask=rng.random(n) < 0.1),
            "colour": rng.choice(["red", "green", "blue", "grey", "pink"], n, p=[0.5, 0.3, 0.15, 0.04, 0.01]),
            "city": rng.choice(cities, n, p=zipf / zipf.sum()),
            "member": rng.random(n) < 0.15,
        }
    )


@dataclass(frozen=True, slots=True)
class Truth:
    """A contract, its rules, and what clean events do under it: shares of bins, and of violations by field."""

    contract: Contract
    rules: list[Rule]
    rules_text: bytes
    bins: Mapping[str, tuple[tuple[str, ...], Doubles]]
    violations: Mapping[str, float]
    rejected: float


def truth(pool: pa.Table, dataset: str, rng: np.random.Generator, settings: RuleSettings | None = None) -> Truth:
    """Learn from a sample of a pool, and say what is true of all of it."""
    sample = pool.take(pa.array(rng.integers(0, pool.num_rows, LEARNED)))
    contract = learn(profile(sample), dataset=dataset)
    columns = Columns(contract)
    arrays = {name: pool.column(name).combine_chunks() for name in pool.column_names}
    labels = columns.labels
    shares = {
        label: (labels[label], np.array(counts) / pool.num_rows) for label, counts in columns.count_arrays(arrays)
    }
    refused = {field.name: _refused(field, arrays[field.name]) for field in contract.root.properties}
    any_refused = np.logical_or.reduce(list(refused.values()))
    # What is refused is seldom more than nothing: so it is as much as the contract itself says that it may be.
    allowed = {field.name: sum(field.evidence.get("refusals", {}).values()) for field in contract.root.properties}
    text = render_rules([contract], settings or RuleSettings())
    return Truth(
        contract,
        read_rules(text),
        text,
        shares,
        {name: max(float(mask.mean()), allowed[name]) for name, mask in refused.items()},
        max(float(any_refused.mean()), contract.expected_refusals),
    )


def _refused(field: Field, array: pa.Array) -> npt.NDArray[np.bool_]:
    """Which rows the field's bounds or list of values refuse: all that the contracts learned here say of a value."""
    values = np.array(array.to_pylist(), dtype=object if pa.types.is_string(array.type) else np.float64)
    wrong = np.zeros(len(values), dtype=bool)
    if field.enum is not None:
        allowed = [value for value in field.enum if value is not None]
        wrong = ~np.isin(values, np.array(allowed, dtype=values.dtype))
    if field.minimum is not None:
        wrong |= values < field.minimum
    if field.maximum is not None:
        wrong |= values > field.maximum
    refused: npt.NDArray[np.bool_] = wrong & ~np.asarray(array.is_null())
    return refused


# ---- a day


def day(known: Truth, rate: float, rng: np.random.Generator) -> list[Firing]:
    """What fires in one day of clean traffic."""
    at = np.arange(WARM_S, WARM_S + DAY_S, INTERVAL_S, dtype=np.float64)
    fired, _ = evaluate(known.rules, clean_series(known, rate, WARM_S + DAY_S, rng), at)
    return fired


def clean_series(known: Truth, rate: float, until_s: float, rng: np.random.Generator) -> dict[str, list[Scraped]]:
    """What one collector shows at each scrape. Once it restarts, and is not there for two scrapes."""
    times = np.arange(rng.uniform(0, INTERVAL_S), until_s, INTERVAL_S)
    n = len(times)
    restart = int(rng.integers(n // 10, n - 10))
    gone = np.zeros(n, dtype=bool)
    gone[restart : restart + 2] = True
    events = rng.poisson(rate * INTERVAL_S, n)
    events[gone] = 0
    dataset = known.contract.dataset

    def counters(steps: npt.NDArray[Any]) -> Doubles:
        values = np.cumsum(steps, axis=1, dtype=np.float64)
        values[:, restart + 2 :] -= values[:, restart + 1 : restart + 2]
        values[:, gone] = np.nan
        return values

    def shown(*rows: tuple[Labels, Doubles]) -> Scraped:
        return Scraped(times, tuple(labels for labels, _ in rows), np.stack([values for _, values in rows]))

    def constant(value: float) -> Doubles:
        return np.where(gone, np.nan, value)

    found: dict[str, list[Scraped]] = {}
    values: list[tuple[Labels, Doubles]] = []
    expected: list[tuple[Labels, Doubles]] = []
    for label, (names, shares) in known.bins.items():
        bins = {label: field.bins for label, field in known.contract.root.walk()}[label]
        assert bins is not None
        own = [labelled([("dataset", dataset), ("field", label), ("bin", name)]) for name in names]
        counts = counters(rng.multinomial(events, shares).T.astype(np.float64))
        values += zip(own, counts, strict=True)
        expected += [(each, constant(bins.share.get(name, 0.0))) for each, name in zip(own, names, strict=True)]
    found["assay_field_values_total"] = [shown(*values)]
    found["assay_field_expected_ratio"] = [shown(*expected)]

    rejected = rng.binomial(events, known.rejected)
    sources = labelled([("dataset", dataset), ("source", "till")])
    outcomes = {"accepted": events - rejected, "flagged": np.zeros(n), "rejected": rejected}
    found["assay_events_total"] = [
        shown(
            *(
                (labelled([*sources, ("outcome", name)]), counters(steps[None, :])[0])
                for name, steps in outcomes.items()
            )
        )
    ]
    total = sum(known.violations.values()) or 1.0
    parts = rng.multinomial(rejected, [share / total for share in known.violations.values()])
    found["assay_violations_total"] = [
        shown(
            *(
                (labelled([("dataset", dataset), ("field", name), ("type", "bound")]), row)
                for name, row in zip(known.violations, counters(parts.T), strict=True)
            )
        )
    ]
    last = np.where(events > 0, times - np.minimum(rng.exponential(1 / rate, n), INTERVAL_S), 0)
    only = labelled([("dataset", dataset)])
    found["assay_last_event_timestamp_seconds"] = [shown((only, np.where(gone, np.nan, np.maximum.accumulate(last))))]
    found["assay_contract_info"] = [shown((labelled([*only, ("version", "1"), ("mode", "enforce")]), constant(1)))]
    found["assay_not_storable_total"] = [shown((only, constant(0)))]
    found["assay_log_oldest_seconds"] = [shown((labelled([("instance", "a")]), constant(0.5)))]
    found["up"] = [shown((labelled([("job", "assay"), ("instance", "a")]), np.where(gone, 0.0, 1.0)))]
    return found


if __name__ == "__main__":
    main()
