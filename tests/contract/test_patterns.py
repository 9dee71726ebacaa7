from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import SchemaValidator, ValidationError, core_schema

from assay.contract.patterns import check_pattern, to_rust

PIECES = ("a", "b", "1", "-", ".", "[ab]", "[^a]", "(?:a|b)*", "b+", "a??", "a{1,2}", "|", "^", "$")


def matches(pattern: str, text: str) -> bool:
    check_pattern(pattern)
    try:
        SchemaValidator(core_schema.str_schema(pattern=to_rust(pattern))).validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("b", ["abc"], ["ac", ""]),
        ("", ["", "a"], []),
        ("^abc$", ["abc"], ["abc\n", "xabc"]),
        (r"^\d$", ["3"], ["٣", "x"]),
        (r"^\D$", ["٣", "x"], ["3"]),
        (r"^\w$", ["a", "_"], ["é", "-"]),
        (r"^\W$", ["é"], ["a"]),
        (r"^\s$", ["\ufeff", "\u00a0", "\u2029", "\v"], ["\u0085", "\u200b"]),
        (r"^[\S]$", ["\u0085", "a"], ["\ufeff"]),
        ("^.$", ["a", "😀", "\u0085"], ["\n", "\r", "\u2028", "\u2029"]),
        ("^[^]$", ["\n", "😀"], ["", "ab"]),
        ("a[]", [], ["a", "a]"]),
        (r"\bfoo\b", ["a foo.", "éfoo"], ["food", "_foo"]),
        (r"^[\b]$", ["\b"], ["b"]),
        (r"^[a\-z]$", ["-"], ["m"]),
        ("^[a-c-e]$", ["-", "e", "b"], ["d"]),
        ("^[&&~~]$", ["&", "~"], ["a"]),
        ("^[!--]$", ["!", "-"], ["a"]),
        ("^[[]$", ["["], ["]"]),
        (r"^\x41\u0042\u{43}\cA\0\/$", ["ABC\x01\x00/"], ["ABC"]),
        (r"^\ud83d\ude00$", ["😀"], ["😃"]),
        ("^😀*$", ["", "😀😀"], ["😃"]),
        (r"^\p{Letter}\p{gc=Nd}\P{L}$", ["é٣1"], ["1٣1"]),
        ("^(?:a|bc){2,3}?(?<tail>d+)$", ["abcd", "aaadd"], ["ad"]),
        ("^a b#$", ["a b#"], ["ab"]),
        (r"^a-b\.c\{2\}$", ["a-b.c{2}"], ["a-bxc{2}"]),
    ],
)
def test_it_means_what_ecma_262_says(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes + no if matches(pattern, text)] == yes


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "back-reference"),
        (r"\k<a>", "back-reference"),
        (r"\B", r'"\\B"'),
        (r"\q", r'"\\q"'),
        (r"\-", r'"\\-"'),
        ("(?i)a", r"\(\?i\)"),
        ("a**", "nothing to repeat"),
        ("^*", "nothing to repeat"),
        ("(|*a)", "nothing to repeat"),
        ("a{2,1}", "least is above"),
        ("a{", "unescaped '{'"),
        ("]", "unescaped ']'"),
        ("(a", "not closed"),
        ("a)", "closes nothing"),
        ("[a", "not closed"),
        ("[a-", "not closed"),
        ("[z-a]", "ends before"),
        (r"[\d-z]", "set of characters"),
        ("\\", "at the end"),
        (r"\c1", "without a letter"),
        (r"\x4", "hexadecimal"),
        (r"\u12", "hexadecimal"),
        (r"\ud83d", "surrogate"),
        ("\ud83d", "surrogate"),
        (r"\u{110000}", "beyond Unicode"),
        (r"\p{Script=Greek}", "Unicode property"),
        ("(?<a>x)(?<a>y)", "comes twice"),
        ("(((a{999}){999}){999})", "linear time"),
        (r"\01", "not enforced"),
    ],
)
def test_what_is_not_enforced_is_named(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_pattern(pattern)


@given(st.text("ab01 [](){}|^$*+?.-\\dwsnpuxLNc,&~é\n", max_size=8))
def test_any_text_is_carried_out_or_refused(pattern: str) -> None:
    try:
        check_pattern(pattern)
    except ValueError:
        return
    matches(pattern, "ab1")


@given(
    st.text("ab1-", max_size=6),
    st.lists(st.sampled_from(PIECES)),
)
def test_it_agrees_with_python_where_the_two_mean_the_same(text: str, parts: list[str]) -> None:
    pattern = "".join(parts)
    assert matches(pattern, text) == (re.search(pattern, text) is not None)
