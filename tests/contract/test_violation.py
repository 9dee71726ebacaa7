from __future__ import annotations

import pytest

from assay.contract.violation import Loc, Violation, field_label, fingerprint


@pytest.mark.parametrize(
    ("loc", "label"),
    [((), ""), (("a",), "a"), (("a", "b"), "a.b"), (("a", 3), "a[]"), (("a", 3, "b", 0, 1), "a[].b[][]")],
)
def test_a_path_as_a_label(loc: Loc, label: str) -> None:
    assert field_label(loc) == label


def test_rejects_of_a_kind_share_a_fingerprint() -> None:
    first = [Violation(("a", 0), "missing", "", 1), Violation(("b",), "int_type", "said so")]
    again = [Violation(("b",), "int_type", "said otherwise"), Violation(("a", 7), "missing", ""), *first]
    assert fingerprint("flights", 1, first) == fingerprint("flights", 1, again)
    assert len(fingerprint("flights", None, [])) == 16


@pytest.mark.parametrize(
    ("dataset", "contract", "type_"), [("other", 1, "missing"), ("flights", 2, "missing"), ("flights", 1, "int_type")]
)
def test_rejects_of_other_kinds_do_not(dataset: str, contract: int, type_: str) -> None:
    one = fingerprint("flights", 1, [Violation(("a",), "missing", "")])
    assert one != fingerprint(dataset, contract, [Violation(("a",), type_, "")])


def test_as_a_document() -> None:
    assert Violation(("a", 0), "missing", "Field required").to_document() == {
        "loc": ["a", 0],
        "type": "missing",
        "msg": "Field required",
        "input": None,
    }
