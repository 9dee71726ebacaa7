"""The texts that patterns, formats and lengths let through, as sets: is one inside another, and if not, which text is not.

A pattern of a contract is a regular language, so this can be decided: both sides are read into nondeterministic automata
(Thompson 1968), run together set by set, one character of each kind that they tell apart at a time, shortest texts first.
What would take too long is left undecided, and said to be.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeAlias

__all__ = ["Automaton", "Language", "Undecided", "automaton", "literals", "shortest_outside"]

#: Ranges of code points, both ends included, ascending and apart.
Ranges: TypeAlias = tuple[tuple[int, int], ...]

#: Where a text has come to: states of the automaton, and what the last character was; None once it has matched.
_State: TypeAlias = tuple[frozenset[int], str] | None

#: Where all automata have come to, and how long the text is, as far as that matters.
_Node: TypeAlias = tuple[tuple[_State, ...], int]

_ALL: Final[Ranges] = ((0, 0xD7FF), (0xE000, 0x10FFFF))  # half a surrogate pair is no text
_WORD: Final[Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_NICE: Final = (*range(0x61, 0x7B), *range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x20, 0x7F))
_MOST_STATES: Final = 20_000
_MOST_WORK: Final = 500_000  # about a second


class Undecided(Exception):
    """It would take too long to say, or cannot be said by these means."""


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


def _without(ranges: Ranges) -> Ranges:
    """Every code point that is not among these."""
    found = []
    for start, end in _ALL:
        at = start
        for low, high in ranges:
            if high < at or low > end:
                continue
            if low > at:
                found.append((at, low - 1))
            at = max(at, high + 1)
        if at <= end:
            found.append((at, end))
    return tuple(found)


@lru_cache(maxsize=64)
def _category(name: str) -> Ranges:
    """A general category of Unicode, or a group of them (`L`, `Nd`)."""
    codes = [
        code for low, high in _ALL for code in range(low, high + 1) if unicodedata.category(chr(code)).startswith(name)
    ]
    return _merged((code, code) for code in codes)


def _holds(ranges: Ranges, code: int) -> bool:
    at = bisect_right(ranges, (code, 0x110000)) - 1
    return at >= 0 and code <= ranges[at][1]


class Automaton:
    """A regular expression in Rust's syntax (what `patterns.to_rust` writes), as an unanchored search for it."""

    def __init__(self, pattern: str) -> None:
        self.empty: list[list[tuple[int, str]]] = []  # from each state: (to, "" or an assertion)
        self.taking: list[list[tuple[Ranges, int]]] = []
        parser = _Parser(pattern, self)
        self.start, self.end = parser.alternatives()
        assert parser.at == len(pattern), pattern

    def state(self) -> int:
        """A new state."""
        if len(self.empty) >= _MOST_STATES:
            raise Undecided("a pattern is too large to be compared")
        self.empty.append([])
        self.taking.append([])
        return len(self.empty) - 1

    @property
    def sets(self) -> Iterator[Ranges]:
        """The sets of characters that it tells apart."""
        for each in self.taking:
            for ranges, _ in each:
                yield ranges
        if any(assertion == "b" for each in self.empty for _, assertion in each):
            yield _WORD


@dataclass(frozen=True, slots=True)
class Language:
    """The texts that every one of `automata` finds something in, of at least `least` and at most `most` characters."""

    automata: tuple[Automaton, ...] = ()
    least: int = 0
    most: int | None = None

    def takes_length(self, length: int) -> bool:
        """Whether a text may be so long."""
        return self.least <= length and (self.most is None or length <= self.most)

    @property
    def _horizon(self) -> int:
        """From this length on, all lengths are alike."""
        return max(self.least, 0 if self.most is None else self.most + 1)


@lru_cache(maxsize=256)
def automaton(pattern: str) -> Automaton:
    """The automaton of a pattern in Rust's syntax: the same one for the same pattern, so that they can be told to be.

    Raises:
        Undecided: it is too large.
    """
    return Automaton(pattern)


def literals(texts: Iterable[str]) -> Automaton:
    """Just these texts."""
    escaped = ("".join(f"\\u{{{ord(char):x}}}" for char in text) for text in texts)
    return automaton(f"^(?:{'|'.join(escaped)})$")


def shortest_outside(a: Language, b: Language | None) -> str | None:
    """A shortest text of `a` that is none of `b`'s (of `a` at all, where `b` is None); None: there is none.

    Raises:
        Undecided: it would take too long.
    """
    if a.most is not None and a.least > a.most:
        return None
    if not a.automata and (b is None or not b.automata):
        return _by_length(a, b)
    if b is not None and set(b.automata) <= set(a.automata):
        # Only the length can tell them apart: look beyond each end of it.
        tries = [Language(a.automata, a.least, b.least - 1 if a.most is None else min(a.most, b.least - 1))]
        if b.most is not None:
            tries.append(Language(a.automata, max(a.least, b.most + 1), a.most))
        for each in tries:
            if (each.most is None or each.least <= each.most) and (found := _search(each, None)) is not None:
                return found
        return None
    if b is not None and a.least >= b.least and (b.most is None or (a.most is not None and a.most <= b.most)):
        loose = _search(Language(a.automata), Language(b.automata))  # far fewer states than with lengths
        if loose is None or a.takes_length(len(loose)):
            return loose
    return _search(a, b)


