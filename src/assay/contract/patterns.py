r"""Regular expressions that every path judges alike: ECMA-262's meaning, within what runs in linear time.

A pattern is an unanchored search, read as ECMA-262 reads it in Unicode mode, and carried out by Pydantic's Rust engine.
Where the two differ (`\d` beyond ASCII, what `.` and `\s` take), the pattern is written out so that they do not.
What cannot run in linear time, or whose meaning is not certain, is refused by name.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

__all__ = ["check_pattern", "to_ecma", "to_re2", "to_rust"]

_DIGIT: Final = "0-9"
_WORD: Final = "0-9A-Za-z_"
_SPACE: Final = r"\t\n\x0b\x0c\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}"
_LINE_ENDS: Final = r"\n\r\u{2028}\u{2029}"
_SETS: Final = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
#: What is not in each of the sets, as RE2 writes it inside a set.
_COMPLEMENTS: Final = {
    _DIGIT: r"\x00-\x2f\x3a-\x{10ffff}",
    _WORD: r"\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x{10ffff}",
    _SPACE: r"\x00-\x08\x0e-\x1f\x21-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}",
}
_CONTROLS: Final = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
_SYNTAX: Final = frozenset("^$\\.*+?()[]{}|/")
_OUTSIDE: Final = "\\.+*?()|[]{}^$"  # what a backslash makes literal, outside a class and in one
_IN_CLASS: Final = "\\[]^-"
_LAST: Final = 0x10FFFF

# General categories, in ECMA-262's spellings; scripts and the rest are refused, as engines know different versions.
_NAMES: Final = """
L Letter, Lu Uppercase_Letter, Ll Lowercase_Letter, Lt Titlecase_Letter, Lm Modifier_Letter, Lo Other_Letter,
M Mark Combining_Mark, Mn Nonspacing_Mark, Mc Spacing_Mark, Me Enclosing_Mark,
N Number, Nd Decimal_Number digit, Nl Letter_Number, No Other_Number,
P Punctuation punct, Pc Connector_Punctuation, Pd Dash_Punctuation, Ps Open_Punctuation, Pe Close_Punctuation,
Pi Initial_Punctuation, Pf Final_Punctuation, Po Other_Punctuation,
S Symbol, Sm Math_Symbol, Sc Currency_Symbol, Sk Modifier_Symbol, So Other_Symbol,
Z Separator, Zs Space_Separator, Zl Line_Separator, Zp Paragraph_Separator
"""
_CATEGORIES: Final = {name: names.split()[0] for names in _NAMES.split(",") for name in names.split()}

_PROPERTY: Final = re.compile(r"\{(?:(?:General_Category|gc)=)?([A-Za-z_]+)\}")
_QUANTIFIER: Final = re.compile(r"(?:[*+?]|\{([0-9]{1,9})(?:,([0-9]{1,9})?)?\})\??")
_GROUP_NAME: Final = re.compile(r"\?<([A-Za-z_$][A-Za-z0-9_$]*)>")
_HEX2: Final = re.compile(r"[0-9A-Fa-f]{2}")
_UNICODE: Final = re.compile(r"\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{4})")
_LOW_HALF: Final = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")


def check_pattern(pattern: str) -> None:
    """Accept `pattern`, or raise ValueError saying what in it is not enforced."""
    rust = to_rust(pattern)
    try:
        SchemaValidator(core_schema.str_schema(pattern=rust))
    except SchemaError as error:
        reason = str(error).strip().rpartition("\n")[2].removeprefix("error: ")
        raise ValueError(f"the regular expression cannot be run in linear time: {reason}") from error


def to_rust(pattern: str) -> str:
    """`pattern` in Rust's syntax, meaning what it means in ECMA-262.

    Raises:
        ValueError: it is no regular expression, or something in it is not enforced.
    """
    return _Translator(pattern).translate()


def to_ecma(rust: str) -> str:
    """What `to_rust` has written, as ECMA-262 reads it, with its short names for long sets."""
    found = rust.replace(r"(?-u:\b)", r"\b").replace(f"[^{_LINE_ENDS}]", ".")
    found = found.replace(f"[{_SPACE}]", r"\s").replace(f"[{_WORD}]", r"\w")
    for name, chars in _SETS.items():  # they may stand inside another set, where ECMA-262 has no brackets
        found = found.replace(f"[^{chars}]", f"\\{name.upper()}")
    return found


def to_re2(rust: str) -> str:
    """What `to_rust` has written, in the syntax of RE2, which DuckDB and Arrow have: sets hold no other sets there."""
    out = []
    at = 0
    in_class = False
    while at < len(rust):
        if rust.startswith(r"(?-u:\b)", at):
            out.append(r"\b")
            at += len(r"(?-u:\b)")
        elif rust.startswith("\\u{", at):
            out.append("\\x{")
            at += 3
        elif rust[at] == "\\":
            out.append(rust[at : at + 2])
            at += 2
        elif in_class and rust[at] == "[":
            chars = next(chars for chars in _SETS.values() if rust.startswith(f"[^{chars}]", at))
            out.append(_COMPLEMENTS[chars])
            at += len(chars) + 3
        else:
            in_class = rust[at] == "[" or (in_class and rust[at] != "]")
            out.append(rust[at])
            at += 1
    return "".join(out)


class _Translator:
    """Reads a pattern from left to right, a token at a time; `at` is the place, and `out` what it means in Rust."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.out: list[str] = []
        self.names: set[str] = set()

    def fail(self, what: str, at: int | None = None) -> ValueError:
        return ValueError(f"{what} at character {(self.at if at is None else at) + 1} of the regular expression")

    def translate(self) -> str:
        depth = 0
        while self.at < len(self.pattern):
            char = self.pattern[self.at]
            if char == "(":
                self.open_group()
                depth += 1
                continue
            if char in {"|", "^", "$"}:
                self.at += 1
                self.out.append(char)
                continue
            if char == ")":
                if not depth:
                    raise self.fail('")" closes nothing')
                depth -= 1
                self.at += 1
                self.out.append(")")
            elif self.pattern.startswith("\\b", self.at):
                self.at += 2
                self.out.append(r"(?-u:\b)")
                continue
            else:
                self.out.append(self.atom(char))
            self.quantifier()
        if depth:
            raise self.fail('a "(" is not closed')
        return "".join(self.out)

    def open_group(self) -> None:
        start = self.at
        self.at += 1
        if self.pattern.startswith("?", self.at):
            named = _GROUP_NAME.match(self.pattern, self.at)
            if named:
                if named[1] in self.names:
                    raise self.fail(f"the group name {named[1]!r} comes twice", start)
                self.names.add(named[1])
                self.at = named.end()
            elif self.pattern.startswith("?:", self.at):
                self.at += 2
            elif self.pattern.startswith(("?=", "?!", "?<=", "?<!"), self.at):
                raise self.fail("look-around is not enforced: it does not run in linear time;", start)
            else:
                raise self.fail(f"the group {self.pattern[start : start + 4]!r} is not enforced", start)
        self.out.append("(?:")

    def quantifier(self) -> None:
        """After an atom; what stands elsewhere has nothing to repeat."""
        match = _QUANTIFIER.match(self.pattern, self.at)
        if match is None:
            return
        if match[2] is not None and int(match[1]) > int(match[2]):
            raise self.fail("a repetition whose least is above its most")
        self.at = match.end()
        self.out.append(match[0])

    def atom(self, char: str) -> str:
        if char == ".":
            self.at += 1
            return f"[^{_LINE_ENDS}]"
        if char == "[":
            return self.bracket()
        if char == "\\":
            found = self.escape(in_class=False)
            return found if isinstance(found, str) else _literal(found, _OUTSIDE)
        if char in "*+?":
            raise self.fail(f"{char!r} has nothing to repeat")
        if char in "{}]":
            raise self.fail(f"an unescaped {char!r} is no literal;")
        return _literal(self.code_point(), _OUTSIDE)

    def code_point(self) -> int:
        code = ord(self.pattern[self.at])
        if 0xD800 <= code <= 0xDFFF:
            raise self.fail("half of a surrogate pair")
        self.at += 1
        return code

    def bracket(self) -> str:
        start = self.at
        self.at += 1
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        parts: list[str] = []
        while True:
            if self.at >= len(self.pattern):
                raise self.fail('a "[" is not closed', start)
            if self.pattern[self.at] == "]":
                self.at += 1
                break
            low = self.class_atom()
            is_range = self.pattern.startswith("-", self.at) and not self.pattern.startswith("-]", self.at)
            if not is_range or self.at + 1 >= len(self.pattern):
                parts.append(low if isinstance(low, str) else _literal(low, _IN_CLASS))
                continue
            at = self.at
            self.at += 1
            high = self.class_atom()
            if isinstance(low, str) or isinstance(high, str):
                raise self.fail("a range from or to a set of characters", at)
            if low > high:
                raise self.fail("a range that ends before it begins", at)
            parts.append(f"{_literal(low, _IN_CLASS)}-{_literal(high, _IN_CLASS)}")
        if not parts:  # [] matches nothing, [^] anything
            return f"[{'' if negated else '^'}\\u{{0}}-\\u{{{_LAST:x}}}]"
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def class_atom(self) -> int | str:
        if self.pattern[self.at] == "\\":
            return self.escape(in_class=True)
        return self.code_point()

    def escape(self, *, in_class: bool) -> int | str:
        """What a backslash begins: a code point, or a set of them in Rust's syntax."""
        start = self.at
        if start + 1 >= len(self.pattern):
            raise self.fail("a backslash at the end")
        char = self.pattern[start + 1]
        self.at += 2
        if char.lower() in _SETS:
            chars = _SETS[char.lower()]
            if char.islower():
                return chars if in_class else f"[{chars}]"
            return f"[^{chars}]"
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in _SYNTAX or (in_class and char == "-"):
            return ord(char)
        if in_class and char == "b":
            return 0x08
        if char in "pP":
            found = _PROPERTY.match(self.pattern, self.at)
            if found is None or found[1] not in _CATEGORIES:
                raise self.fail("a Unicode property other than a general category is not enforced", start)
            self.at = found.end()
            return f"\\{char}{{{_CATEGORIES[found[1]]}}}"
        if char == "c":
            letter = self.pattern[self.at : self.at + 1]
            if not re.fullmatch("[A-Za-z]", letter):
                raise self.fail(r"\c without a letter", start)
            self.at += 1
            return ord(letter) % 32
        if char == "x":
            digits = _HEX2.match(self.pattern, self.at)
            if digits is None:
                raise self.fail(r"\x without two hexadecimal digits", start)
            self.at = digits.end()
            return int(digits[0], 16)
        if char == "u":
            return self.unicode(start)
        if char == "0" and not re.match("[0-9]", self.pattern[self.at : self.at + 1]):
            return 0
        if char in "123456789k":
            raise self.fail("a back-reference is not enforced: it does not run in linear time;", start)
        raise self.fail(f'the escape "{self.pattern[start : start + 2]}" is not enforced', start)

    def unicode(self, start: int) -> int:
        digits = _UNICODE.match(self.pattern, self.at)
        if digits is None:
            raise self.fail(r"\u without four hexadecimal digits", start)
        self.at = digits.end()
        code = int(digits[1] or digits[2], 16)
        if digits[2] and 0xD800 <= code <= 0xDBFF:
            low = _LOW_HALF.match(self.pattern, self.at)
            if low:
                self.at = low.end()
                return 0x10000 + ((code - 0xD800) << 10) + (int(low[1], 16) - 0xDC00)
        if code > _LAST or 0xD800 <= code <= 0xDFFF:
            raise self.fail("half of a surrogate pair, or beyond Unicode", start)
        return code


def _literal(code: int, special: str) -> str:
    """A code point as itself, escaped where it is `special`, means something in Rust's classes, or is not to be seen."""
    char = chr(code)
    if char in special:
        return f"\\{char}"
    if (char in "&~" and special == _IN_CLASS) or code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return char if char.isprintable() else f"\\u{{{code:x}}}"
