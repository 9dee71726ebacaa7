from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import duckdb
import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.contract.document import Contract, Field
from assay.contract.evidence import SPECIAL_BINS
from assay.contract.relations import relations
from assay.errors import NotEnoughData
from assay.monitor.bins import Columns
from assay.profile.document import FieldProfile, Profile
from assay.profile.learn import learn
from assay.profile.relation import profile
from assay.profile.summarize import summarize_events

Connection = duckdb.DuckDBPyConnection
random = np.random.default_rng(42)


def of_events(con: Connection, events: list[Any]) -> Profile:
    con.execute("CREATE OR REPLACE TABLE learning (body VARCHAR)")
    con.execute("INSERT INTO learning SELECT unnest(?::VARCHAR[])", [[json.dumps(event) for event in events]])
    return summarize_events(con, "learning", dataset="d")


def learned(name: str, column: Any) -> Field:
    """The field learned from a column of that name."""
    return learn(profile(pd.DataFrame({name: column}))).fields[0]


def hard(field: Field) -> dict[str, Any]:
    names = ("minimum", "maximum", "enum", "max_length", "format", "pattern")
    found = {name: getattr(field, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def test_fewer_than_a_hundred_rows_teach_nothing() -> None:
    with pytest.raises(NotEnoughData, match="99 rows"):
        learn(profile(pd.DataFrame({"x": range(99)}), dataset="d"))


def test_few_rows_teach_only_types() -> None:
    contract = learn(profile(pd.DataFrame({"x": random.normal(size=300)}), dataset="d"))
    (field,) = contract.fields
    assert (hard(field), field.required, field.nullable) == ({}, False, True)
    assert "Only JSON types" in contract.evidence["says"]
    assert {(each["claim"], each["rows_needed"]) for each in contract.evidence["left_out"]} == {
        ("required", 1000),
        ("not null", 1000),
        ("bounds", 500),
    }


_OF_THIRTY = random.integers(0, 30, 20_000)
IDENTIFIERS = {
    "dense": np.arange(20_000),
    "shuffled": random.permutation(20_000) + 5_000_000,
    "customer_id": random.integers(1, 3_000, 20_000),
    "orderId": random.integers(1, 3_000, 20_000),
    "hash": random.integers(0, 2**62, 20_000),
    "year": random.integers(2012, 2015, 20_000),
    "epoch": random.integers(1_700_000_000, 1_710_000_000, 20_000),
    "epoch_ms": random.integers(1_700_000_000_000, 1_710_000_000_000, 20_000),
    "clock": np.sort(random.uniform(0, 100, 20_000)),
    "yyyymmdd": 20_240_100 + random.integers(1, 29, 20_000),
    "state": np.arange(20_000) // 9_000,
    "meters": _OF_THIRTY * 1_000 + np.arange(20_000) * 0.5,
    "starts": _OF_THIRTY * 10 + np.arange(20_000) // 200,
}


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_what_names_or_dates_a_row_is_not_bounded(name: str) -> None:
    field = learned(name, IDENTIFIERS[name])
    assert hard(field) == {}
    assert field.bins is not None
    assert field.bins.labels == SPECIAL_BINS
    assert field.bins.share == {"_other": 1.0}


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("month", random.integers(1, 4, 20_000), {"minimum": 1, "maximum": 12}),
        ("dep_hour", random.binomial(22, 0.6, 20_000), {"minimum": 0, "maximum": 23}),
        ("startMinute", random.choice([0, 15, 30], 20_000), {"minimum": 0, "maximum": 59}),
        ("iso_week", random.integers(9, 13, 20_000), {"minimum": 0, "maximum": 53}),
        ("week_of_year", random.integers(9, 13, 20_000), {"minimum": 0, "maximum": 53}),
        ("day_of_year", random.integers(60, 80, 20_000), {"minimum": 0, "maximum": 366}),
        ("dayOfWeek", random.integers(1, 6, 20_000), {"minimum": 0, "maximum": 7}),
        ("quarter", random.integers(1, 3, 20_000), {"minimum": 1, "maximum": 4}),
        ("quarter", random.integers(2020, 2024, 20_000) * 10 + 1, {"enum": (20201, 20211, 20221, 20231)}),
        ("week_total", random.integers(1, 4, 20_000), {"minimum": 1, "maximum": 3}),
        ("build_number", random.integers(4000, 4279, 20_000), {}),
        ("appVersion", random.integers(1, 4, 20_000), {}),
        ("last_seq", random.integers(1, 4000, 20_000), {}),
        ("serial", random.integers(1, 4000, 20_000), {}),
        ("version_count", random.integers(1, 4, 20_000), {"minimum": 1, "maximum": 3}),
        ("age", random.integers(18, 91, 20_000), {"minimum": 18, "maximum": 90}),
        ("status", random.choice([200, 404, 500], 20_000), {"enum": (200, 404, 500)}),
        ("constant", np.full(20_000, 7), {}),
        ("nothing", np.full(20_000, np.nan), {}),
        ("flag", random.random(20_000) < 0.5, {}),
        ("letter", random.choice(["a", "b"], 20_000), {"enum": ("a", "b")}),
        ("one", np.full(20_000, "x"), {}),
        ("rare", ["r"] * 19 + ["a"] * 10_000 + ["b"] * 10_000, {"pattern": "^[a-z]+$"}),
        ("rare_shape", ["r9"] * 19 + ["a"] * 10_000 + ["b"] * 10_000, {}),
        ("day_text", random.choice(["2024-02-29", "2024-03-01"], 20_000).tolist(), {"format": "date"}),
        ("counter", [f"user-{i}" for i in random.integers(1, 999, 20_000)], {"pattern": "^[a-z]+-[0-9]+$"}),
        (
            "firmware",
            random.choice(["1.9.2", "1.10.0", "2.0.0-rc1"], 20_000),
            {"pattern": r"^(?:[0-9]+\.[0-9]+\.[0-9]+|[0-9]+\.[0-9]+\.[0-9]+-[a-z]+[0-9]+)$"},
        ),
        ("network", random.choice(["wifi", "3G", "4G"], 20_000), {"pattern": "^(?:[0-9]+[A-Z]+|[a-z]+)$"}),
        ("carrier", random.choice(["9E", "B6", "UA"], 20_000), {"enum": ("9E", "B6", "UA")}),
        ("mail", [f"u{i % 999}@x{i % 7}.example" for i in range(20_000)], {"format": "email"}),
        ("address", [f"10.0.{i % 256}.{i % 199}" for i in range(20_000)], {"format": "ipv4"}),
        ("address6", [f"fe80::{i % 999:x}" for i in range(20_000)], {"format": "ipv6"}),
        ("accents", ["é" if i % 2 else f"e{i}" for i in range(20_000)], {}),
        (
            "plane",
            [f"N{i % 900}AB" if i % 2 else f"N{i % 5000}" for i in range(20_000)],
            {"pattern": "^(?:[A-Z]+[0-9]+|[A-Z]+[0-9]+[A-Z]+)$"},
        ),
        ("when", pd.date_range("2024-01-01", periods=20_000, tz="UTC"), {"format": "date-time"}),
    ],
)
def test_rules(name: str, column: Any, expected: dict[str, Any]) -> None:
    assert hard(learned(name, column)) == expected