def _by_length(a: Language, b: Language | None) -> str | None:
    if b is None:
        wanted = max(a.least, 1)
        return "a" * (wanted if a.takes_length(wanted) else a.least)
    if a.least < b.least:
        return "a" * a.least
    if b.most is not None and (a.most is None or a.most > b.most):
        return "a" * max(a.least, b.most + 1)
    return None


@dataclass(slots=True)
class _Run:
    """One automaton, made deterministic as far as it is asked for."""

    automaton: Automaton
    letters: Sequence[int]
    steps: dict[tuple[_State, int], _State] = field(default_factory=dict)
    ends: dict[_State, bool] = field(default_factory=dict)
    work: int = 0  # states of the automaton that were looked at

    def begin(self) -> _State:
        return frozenset((self.automaton.start,)), "start"

    def step(self, state: _State, letter: int) -> _State:
        if state is None:
            return None
        key = (state, letter)
        if key not in self.steps:
            self.steps[key] = self._step(state, self.letters[letter])
        return self.steps[key]

    def _step(self, state: tuple[frozenset[int], str], code: int) -> _State:
        kind = "word" if _holds(_WORD, code) else "other"
        reached = self._closure(state, kind)
        if self.automaton.end in reached:
            return None
        after = {to for each in reached for ranges, to in self.automaton.taking[each] if _holds(ranges, code)}
        return frozenset(after | {self.automaton.start}), kind

    def accepts(self, state: _State) -> bool:
        if state is None:
            return True
        if state not in self.ends:
            self.ends[state] = self.automaton.end in self._closure(state, "end")
        return self.ends[state]

    def _closure(self, state: tuple[frozenset[int], str], after: str) -> set[int]:
        """What is reached without a character, between the one before and the one after."""
        states, before = state
        holds = {"": True, "^": before == "start", "$": after == "end", "b": (before == "word") != (after == "word")}
        reached = set(states)
        todo = list(states)
        while todo:
            for to, assertion in self.automaton.empty[todo.pop()]:
                if to not in reached and holds[assertion]:
                    reached.add(to)
                    todo.append(to)
        self.work += len(reached)
        return reached


def _letters(automata: Iterable[Automaton]) -> list[int]:
    """One character of each kind that the automata tell apart, those first that are pleasant to read."""
    cuts = {0, 0xE000}
    sets = {ranges for automaton in automata for ranges in automaton.sets} | {_WORD}
    for ranges in sets:
        for low, high in ranges:
            cuts |= {low, high + 1}
    kinds: dict[frozenset[Ranges], int] = {}
    edges = sorted(cut for cut in cuts if cut <= 0x10FFFF)
    starts = [*_NICE, *(low for low, _ in pairwise([*edges, 0x110000]) if not 0xD800 <= low <= 0xDFFF)]
    for code in starts:
        kinds.setdefault(frozenset(ranges for ranges in sets if _holds(ranges, code)), code)
    return list(kinds.values())


def _search(a: Language, b: Language | None) -> str | None:
    """Breadth first through both at once."""
    automata = list(dict.fromkeys((*a.automata, *(b.automata if b is not None else ()))))
    letters = _letters(automata)
    runs = [_Run(automaton, letters) for automaton in automata]
    in_a = [automata.index(each) for each in a.automata]
    in_b = [automata.index(each) for each in b.automata] if b is not None else []
    horizon = max(a._horizon, b._horizon if b is not None else 0)  # noqa: SLF001 - its own module

    start: _Node = (tuple(run.begin() for run in runs), 0)
    came: dict[_Node, tuple[_Node, int] | None] = {start: None}
    todo = deque([(start, 0)])
    steps = 0
    while todo:
        node, length = todo.popleft()
        states, _ = node
        inside = a.takes_length(length) and all(runs[i].accepts(states[i]) for i in in_a)
        if inside and (b is None or not (b.takes_length(length) and all(runs[i].accepts(states[i]) for i in in_b))):
            return _spelled(node, came, letters)
        if a.most is not None and length >= a.most:
            continue
        for letter in range(len(letters)):
            steps += 1
            if steps + sum(run.work for run in runs) > _MOST_WORK:
                raise Undecided("two patterns take too long to compare")
            after = tuple(run.step(state, letter) for run, state in zip(runs, states, strict=True))
            following = (after, min(length + 1, horizon))
            if following not in came:
                came[following] = (node, letter)
                todo.append((following, length + 1))
    return None


def _spelled(node: _Node, came: Mapping[_Node, tuple[_Node, int] | None], letters: Sequence[int]) -> str:
    text = []
    step = came[node]
    while step is not None:
        node, letter = step
        text.append(chr(letters[letter]))
        step = came[node]
    return "".join(reversed(text))


