"""The simulations measure what they say: their shortcuts agree with the product and with plain counting."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
from benches.statistics import __main__ as command
from benches.statistics.claims import SPECTRA, enum_shares
from benches.statistics.laws import FRESH, TUNED, UNSEEN, Law, Table
from benches.statistics.measured import numbers_of
from benches.statistics.refusals import field_shares, table_shares
from benches.statistics.tables import agrawal, agrawal_columns, ten_of

from assay.profile.relation import profile

LAWS = {**TUNED, **FRESH, **UNSEEN}


@pytest.mark.parametrize("n", [600, 9_999])
def test_statistics_are_those_of_the_sql(n: int) -> None:
    columns = {name: law.draw(np.random.default_rng(n), n) for name, law in LAWS.items()}
    for field in profile(pa.table(columns)).fields:
        own, sql = numbers_of(columns[field.name]), field.numbers
        assert sql is not None
        assert own.mean == pytest.approx(sql.mean, rel=1e-6, abs=1e-9), field.name
        assert own.deviation == pytest.approx(sql.deviation, rel=1e-6), field.name
        # Where there are many different values, the SQL may estimate how many.
        distinct = sql.distinct if sql.values is None else own.distinct
        assert replace(own, mean=sql.mean, deviation=sql.deviation, rising=sql.rising, distinct=distinct) == sql, (
            field.name
        )


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_law_draws_what_its_tails_say(law: Law) -> None:
    drawn = law.draw(np.random.default_rng(5), 20_000)
    for quantile in (0.02, 0.5, 0.9):
        at = float(np.quantile(drawn, quantile, method="lower"))
        assert np.mean(drawn < at) == pytest.approx(law.below(at), abs=0.02)
        assert np.mean(drawn > at) == pytest.approx(law.above(at), abs=0.02)


def test_agrawal_is_rivers() -> None:
    from itertools import islice

    from river.datasets.synth import Agrawal

    theirs = [features for features, _ in islice(Agrawal(seed=3), 4_000)]
    ours = agrawal_columns(np.random.default_rng(3), 4_000)
    assert list(ours) == list(theirs[0])
    for name, values in ours.items():
        others = np.array([features[name] for features in theirs], dtype=np.float64)
        near = {"abs": 0.03 * (others.max() - others.min())}
        for figure in (np.min, np.max, np.mean, np.std):
            assert figure(values) == pytest.approx(figure(others), **near), name


def test_the_recipe_refuses_less_than_the_usual_bounds() -> None:
    refused = field_shares(TUNED["normal"], n=2_000, trials=10, seed=1)
    assert refused["recipe"].mean < 1e-5 < refused["±10%"].mean < refused["min/max"].mean < refused["3 sigma"].mean


@pytest.mark.parametrize("draw", [agrawal, ten_of({**FRESH, **UNSEEN})], ids=["agrawal", "ten"])
def test_whole_tables_stay_within_the_budget(draw: Table) -> None:
    total, fields = table_shares(draw, n=10_000, trials=8, seed=2)
    assert total.mean < 1e-5
    assert total.mean == pytest.approx(sum(sum(each.shares) for each in fields.values()) / 8)


def test_enumerations_are_made_of_common_values_alone() -> None:
    refused, made = enum_shares(SPECTRA["50 alike"], n=10_000, trials=3, seed=1)
    assert (made, refused.mean) == (1.0, 0.0)
    assert enum_shares(SPECTRA["Zipf 1 of 300"], n=10_000, trials=3, seed=1)[1] == 0.0


def test_the_command_says_all_of_it() -> None:
    parts: dict[str, str] = {}
    pictures: dict[str, str] = {}
    thresholds = command.measure(parts.__setitem__, pictures.__setitem__, trials=2, sizes=(1_000, 10_000))
    assert list(pictures) == ["refusals.svg", "claims.svg"]
    for picture in pictures.values():
        ET.fromstring(picture)
    assert list(parts) == [
        "One field",
        "Whole tables",
        "Law by law",
        "Claims about what was never seen",
        "What is caught",
        "What is asked",
    ]
    assert len(thresholds) == 6
    assert "| flights: recipe |" in parts["What is caught"]