def test_globe_and_latitude() -> None:
    field = learned("latitude", random.uniform(-89, 89, 20_000))
    assert (field.minimum, field.maximum) == (-90, 90)


def test_small_categories_wait_for_more_rows() -> None:
    contract = learn(profile(pd.DataFrame({"c": random.choice(["a", "b"], 5_000)})))
    assert hard(contract.fields[0]) == {}
    assert {"field": "c", "claim": "enum", "rows_needed": 10_000} in contract.evidence["left_out"]


def test_few_texts_of_one_shape_wait_for_more_rows() -> None:
    contract = learn(profile(pd.DataFrame({"c": [f"k{i % 500}" for i in range(5_000)]})))
    assert hard(contract.fields[0]) == {}
    assert {"field": "c", "claim": "pattern", "rows_needed": 10_000} in contract.evidence["left_out"]


def test_an_end_that_few_values_reach_says_how_many_rows_it_takes() -> None:
    tips = np.concatenate([np.zeros(19_950), np.linspace(0.1, 5, 25), np.linspace(-4, -0.1, 25)])
    contract = learn(profile(pd.DataFrame({"tip": tips})))
    assert hard(contract.fields[0]) == {}
    (left_out,) = contract.evidence["left_out"]
    assert left_out == {"field": "tip", "claim": "bounds", "rows_needed": 80_000}


def test_what_a_name_allows_is_a_claim_and_no_part_of_the_budget() -> None:
    field = learned("month", random.integers(1, 4, 20_000))
    assert {"minimum", "maximum"} <= set(field.evidence["never_seen"])


def test_every_rule_says_what_it_costs() -> None:
    frame = pd.DataFrame(
        {
            "x": random.normal(size=20_000),
            "c": random.choice(["a", "b"], 20_000),
            "k": ["k" * (1 + length) for length in random.poisson(9, 20_000)],
            "month": random.integers(1, 13, 20_000),
            "when": pd.date_range("2024-01-01", periods=20_000, tz="UTC"),
        }
    )
    contract = learn(profile(frame))
    rules = {"type", "minimum", "maximum", "enum", "format", "pattern", "maxLength"}
    for field in contract.fields:
        written = contract.schema["properties"][field.name].keys() & rules
        assert written <= field.evidence["refusals"].keys(), field.name
    assert {refusal.rule for refusal in contract.refusals} == rules | {"required", "null"}