class _Parser:
    """Reads Rust's syntax, as far as assay writes it, into the states of an automaton."""

    def __init__(self, pattern: str, into: Automaton) -> None:
        self.pattern = pattern
        self.into = into
        self.at = 0
        self.any_case = False

    def peek(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if not self.peek(text):
            return False
        self.at += len(text)
        return True

    def alternatives(self) -> tuple[int, int]:
        begin, end = self.into.state(), self.into.state()
        while True:
            first, last = self.sequence()
            self.into.empty[begin].append((first, ""))
            self.into.empty[last].append((end, ""))
            if not self.take("|"):
                return begin, end

    def sequence(self) -> tuple[int, int]:
        begin = end = self.into.state()
        while self.at < len(self.pattern) and not self.peek("|") and not self.peek(")"):
            where = self.at
            first, last = self.atom()
            first, last = self.repeated(where, first, last)
            self.into.empty[end].append((first, ""))
            end = last
        return begin, end

    def atom(self) -> tuple[int, int]:
        if self.take(r"(?-u:\b)"):
            return self.assertion("b")
        if self.take("^"):
            return self.assertion("^")
        if self.take("$"):
            return self.assertion("$")
        if self.take("(?i:"):
            self.any_case = True
            found = self.alternatives()
            self.any_case = False
            assert self.take(")")
            return found
        if self.take("(?:"):
            found = self.alternatives()
            assert self.take(")")
            return found
        begin, end = self.into.state(), self.into.state()
        self.into.taking[begin].append((self.characters(), end))
        return begin, end

    def assertion(self, name: str) -> tuple[int, int]:
        begin, end = self.into.state(), self.into.state()
        self.into.empty[begin].append((end, name))
        return begin, end

    def repeated(self, where: int, first: int, last: int) -> tuple[int, int]:
        """The atom that began at `where`, as often as what follows it says; laziness changes no verdict."""
        least, most = self.quantifier()
        if (least, most) == (1, 1):
            return first, last
        resume = self.at
        begin = end = self.into.state()
        optional = []
        for turn in range(least if most is None else most):
            self.at = where
            if turn:
                first, last = self.atom()
            if turn >= least:
                optional.append(end)
            self.into.empty[end].append((first, ""))
            end = last
        if most is None:  # and as often more as it likes
            self.at = where
            again, back = self.atom()
            loop = self.into.state()
            self.into.empty[end].append((loop, ""))
            self.into.empty[loop].append((again, ""))
            self.into.empty[back].append((loop, ""))
            end = loop
        for each in optional:
            self.into.empty[each].append((end, ""))
        self.at = resume
        return begin, end

    def quantifier(self) -> tuple[int, int | None]:
        found: tuple[int, int | None] = (1, 1)
        if self.take("*"):
            found = (0, None)
        elif self.take("+"):
            found = (1, None)
        elif self.take("?"):
            found = (0, 1)
        elif self.take("{"):
            inside, _, _ = self.pattern[self.at :].partition("}")
            self.at += len(inside) + 1
            least, comma, most = inside.partition(",")
            found = (int(least), int(most) if most else None if comma else int(least))
        else:
            return found
        self.take("?")
        return found

    def characters(self) -> Ranges:
        if self.take("["):
            return self.bracket()
        if self.take("\\"):
            found = self.escape()
            return found if isinstance(found, tuple) else self.both_cases(found)
        self.at += 1
        return self.both_cases(ord(self.pattern[self.at - 1]))

    def both_cases(self, code: int) -> Ranges:
        char = chr(code)
        codes = {ord(char.lower()), ord(char.upper())} if self.any_case else {code}
        return _merged((each, each) for each in codes)

    def bracket(self) -> Ranges:
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        while not self.take("]"):
            low = self.in_bracket()
            if isinstance(low, tuple):
                ranges += low
            elif self.peek("-") and not self.peek("-]"):
                self.at += 1
                high = self.in_bracket()
                assert isinstance(high, int)
                ranges.append((low, high))
            else:
                ranges.append((low, low))
        merged = _merged(ranges)
        return _without(merged) if negated else merged

    def in_bracket(self) -> int | Ranges:
        if self.take("["):
            return self.bracket()
        if self.take("\\"):
            return self.escape()
        self.at += 1
        return ord(self.pattern[self.at - 1])

    def escape(self) -> int | Ranges:
        if self.take("u{"):
            digits, _, _ = self.pattern[self.at :].partition("}")
            self.at += len(digits) + 1
            return int(digits, 16)
        if self.take("x"):
            self.at += 2
            return int(self.pattern[self.at - 2 : self.at], 16)
        if self.peek("p{") or self.peek("P{"):
            negated = self.peek("P")
            name, _, _ = self.pattern[self.at + 2 :].partition("}")
            self.at += len(name) + 3
            return _without(_category(name)) if negated else _category(name)
        char = self.pattern[self.at]
        self.at += 1
        return {"t": 9, "n": 10, "r": 13}.get(char, ord(char))
