from __future__ import annotations

from typing import Any

import pytest

from assay.contract.evidence import SPECIAL_BINS, Bins, value_label


def test_edges_make_one_bin_more() -> None:
    bins = Bins(100, {"b0": 0.5, "b2": 0.5}, edges=(1.0, 2.0), low=0.0, high=9.0)
    assert bins.labels == ("b0", "b1", "b2", *SPECIAL_BINS)


@pytest.mark.parametrize(
    "bins",
    [
        Bins(100, {"b0": 0.25, "b1": 0.75}, edges=(1.5,), low=-1.0, high=9.0),
        Bins(3, {"a": 1.0}, values=("a", True, 2)),
        Bins(1, {"null": 1.0}, edges=()),
    ],
)
def test_a_document_reads_back_the_same(bins: Bins) -> None:
    again = Bins.parse(bins.to_document())
    assert again == bins
    assert again.to_document() == bins.to_document()


@pytest.mark.parametrize(
    "document",
    [
        {"rows": 1, "share": {}},
        {"rows": 1, "share": {}, "edges": [1], "values": ["a"]},
        {"rows": 1, "share": {}, "edges": [2, 1]},
        {"rows": 1, "share": {}, "edges": [1, 1]},
        {"rows": 1, "share": {"b7": 0.5}, "edges": [1]},
        {"rows": 1, "share": {"b0": 1.5}, "edges": [1]},
        {"rows": 0, "share": {"b0": 1}, "edges": [1]},
    ],
)
def test_bins_that_make_no_sense_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Bins.parse(document)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("a", "a"),
        ("null", '"null"'),
        ('"x', '""x"'),
        (True, "true"),
        (False, "false"),
        (2.0, "2"),
        (2, "2"),
        (0.5, "0.5"),
    ],
)
def test_a_category_as_a_label(value: Any, label: str) -> None:
    assert value_label(value) == label