def test_lengths_of_texts_are_bounded_by_their_tail() -> None:
    field = learned("text", ["x" * length for length in random.poisson(20, 20_000) + 1])
    assert field.max_length is not None
    assert 40 < field.max_length < 90


def test_a_nullable_enum_allows_null() -> None:
    field = learned("c", [None] * 100 + ["a", "b"] * 10_000)
    assert field.enum == ("a", "b", None)
    assert (field.nullable, field.required) == (True, False)


def test_missing_and_null_are_told_apart(con: Connection) -> None:
    events = [{"always": 1, "sometimes": 1, "null": None}, {"always": 2, "null": 3}] * 1_000
    contract = learn(of_events(con, events))
    assert contract.schema["required"] == ["always", "null"]
    assert [field.nullable for field in contract.fields] == [False, False, True]


def test_shape_is_learned(con: Connection) -> None:
    events = [
        {"o": {"b": i % 7, "c": {}}, "l": [{"p": float(i)}, {"p": 1}], "m": [1, "x"][i % 2]} for i in range(2_000)
    ]
    for extra in ("allow", "forbid"):
        contract = learn(of_events(con, events), extra=extra)
        fields = dict(contract.root.walk())
        assert list(fields) == ["o", "o.b", "o.c", "l", "l[]", "l[].p", "m"]
        assert fields["l[].p"].types == {"number"}
        assert fields["m"].types == {"integer", "string"}
        assert hard(fields["m"]) == {}
        assert contract.root.additional == fields["o"].additional == fields["l[]"].additional == (extra == "allow")
        # It was always empty: nothing is known of what it may hold.
        assert fields["o.c"].additional


def test_costs_are_added_up() -> None:
    contract = learn(profile(pd.DataFrame({"x": random.normal(size=20_000), "c": random.choice(["a", "b"], 20_000)})))
    # Of both: required, never null, always of this type; and the values of one.
    claims = 7 / (np.e * 20_000)
    assert contract.expected_refusals == pytest.approx(claims, rel=0.02)
    x = contract.fields[0].evidence["refusals"]
    assert x["minimum"] + x["maximum"] <= 1e-6
    assert contract.fields[0].evidence["says"].startswith("Never missing in 20,000 rows.")


def test_a_rule_on_values_costs_events_only_where_there_are_values() -> None:
    column = [None] * 15_000 + ["a", "b"] * 10_000
    refusals = learned("c", column).evidence["refusals"]
    # 20,000 of 35,000 rows have a value: what was never seen among them is so much rarer among all.
    assert refusals == pytest.approx({"type": 1 / (np.e * 35_000), "enum": 1 / (np.e * 35_000)}, rel=0.01)


def test_a_smaller_budget_allows_more() -> None:
    found = profile(pd.DataFrame({"x": random.normal(size=20_000)}))
    wide, narrow = learn(found, budget=1e-9).fields[0], learn(found).fields[0]
    assert wide.minimum < narrow.minimum < narrow.maximum < wide.maximum  # type: ignore[operator]


def test_the_same_profile_gives_the_same_bytes() -> None:
    found = profile(pd.DataFrame({"x": random.normal(size=2_000), "c": random.choice(["a", "b"], 2_000)}))
    first = learn(found).to_json()
    assert learn(Profile.parse(found.to_json())).to_json() == first
    assert Contract.parse(json.loads(first)).to_json() == first


def test_types_that_json_lacks_are_left_open() -> None:
    found = Profile("d", 2_000, (FieldProfile("raw", 2_000, {"other": 2_000}),))
    assert learn(found).fields[0].types == frozenset()


