"""The shapes of strings: those that every string has by itself, however they are told."""

from __future__ import annotations

import re
from collections import Counter

import duckdb
from hypothesis import example, given
from hypothesis import strategies as st

from assay.profile.engine import Duck
from assay.profile.shapes import SHAPES_KEPT, counted


def shape_of(text: str) -> str:
    for run, letter in (("[0-9]+", "0"), ("[A-Z]+", "A"), ("[a-z]+", "a")):
        text = re.sub(run, letter, text)
    return text


def shapes_of(texts: list[str | None]) -> tuple[tuple[str, int], ...]:
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t AS SELECT unnest(?::VARCHAR[]) AS c", [texts])
        return counted(Duck(con), "t", "c")


#: What is likely to be mistaken: the letters of shapes, quotes, what has a meaning in patterns, ends of lines, other scripts.
TEXTS = st.text(st.sampled_from("019AZaz '\"\\^$.*+?()[]{}|/-_#&~\n\té0"), max_size=6)


@given(texts=st.lists(st.one_of(st.none(), TEXTS), max_size=40), often=TEXTS, times=st.integers(0, 200))
@example(texts=["12\n"], often="12", times=50)
@example(texts=["A0", "a'b"], often="it's", times=3)
def test_shapes_are_those_of_each_string(texts: list[str | None], often: str, times: int) -> None:
    given_texts = [*texts, *[often] * times]
    expected = Counter(shape_of(text) for text in given_texts if text is not None)
    found = shapes_of(given_texts)
    if len(expected) > SHAPES_KEPT or any(not re.fullmatch("[ -~]*", shape) for shape in expected):
        assert found == ()
    else:
        assert found == tuple(sorted(expected.items(), key=lambda pair: (-pair[1], pair[0])))


def test_a_shape_that_only_later_rows_have_is_counted_too() -> None:
    texts: list[str | None] = [*["N14228"] * 3_000, *["EWR"] * 7, None, "x-1"]
    assert shapes_of(texts) == (("A0", 3_000), ("A", 7), ("a-0", 1))


def test_too_many_shapes_are_none() -> None:
    later: list[str | None] = ["-" * i for i in range(SHAPES_KEPT)]
    assert len(shapes_of(later)) == SHAPES_KEPT
    assert shapes_of([*["A1"] * 3_000, *later]) == ()
    assert shapes_of([*["A1"] * 3_000, "é"]) == ()
    assert shapes_of(["-" * 65]) == ()
