"""Charts: well-formed, without style or script, every text escaped, and as high as the shares say."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contract.document import Contract, Field
from assay.ui.charts import bin_rows, distribution, sparkline
from assay.ui.history import Bar

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("1")</script>&"\''


def field(name: str = "a", **schema: Any) -> Field:
    bins = schema.pop("bins")
    document = {"type": "object", "properties": {name: {**schema, "x-assay": {"bins": bins}}}}
    return Contract.parse(document).fields[0]


NUMBERS = field(
    type="number",
    minimum=-10,
    maximum=60,
    bins={"rows": 1000, "edges": [10, 20], "low": 0, "high": 40, "share": {"b0": 0.25, "b1": 0.5, "b2": 0.25}},
)
FEW = field(
    type="integer", bins={"rows": 1000, "values": [1, 2, 3], "low": 1, "high": 3, "share": {"1": 0.5, "2": 0.5}}
)
WORDS = field(
    type="string", bins={"rows": 1000, "values": [HOSTILE, *"abcdefghijklm"], "share": {HOSTILE: 0.5, "_other": 0.5}}
)
NONE = field(type="string", bins={"rows": 1000, "values": [], "share": {"_other": 1.0}})


def drawn(text: str | None) -> ET.Element:
    """The elements of a chart, which must be XML and carry nothing that the pages' policy forbids."""
    assert text is not None
    root = ET.fromstring(str(text).replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {"svg", "rect", "path", "text", "title"}
        assert not [name for name in element.attrib if name == "style" or name.startswith("on")]
    return root


def classes(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]


@pytest.mark.parametrize("of", [NUMBERS, FEW, WORDS], ids=["numbers", "few numbers", "words"])
def test_a_chart_has_what_is_expected_and_what_came(of: Field) -> None:
    assert of.bins is not None
    labels = of.bins.labels
    counts = [10] * len(labels)
    root = drawn(distribution(of, counts))
    assert classes(root, "expected")
    assert classes(root, "live") + classes(root, "live-bar")
    assert root.get("role") == "img"
    assert "Distribution of a" in root.get("aria-label", "")
    assert not classes(drawn(distribution(of, None)), "live")


def test_what_has_no_distribution_has_no_chart() -> None:
    assert distribution(NONE, None) is None
    assert distribution(Field("a"), None) is None


def test_densities_are_shares_over_widths() -> None:
    heights = [float(each.get("height", 0)) for each in classes(drawn(distribution(NUMBERS, None)), "expected")]
    # Half of the rows in 10 units, a quarter in 10 and in 20.
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.3)
    assert heights[1] == pytest.approx(4 * heights[2], abs=0.5)


def test_bounds_are_drawn_where_they_are_or_pointed_at() -> None:
    root = drawn(distribution(NUMBERS, None))
    assert len(classes(root, "bound")) == 2
    far = field(type="number", maximum=1e9, bins=NUMBERS.bins.to_document())  # type: ignore[union-attr]
    root = drawn(distribution(far, None))
    assert classes(root, "bound") == []
    assert [each.text for each in classes(root, "bound-text")] == ["≤ 1G →"]


def test_what_is_beyond_all_that_was_seen_stands_apart() -> None:
    root = drawn(distribution(NUMBERS, [0, 0, 0, 0, 0, 100, 0]))
    (column,) = classes(root, "beyond")
    assert float(column.get("height", 0)) == pytest.approx(90)


def test_texts_are_escaped() -> None:
    text = distribution(WORDS, None)
    assert text is not None
    assert "<script" not in text
    assert any(HOSTILE in (each.text or "") for each in drawn(text).iter(f"{SVG}title"))


def test_rows_say_in_words_what_a_bin_holds() -> None:
    assert NUMBERS.bins is not None
    rows = bin_rows(NUMBERS.bins, [1, 1, 0, 0, 0, 2, 0])
    assert [row.what for row in rows] == [
        "0 to 10",
        "10 to 20",
        "20 to 40",
        "missing or null",
        "below 0",
        "above 40",
        "of another kind",
    ]
    assert [row.live for row in rows] == [0.25, 0.25, 0, 0, 0, 0.5, 0]
    assert [row.special for row in rows] == [False] * 3 + [True] * 4


@given(st.lists(st.tuples(*[st.integers(0, 10**9)] * 3), max_size=60))
def test_a_sparkline_shows_every_refused_event(counts: list[tuple[int, int, int]]) -> None:
    bars = [Bar(float(i), *each) for i, each in enumerate(counts)]
    root = drawn(sparkline(bars, 60, "t"))
    refused = classes(root, "refused")
    assert len(refused) == sum(1 for bar in bars if bar.rejected)
    assert all(float(each.get("height", 0)) >= 2 for each in refused)


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=9, unique=True),
    st.lists(st.integers(0, 1000), min_size=14, max_size=14),
)
def test_any_bins_can_be_drawn(edges: list[float], counts: list[int]) -> None:
    edges = sorted(edges)
    bins = {"rows": 100, "edges": edges, "low": edges[0], "high": edges[-1], "share": {"b0": 1.0}}
    of = field(type="number", minimum=edges[0] - 1, bins=bins)
    assert of.bins is not None
    root = drawn(distribution(of, counts[: len(of.bins.labels)]))
    for element in root.iter(f"{SVG}rect"):
        assert float(element.get("width", 0)) >= 0
        assert float(element.get("height", 0)) >= 0