def events_of(kinds: list[int], rows: int) -> list[dict[str, Any]]:
    """Events whose fields follow one of many laws each."""
    dice = np.random.default_rng(rows)
    laws: list[Callable[[], Any]] = [
        lambda: int(dice.integers(0, 5)),
        lambda: float(dice.normal()),
        lambda: float(dice.exponential()) if dice.random() < 0.5 else 0,
        lambda: None if dice.random() < 0.1 else str(dice.choice(["null", "b", '"c', "_other"])),
        lambda: bool(dice.random() < 0.5),
        lambda: [int(dice.poisson(3)) for _ in range(dice.integers(0, 3))],
        lambda: {"x": int(dice.geometric(0.4)), "y": float(dice.integers(0, 40)) / 4} if dice.random() < 0.7 else None,
        lambda: f"id{dice.integers(0, 10**9)}",
        lambda: dice.choice(np.array([1, "a", 2.5, True], dtype=object)),
        lambda: int(dice.integers(0, 10**17)),
    ]
    chosen = {f"f{i}": laws[kind] for i, kind in enumerate(kinds)}
    return [{name: law() for name, law in chosen.items() if dice.random() < 0.95 or name == "f0"} for _ in range(rows)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
@given(kinds=st.lists(st.integers(0, 9), min_size=1, max_size=5), rows=st.sampled_from([100, 600, 1_500]))
def test_a_contract_accepts_what_it_was_learned_from(con: Connection, kinds: list[int], rows: int) -> None:
    events = events_of(kinds, rows)
    contract = learn(of_events(con, events), extra="forbid")
    validator = jsonschema.Draft202012Validator(contract.schema)
    assert all(validator.is_valid(event) for event in events)
    # What is counted live falls into the same bins: the shares are those of the same events.
    fields = dict(contract.root.walk())
    for label, counts in Columns(contract).count(events):
        bins = fields[label].bins
        assert bins is not None
        assert counts == [round(bins.share.get(name, 0) * bins.rows) for name in bins.labels], label


def test_keys_are_named() -> None:
    frame = pd.DataFrame(
        {
            "code": [f"N{i}" for i in range(2_000)],
            "number": range(2_000),
            "epoch": range(1_700_000_000, 1_700_002_000),
            "when": pd.date_range("2026-01-01", periods=2_000, freq="s", tz="UTC"),
            "real": random.normal(size=2_000),
            "twice": [*range(1_999), 0],
        }
    )
    contract = learn(profile(frame))
    assert [key["field"] for key in contract.evidence["keys"]] == ["code", "number"]
    assert contract.evidence["keys"][0]["says"] == "All different in 2,000 rows."
    assert "keys" not in learn(profile(frame.head(900))).evidence


def test_relations_are_carried_over() -> None:
    low = random.normal(size=2_000)
    contract = learn(profile(pd.DataFrame({"temp_min": low, "temp_max": low + random.exponential(size=2_000)})))
    assert [each.rule for each in relations(contract)] == ["temp_min ≤ temp_max"]
    assert not any("≤" in refusal.rule for refusal in contract.refusals)  # it refuses nothing


@pytest.mark.parametrize(
    ("name", "column", "wall"),
    [
        pytest.param("temp_min", random.normal(20, 5, 20_000).clip(1), False, id="a scale that goes on"),
        pytest.param("accountBalance", random.lognormal(3, 1, 20_000), False, id="money that may be owed"),
        pytest.param("price", random.normal(20, 5, 20_000).clip(1), True, id="an amount"),
        pytest.param("template", random.normal(20, 5, 20_000).clip(1), True, id="another word"),
        pytest.param("engines", random.permutation([1] * 10 + [2] * 700 + [4] * 90), True, id="a count from 1 on"),
    ],
)
def test_the_wall_at_0(name: str, column: Any, wall: bool) -> None:  # noqa: FBT001
    field = learned(name, column)
    assert ("minimum" in field.evidence["never_seen"]) is wall
    assert (field.minimum == 0) is wall
    if not wall:
        assert field.minimum is None or field.minimum < 0


def test_a_globe_has_a_south() -> None:
    for name, column in (("lat", random.uniform(40, 55, 800)), ("lon", random.uniform(0, 15, 20_000))):
        low = learned(name, column).minimum
        assert low is not None
        assert low < (0 if name == "lon" else 40)


def test_clocks() -> None:
    times = random.integers(0, 24, 20_000) * 100 + random.integers(0, 60, 20_000)
    assert hard(learned("dep_time", times)) == {"minimum": 0, "maximum": 2400}
    assert hard(learned("dep_time", random.integers(0, 2_400, 20_000)))["maximum"] != 2400
    assert hard(learned("load", times))["maximum"] != 2400


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (["1.2.0", "1.2.1", "1.10.0"], {"pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"}),
        ([f"S{i:03d}" for i in range(39)], {"pattern": "^[A-Z]+[0-9]+$"}),
        (["EWR", "JFK"], {"enum": ("EWR", "JFK")}),
        (["a1", "b"], {"enum": ("a1", "b")}),
    ],
)
def test_numbered_things_are_no_enums(values: list[str], rule: dict[str, Any]) -> None:
    found = hard(learned("x", random.choice(values, 20_000)))
    found.pop("max_length", None)
    assert found == rule


def test_a_capped_bound_costs_no_more_than_what_was_never_seen() -> None:
    column = np.concatenate([random.choice([3, 4, 5], 3_000), random.pareto(1, 300).clip(0, 20) + 6])
    contract = learn(profile(pd.DataFrame({"x": column})))
    assert all(refusal.share <= 1 / (np.e * 3_300) * 1.01 for refusal in contract.refusals)
