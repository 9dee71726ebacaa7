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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.contract.document import Contract, Field
from assay.monitor.bins import Columns, binned_fields
from assay.monitor.evaluate import Firing, Rule, evaluate, read_rules
from assay.monitor.range_functions import Scraped
from assay.monitor.rules import RuleSettings, render_rules
from assay.monitor.series_frame import Doubles, labelled
from assay.profile.learn import learn
from assay.profile.relation import profile
from benches.alerts.traffic import LEARNED
from benches.events import agrawal

__all__ = ["KINDS", "Episode", "Truth", "agrawal_pool", "day", "main", "mixed_pool", "shown_series", "truth"]

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


@dataclass(frozen=True, slots=True)
class Episode:
    """From `from_s` to `to_s` something is wrong: one of `KINDS`."""

    kind: str
    from_s: float
    to_s: float


#: What can be wrong, and by how much the rate of events changes then.
KINDS: Final[Mapping[str, float]] = {
    "nulls": 1,  # 2% of the first field
    "stuck": 1,  # all values of the first field in one bin
    "rejects": 1,  # 3% of the events
    "silence": 0,
    "half": 0.5,
    "double": 2.2,
    "down": 0,  # no collector answers
    "not storable": 1,
    "backlog": 1,
    "two versions": 1,  # the second collector has another one
}


def day(known: Truth, rate: float, rng: np.random.Generator) -> list[Firing]:
    """What fires in one day of clean traffic."""
    at = np.arange(WARM_S, WARM_S + DAY_S, INTERVAL_S, dtype=np.float64)
    times = np.arange(rng.uniform(0, INTERVAL_S), WARM_S + DAY_S, INTERVAL_S)
    fired, _ = evaluate(known.rules, shown_series(known, rate, times, rng), at)
    return fired


@dataclass(frozen=True, slots=True)
class _Collector:
    """How one collector shows things: not at all while it is gone, and from zero again after a restart."""

    times: Doubles
    gone: npt.NDArray[np.bool_]
    back: int
    instance: str

    def counters(self, steps: npt.NDArray[Any]) -> Doubles:
        values = np.cumsum(steps, axis=1, dtype=np.float64)
        values[:, self.back :] -= values[:, self.back - 1 : self.back]
        values[:, self.gone] = np.nan
        return values

    def gauge(self, value: Any) -> Doubles:
        return np.where(self.gone, np.nan, value)

    def shown(self, rows: Iterable[tuple[Mapping[str, str], Doubles]]) -> list[Scraped]:
        labels, values = zip(*rows, strict=True)
        own = tuple(labelled({**each, "instance": self.instance}.items()) for each in labels)
        return [Scraped(self.times, own, np.stack(values))]


def shown_series(
    known: Truth,
    rate: float,
    times: Doubles,
    rng: np.random.Generator,
    *,
    instance: str = "a",
    episodes: Sequence[Episode] = (),
) -> dict[str, list[Scraped]]:
    """What one collector shows at each scrape. Once it restarts, and is not there for two scrapes."""
    n = len(times)
    wrong = {kind: np.zeros(n, dtype=bool) for kind in KINDS}
    factor = np.ones(n)
    for episode in episodes:
        during = (times >= episode.from_s) & (times < episode.to_s)
        wrong[episode.kind] |= during
        factor[during] = KINDS[episode.kind]
    back = int(rng.integers(n // 10, n - 10))
    gone = wrong["down"].copy()
    gone[back - 2 : back] = True
    interval_s = float(np.median(np.diff(times)))
    events = rng.poisson(rate * interval_s * factor)
    events[gone] = 0
    it = _Collector(times, gone, back, instance)
    last = np.where(events > 0, times - np.minimum(rng.exponential(1 / rate, n), interval_s), 0)
    only = {"dataset": known.contract.dataset}
    return {
        **_values(known, it, events, wrong, rng),
        **_outcomes(known, it, events, wrong, rng),
        "assay_last_event_timestamp_seconds": it.shown([(only, it.gauge(np.maximum.accumulate(last)))]),
        **_health(it, only, wrong),
    }


_Wrong: TypeAlias = Mapping[str, npt.NDArray[np.bool_]]


def _values(
    known: Truth, it: _Collector, events: npt.NDArray[np.int64], wrong: _Wrong, rng: np.random.Generator
) -> dict[str, list[Scraped]]:
    values: list[tuple[Mapping[str, str], Doubles]] = []
    expected: list[tuple[Mapping[str, str], Doubles]] = []
    for i, (label, field) in enumerate(binned_fields(known.contract)):
        assert field.bins is not None
        names, shares = known.bins[label]
        own = [{"dataset": known.contract.dataset, "field": label, "bin": name} for name in names]
        live = shares
        if i == 0 and (wrong["nulls"].any() or wrong["stuck"].any()):
            nulls = 0.98 * shares + 0.02 * (np.array(names) == "null")
            stuck = np.eye(len(names))[int(np.argmax(shares))]
            live = np.where(wrong["nulls"][:, None], nulls, np.where(wrong["stuck"][:, None], stuck, shares))
        values += zip(own, it.counters(rng.multinomial(events, live).T), strict=True)
        expected += [(each, it.gauge(field.bins.share.get(name, 0.0))) for each, name in zip(own, names, strict=True)]
    return {"assay_field_values_total": it.shown(values), "assay_field_expected_ratio": it.shown(expected)}


def _outcomes(
    known: Truth, it: _Collector, events: npt.NDArray[np.int64], wrong: _Wrong, rng: np.random.Generator
) -> dict[str, list[Scraped]]:
    dataset = {"dataset": known.contract.dataset}
    rejected = rng.binomial(events, np.where(wrong["rejects"], 0.03, known.rejected))
    outcomes = {"accepted": events - rejected, "flagged": np.zeros(len(events)), "rejected": rejected}
    by_outcome = zip(outcomes, it.counters(np.stack(list(outcomes.values()))), strict=True)
    total = sum(known.violations.values())
    parts = rng.multinomial(rejected, [share / total for share in known.violations.values()])
    by_field = zip(known.violations, it.counters(parts.T), strict=True)
    return {
        "assay_events_total": it.shown(
            ({**dataset, "source": "till", "outcome": name}, row) for name, row in by_outcome
        ),
        "assay_violations_total": it.shown(
            ({**dataset, "field": name, "type": "bound"}, row) for name, row in by_field
        ),
    }


def _health(it: _Collector, only: Mapping[str, str], wrong: _Wrong) -> dict[str, list[Scraped]]:
    differs = wrong["two versions"] & (it.instance != "a")
    versions = {"1": np.where(differs, np.nan, it.gauge(1)), "2": np.where(differs, it.gauge(1), np.nan)}
    refused = wrong["not storable"] & (np.arange(len(it.times)) % 10 == 0)
    return {
        "assay_contract_info": it.shown(
            ({**only, "version": version, "mode": "enforce"}, row) for version, row in versions.items()
        ),
        "assay_not_storable_total": it.shown([(only, it.counters(refused[None, :])[0])]),
        "assay_log_oldest_seconds": it.shown([({}, it.gauge(np.where(wrong["backlog"], 90.0, 0.5)))]),
        "up": it.shown([({"job": "assay"}, np.where(it.gone, 0.0, 1.0))]),
    }


if __name__ == "__main__":
    main()
