"""Fine bins, small histograms, figures and remarks, from profiles of real data."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.frames.counts import count_source
from assay.profile.document import FieldProfile, Profile
from assay.profile.relation import profile
from assay.ui.first_look import exact, figures, fine_bins, heights, remarks, shape, with_shares
from assay.ui.text_bars import text_bars

RNG = random.Random(1)


def measured(values: list[Any]) -> tuple[Profile, FieldProfile]:
    found = profile(pa.table({"a": values}))
    return found, found.fields[0]


@pytest.mark.parametrize(
    ("values", "widths"),
    [
        pytest.param([RNG.random() for _ in range(3_000)], 40, id="fractions: forty of one width"),
        pytest.param([RNG.randint(20, 60) for _ in range(3_000)], 41, id="whole numbers in a small range: one each"),
        pytest.param([RNG.randint(0, 999) for _ in range(9_000)], 40, id="whole numbers: as many in each"),
    ],
)
def test_fine_bins_are_of_one_width(values: list[Any], widths: int) -> None:
    found, field = measured(values)
    bins = fine_bins(field, found.rows)
    assert bins is not None
    assert bins.edges is not None
    assert abs(len(bins.edges) + 1 - widths) <= 1
    steps = {round(b - a, 6) for a, b in zip(bins.edges, bins.edges[1:], strict=False)}
    assert len(steps) == 1


def test_fine_bins_of_skewed_numbers_grow() -> None:
    found, field = measured([RNG.lognormvariate(0, 3) for _ in range(3_000)])
    bins = fine_bins(field, found.rows)
    assert bins is not None
    assert bins.edges is not None
    assert bins.edges[-1] - bins.edges[-2] > 100 * (bins.edges[1] - bins.edges[0])


def test_a_sorted_file_has_a_distribution() -> None:
    found, field = measured(sorted(RNG.random() for _ in range(3_000)))
    bins = fine_bins(field, found.rows)
    assert bins is not None
    assert bins.edges


@given(st.lists(st.integers(-1000, 1000) | st.floats(-1e6, 1e6) | st.none(), min_size=1, max_size=80))
def test_every_row_is_in_a_bin_of_its_own_shape(values: list[Any]) -> None:
    table = pa.table({"a": pa.array([None if v is None else float(v) for v in values], pa.float64())})
    found = profile(table)
    contract = shape(found, fine=True)
    (counts,) = count_source(table, [contract])
    if "a" in counts:
        assert sum(counts["a"]) == len(values)
        bins = with_shares(contract.fields[0], counts["a"]).bins
        assert bins is not None
        assert sum(bins.share.values()) == pytest.approx(1)
        assert not bins.share.get("low")
        assert not bins.share.get("high")


def test_small_histograms() -> None:
    found, field = measured([1] * 10 + [2] * 20 + [3] * 5)
    assert heights(field, found.rows) == [10, 20, 5]
    found, field = measured([i / 10 for i in range(5_000)])
    spread = heights(field, found.rows, columns=8)
    assert sum(spread) == pytest.approx(5_000)
    assert max(spread) < 1.1 * min(spread)
    found, field = measured(["x"] * 30 + ["y"] * 10)
    assert heights(field, found.rows) == [0.75, 0.25]
    assert heights(measured([None])[1], 1) == []


@pytest.mark.parametrize(
    ("shares", "plain", "text"),
    [([1, 0, 8, 4], False, "▁ █▄"), ([1, 0, 8, 4], True, "2 95"), ([0, 0], False, "  "), ([], False, "")],
)
def test_bars_of_text(shares: list[float], plain: bool, text: str) -> None:  # noqa: FBT001
    assert text_bars(shares, plain=plain) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2013, "2013"), (12_345, "12,345"), (0.25, "0.25"), (1_199_750.4, "1,199,750"), (-3.0, "-3"), (1e20, "1e+20")],
)
def test_a_figure_in_full(value: float, text: str) -> None:
    assert exact(value) == text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param([2013] * 200, "always 2013", id="a constant"),
        pytest.param([None] * 150 + list(range(50)), "missing or null in 75%", id="mostly missing"),
        pytest.param([None] * 5, "never there", id="nothing"),
        pytest.param([f"id-{i}" for i in range(500)], "looks like an identifier", id="an identifier"),
        pytest.param(list(range(500)), "rises with the rows", id="a sequence"),
        pytest.param([RNG.lognormvariate(0, 2) for _ in range(2_000)], "a long tail", id="a long tail"),
        pytest.param([1.0, float("nan"), 2.0] * 50, "NaN or infinite", id="no numbers"),
    ],
)
def test_what_stands_out(values: list[Any], says: str) -> None:
    assert any(says in remark for remark in remarks(measured(values)[0]))


def test_nothing_stands_out_of_plain_numbers() -> None:
    assert remarks(measured([RNG.gauss(100, 10) for _ in range(2_000)])[0]) == []


def test_figures() -> None:
    said = dict(figures(measured([1, 2, 3, 4, None])[1]))
    assert said["type"] == "integer"
    assert said["missing or null"] == "1 (20%)"
    assert (said["least"], said["greatest"]) == ("1", "4")
    assert dict(figures(measured([True, False, True, True])[1]))["true"] == "75%"
