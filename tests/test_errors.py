from __future__ import annotations

import re

from assay import errors


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    parents: list[str] = []
    drawn = {}
    for indent, name in re.findall(r"^    ( *)([A-Z]\w+)\b", errors.__doc__ or "", re.MULTILINE):
        parents[len(indent) // 2 :] = [name]
        drawn[name] = parents[-2] if len(parents) > 1 else "Exception"
    real = {name: getattr(errors, name).__bases__[0].__name__ for name in errors.__all__}
    assert drawn == real


def test_errors_carry_what_happened() -> None:
    assert errors.NotASchema("/a", "why").pointer == "/a"
    assert str(errors.NotASchema("", "why", where="contract flights/3")) == "contract flights/3: at /: why"
    assert errors.BadBody("no value", line=3).line == 3
    assert str(errors.BadBody("no value", byte=7)) == "no value at byte 7"
    assert errors.Overloaded("full", retry_after_s=5).retry_after_s == 5
