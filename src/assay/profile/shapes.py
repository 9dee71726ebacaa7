"""What strings look like: which kinds of characters follow one another, and the regular expression that says so.

A shape has `0` for a run of digits, `A` and `a` for runs of ASCII's capital and small letters, and every other character
as it is: `N14228` and `N9` are both `A0`. Runs have no length of their own: a counter in a text gets one digit more one
day, and `maxLength` sees to the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from assay.profile.engine import Engine
from assay.sql import sql_text

__all__ = ["SHAPES_KEPT", "counted", "pattern"]

#: More alternatives nobody reads; texts that people write have more.
SHAPES_KEPT: Final = 20
#: A longer shape is prose.
_LONGEST: Final = 64
#: So many rows are looked at first.
_FIRST: Final = 2_000
#: So many shapes, each of that share of them, all rows are held against before a shape is made.
_USUAL: Final = 3
_OFTEN: Final = 0.1
_RUNS: Final = (("[0-9]+", "0"), ("[A-Z]+", "A"), ("[a-z]+", "a"))
_CLASSES: Final = {"0": "[0-9]+", "A": "[A-Z]+", "a": "[a-z]+"}


def counted(engine: Engine, relation: str, expr: str) -> tuple[tuple[str, int], ...]:
    """The shapes of a column of strings with their rows, the most frequent first; none where there are too many."""
    shape = expr
    for run, letter in _RUNS:
        shape = f"regexp_replace({shape}, '{run}', '{letter}', 'g')"

    # Where the first rows have too many already, the rest is spared.
    first = Counter(each for (each,) in engine.first(relation, [shape], _FIRST) if each is not None)
    if _are_too_many(first):
        return ()
    usual = [each for each, rows in first.most_common(_USUAL) if rows >= _OFTEN * first.total()]
    found = engine.counted(
        relation, _told(expr, usual, shape), "VARCHAR", where=f"WHERE {expr} IS NOT NULL", most=SHAPES_KEPT + 1
    )
    return () if _are_too_many([each for each, _ in found]) else tuple(found)


def _told(expr: str, usual: Sequence[str], shape: str) -> str:
    """SQL for the shape of a text: what matches that of a usual one has it, which costs a fourth of making it."""
    whens = (f"WHEN regexp_full_match({expr}, {sql_text(pattern([each]))}) THEN {sql_text(each)}" for each in usual)
    return f"CASE {' '.join(whens)} ELSE {shape} END" if usual else shape


def _are_too_many(found: Collection[str]) -> bool:
    return len(found) > SHAPES_KEPT or any(len(each) > _LONGEST or not _is_plain(each) for each in found)


def pattern(shapes: Sequence[str]) -> str:
    """The regular expression (ECMA-262) of the strings that have one of these shapes, whole."""
    alternatives = ["".join(_CLASSES.get(char) or _literal(char) for char in shape) for shape in sorted(shapes)]
    return f"^{alternatives[0]}$" if len(alternatives) == 1 else f"^(?:{'|'.join(alternatives)})$"


def _literal(char: str) -> str:
    return "\\" + char if char in "^$\\.*+?()[]{}|/" else char


def _is_plain(shape: str) -> bool:
    """Whether it has printable characters of ASCII alone."""
    return re.fullmatch("[ -~]*", shape) is not None
