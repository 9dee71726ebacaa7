"""Names and texts in SQL: DuckDB reads what was written."""

from __future__ import annotations

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from assay.sql import quoted, sql_text

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(_TEXTS | st.text("'\"\\\0%;-", max_size=6))
def test_a_text_is_read_back(text: str) -> None:
    assert duckdb.execute(f"SELECT {sql_text(text)}").fetchall() == [(text,)]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_name_is_read_back(name: str) -> None:
    assert [each[0] for each in duckdb.execute(f"SELECT 1 AS {quoted(name)}").description or ()] == [name]


def test_what_is_no_text_stands_as_one() -> None:
    assert sql_text(7) == "'7'"
    assert sql_text("a\0b") == "('a' || chr(0) || 'b')"
