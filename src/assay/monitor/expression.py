"""PromQL into a tree: as much of it as generated rules use. What else Prometheus knows is refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from assay.monitor.rule_settings import seconds

__all__ = ["Aggregate", "Binary", "Call", "Expression", "Matcher", "Number", "Selector", "parse"]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; `operator` is one of = != =~ !~."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of a name; `range_s` where all samples of a time are meant, else the newest. Times in seconds."""

    name: str
    matchers: tuple[Matcher, ...] = ()
    range_s: float | None = None
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A function of expressions."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Series put together by the labels that they share."""

    function: str
    by: tuple[str, ...]
    of: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions. `on`: the labels that match them, None: all; `many`: several on the left share one on the right."""

    operator: str
    left: Expression
    right: Expression
    on: tuple[str, ...] | None = None
    many: bool = False


Expression: TypeAlias = "Number | Selector | Call | Aggregate | Binary"

_FUNCTIONS: Final = frozenset(
    (
        *(
            "abs",
            "absent",
            "changes",
            "clamp_max",
            "clamp_min",
            "cos",
            "exp",
            "floor",
            "increase",
            "rate",
            "sin",
            "sqrt",
        ),
        *("time", "vector"),
    )
)
_AGGREGATES: Final = frozenset(("count", "max", "min", "sum"))
#: Operators by how tightly they bind, the loosest first; the last one goes from right to left.
_BINDING: Final = (("or",), ("and", "unless"), ("==", "!=", "<=", ">=", "<", ">"), ("+", "-"), ("*", "/", "%"), ("^",))
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?(?![0-9a-zA-Z_:]))"
    r"|(?P<duration>(?:[0-9]+(?:ms|[smhdwy]))+)"
    r"|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r'|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<sign>==|!=|<=|>=|=~|!~|[-+*/%^<>=(){}\[\],]))"
)


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ValueError: it is not one, or uses what generated rules do not.
    """
    parser = _Parser(text)
    expression = parser.binary(0)
    if parser.peek():
        raise parser.error("an operator")
    return expression


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"PromQL that is not understood at {text[at : at + 20]!r}")
            kind = match.lastgroup
            assert kind is not None
            self._tokens.append((kind, match[kind]))
            at = match.end()
        self._at = 0

    def peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at][1] if at < len(self._tokens) else ""

    def error(self, wanted: str) -> ValueError:
        return ValueError(f"PromQL: {wanted} is expected in place of {self.peek() or 'the end'!r} in {self._text!r}")

    def take(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise self.error(f"a {kind}")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def expect(self, *signs: str) -> None:
        for sign in signs:
            if self.peek() != sign:
                raise self.error(repr(sign))
            self._at += 1

    def takes(self, sign: str) -> bool:
        if self.peek() != sign:
            return False
        self._at += 1
        return True

    def binary(self, level: int) -> Expression:
        if level == len(_BINDING):
            return self.atom()
        left = self.binary(level + 1)
        while (operator := self.peek()) in _BINDING[level]:
            self._at += 1
            on = self.labels() if self.takes("on") else None
            many = self.takes("group_left")
            if many and self.labels():
                raise self.error("no label of the right side")
            right = self.binary(level if operator == "^" else level + 1)
            left = Binary(operator, left, right, on, many)
        return left

    def labels(self) -> tuple[str, ...]:
        self.expect("(")
        names = []
        while not self.takes(")"):
            names.append(self.take("name"))
            if self.peek() != ")":
                self.expect(",")
        return tuple(names)

    def atom(self) -> Expression:
        if self.takes("("):
            inside = self.binary(0)
            self.expect(")")
            return inside
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "number":
            return Number(float(self.take("number")))
        name = self.take("name")
        if name in _AGGREGATES:
            by = self.labels() if self.takes("by") else ()
            self.expect("(")
            inside = self.binary(0)
            self.expect(")")
            return Aggregate(name, by, inside)
        if self.peek() == "(":
            if name not in _FUNCTIONS:
                raise ValueError(f"PromQL: the function {name} is not used by generated rules")
            return Call(name, self.arguments())
        return self.selector(name)

    def arguments(self) -> tuple[Expression, ...]:
        self.expect("(")
        found = []
        while not self.takes(")"):
            found.append(self.binary(0))
            if self.peek() != ")":
                self.expect(",")
        return tuple(found)

    def selector(self, name: str) -> Selector:
        matchers = []
        if self.takes("{"):
            while not self.takes("}"):
                label = self.take("name")
                operator = self.take("sign")
                if operator not in {"=", "!=", "=~", "!~"}:
                    raise self.error("a matcher")
                matchers.append(Matcher(label, operator, _unquoted(self.take("text"))))
                if self.peek() != "}":
                    self.expect(",")
        range_s = None
        if self.takes("["):
            range_s = seconds(self.take("duration"))
            self.expect("]")
        offset_s = seconds(self.take("duration")) if self.takes("offset") else 0.0
        return Selector(name, tuple(matchers), range_s, offset_s)


def _unquoted(text: str) -> str:
    import json

    unquoted: str = json.loads(text)
    return unquoted
