"""Sets of values: whether all that one field takes another takes too, and if not, a value that it does not.

A field's values are told apart by JSON's kinds, and each kind's set is compared by what rules it: numbers by bounds and steps,
texts as regular languages, lists and objects part by part. An answer is a value, or that there is certainly none, or
`Undecided`; it is never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from assay.contract.document import JSON, Field
from assay.contract.language import Language, Undecided, automaton, literals, shortest_outside
from assay.contract.numbers import Numbers, number_outside
from assay.contract.patterns import to_rust
from assay.contract.shapes import model_of
from assay.types import Format, json_kind

__all__ = ["ANYTHING", "Found", "Undecided", "child_of", "judge", "outside", "some_value"]

#: A value in a tuple of its own, or () where there certainly is none.
Found: TypeAlias = tuple[()] | tuple[JSON]

#: What a field may be that an open object does not describe.
ANYTHING: Final = Field("", nullable=True)

# The order in which a person would rather have an example.
_KINDS: Final = ("number", "string", "boolean", "object", "array", "null")
_LONGEST: Final = 10_000  # elements of a list that is made up
_MOST: Final = 200


def outside(a: Field, b: Field) -> Found:
    """A value that `a` takes and `b` does not.

    Raises:
        Undecided: none was found, and none was ruled out.
    """
    if a.enum is not None:
        takes_a, takes_b = judge(a), judge(b)
        return next(((value,) for value in a.enum if takes_a(value) and not takes_b(value)), ())
    undecided: Undecided | None = None
    for kind in _kinds(a):
        try:
            found = _outside(kind, a, b)
        except Undecided as error:
            undecided = error
            continue
        if found:
            return found
    if undecided is not None:
        raise undecided
    return ()


def some_value(field: Field) -> Found:
    """A value that the field takes.

    Raises:
        Undecided: none was found, and none was ruled out.
    """
    if field.enum is not None:
        takes = judge(field)
        return next(((value,) for value in field.enum if takes(value)), ())
    undecided: Undecided | None = None
    for kind in _kinds(field):
        try:
            found = _some(kind, field)
        except Undecided as error:
            undecided = error
            continue
        if found:
            return found
    if undecided is not None:
        raise undecided
    return ()


def child_of(field: Field, name: str) -> Field | None:
    """What an object's field of that name must be; None where it may not be there."""
    found = next((child for child in field.properties if child.name == name), None)
    return found if found is not None else ANYTHING if field.additional else None


def _kinds(field: Field) -> Iterator[str]:
    for kind in _KINDS:
        if field.allows(kind) or (kind == "number" and field.allows("integer")):
            yield kind


def judge(field: Field) -> Callable[[JSON], bool]:
    """The verdict itself, on one value."""
    model = model_of(Field("", properties=(replace(field, name="value", required=True),)), "Value")

    def takes(value: JSON) -> bool:
        try:
            model.model_validate({"value": value})
        except ValidationError:
            return False
        return True

    return takes


def _outside(kind: str, a: Field, b: Field) -> Found:
    if b.enum is not None:
        return _unlisted(kind, a, b, b.enum)
    if kind not in _kinds(b):
        return _some(kind, a)
    if kind == "number":
        try:
            return number_outside(Numbers.of(a), Numbers.of(b))
        except LookupError as error:
            raise Undecided("two sets of numbers could not be told apart, nor shown to be one in the other") from error
    if kind == "string":
        if not _has_text_rules(b):
            return ()
        return _text_outside(a, b)
    if kind == "array":
        return _list_outside(a, b)
    if kind == "object":
        return _object_outside(a, b)
    return ()


def _some(kind: str, field: Field) -> Found:
    if kind == "number":
        numbers = Numbers.of(field)
        found = next(numbers.some(), None)
        if found is None and numbers.low <= numbers.high and numbers.all() != []:
            raise Undecided("no number was found between the bounds")
        return () if found is None else (found,)
    if kind == "string":
        return _text_outside(field, None)
    if kind == "array":
        return next(_lists(field), ())
    if kind == "object":
        return _object(field)
    return (None,) if kind == "null" else (True,)


def _unlisted(kind: str, a: Field, b: Field, values: tuple[JSON, ...]) -> Found:
    """A value of this kind that `a` takes and that is not among the values of `b`."""
    takes = judge(b)
    listed = [value for value in values if json_kind(value) == kind and takes(value)]
    if not listed:
        return _some(kind, a)
    if kind == "string":
        return _text_outside(a, None, listed)
    every: list[Any] | None = None
    if kind in {"null", "boolean"}:
        every = [None] if kind == "null" else [True, False]
    elif kind == "number":
        every = Numbers.of(a).all()
    candidates = iter(every) if every is not None else _many(kind, a)
    for value in islice(candidates, _MOST + 4 * len(listed)):
        if not takes(value):
            return (value,)
    if every is not None:
        return ()
    raise Undecided("a list of values could not be told from the rules that it replaces")


def _many(kind: str, field: Field) -> Iterator[Any]:
    """Several values of a kind that the field takes."""
    if kind == "number":
        yield from Numbers.of(field).some()
    elif kind == "array":
        for found in _lists(field):
            yield from found
    elif kind == "object":
        yield from _objects(field)


# ---- texts


def _has_text_rules(field: Field) -> bool:
    rules = (field.min_length or None, field.max_length, field.pattern, field.format)
    return any(rule is not None for rule in rules)


def _text_outside(a: Field, b: Field | None, listed: Sequence[Any] = ()) -> Found:
    """A text that `a` takes and `b` does not, or that is not listed where there is no `b`."""
    takes_a, takes_b = judge(_text_of(a)), None if b is None else judge(_text_of(b))

    def others(*, loosely: bool) -> Language | None:
        if b is not None:
            return _language(b, loosely=loosely)
        return Language((literals(listed),)) if listed else None

    # A format that both have is one set, whichever reading stands for it. Else what is proved must hold for the widest
    # reading of `a` and the narrowest of `b`, and what is found for the other two.
    same = b is not None and a.format == b.format
    text = shortest_outside(_language(a, loosely=True), others(loosely=same))
    if text is None:
        return ()
    if not takes_a(text) or (takes_b is not None and takes_b(text)):
        text = shortest_outside(_language(a, loosely=False), others(loosely=not same))
        if text is None:
            raise Undecided("two rules for texts differ in leap seconds at most")
    return (text,)


def _text_of(field: Field) -> Field:
    return Field(
        "",
        frozenset({"string"}),
        min_length=field.min_length,
        max_length=field.max_length,
        pattern=field.pattern,
        format=field.format,
    )


def _language(field: Field, *, loosely: bool) -> Language:
    automata = []
    if field.format is not None:
        automata.append(automaton(Format(field.format).patterns[loosely]))
    if field.pattern is not None:
        automata.append(automaton(to_rust(field.pattern)))
    return Language(tuple(automata), field.min_length or 0, field.max_length)


# ---- lists


def _list_outside(a: Field, b: Field) -> Found:
    least, most = a.min_items or 0, a.max_items
    if most is not None and least > most:
        return ()
    undecided: Undecided | None = None
    for length in _lengths_outside(a, b):
        if length > _LONGEST:
            undecided = Undecided(f"lists of {length:,} elements are not made up")
            continue
        try:
            if found := _list_of(a, length):
                return found
        except Undecided as error:
            undecided = error
    if b.items is not None and (most is None or most > 0):
        found = outside(a.items if a.items is not None else ANYTHING, b.items)
        if found and max(least, 1) <= _LONGEST:
            return ([*found] * max(least, 1),)
        if found:
            raise Undecided(f"lists of {least:,} elements are not made up")
    if undecided is not None:
        raise undecided
    return ()


def _lengths_outside(a: Field, b: Field) -> Iterator[int]:
    """The shortest lengths that `a` takes, below and above those that `b` does."""
    least, most = a.min_items or 0, a.max_items
    if least < (b.min_items or 0):
        yield least
    if b.max_items is not None and (most is None or most > b.max_items):
        yield max(least, b.max_items + 1)


def _list_of(field: Field, length: int) -> Found:
    if length == 0:
        return ([],)
    found = some_value(field.items if field.items is not None else ANYTHING)
    return ([*found] * length,) if found else ()


def _lists(field: Field) -> Iterator[Found]:
    """Several lists that the field takes, the shortest that have something in them first."""
    least, most = field.min_items or 0, field.max_items
    if least > _LONGEST:
        raise Undecided(f"lists of {least:,} elements are not made up")
    lengths = [length for length in range(max(least, 1), least + 6) if most is None or length <= most]
    made = [found for length in lengths if (found := _list_of(field, length))]
    yield from made
    if least == 0:
        yield ([],)
    if made and field.items is None:
        yield from (([number] * lengths[0],) for number in range(2, _MOST))


# ---- objects


def _object_outside(a: Field, b: Field) -> Found:
    base = _object(a)
    if not base:
        return ()
    assert isinstance(base[0], dict)
    undecided: Undecided | None = None
    for name in dict.fromkeys(child.name for child in (*a.properties, *b.properties)):
        try:
            if changed := _place_outside(child_of(a, name), child_of(b, name)):
                return (_with(base[0], name, changed[0]),)
        except Undecided as error:
            undecided = error
    if a.additional and not b.additional:
        return (_with(base[0], _fresh((a, b)), (True,)),)
    if undecided is not None:
        raise undecided
    return ()


def _place_outside(a: Field | None, b: Field | None) -> tuple[()] | tuple[Found]:
    """What may stand under one name in one object and not in another: `((),)` is that nothing does."""
    if (a is None or not a.required) and b is not None and b.required:
        return ((),)
    if a is None:
        return ()
    found = some_value(a) if b is None else outside(a, b)
    return (found,) if found else ()


def _with(base: Mapping[str, JSON], name: str, value: Found) -> dict[str, JSON]:
    rest = {key: each for key, each in base.items() if key != name}
    return {**rest, name: value[0]} if value else rest


def _fresh(fields: tuple[Field, ...]) -> str:
    """A name that none of the objects describes."""
    taken = {child.name for field in fields for child in field.properties}
    return next(name for name in ("unknown", *(f"unknown_{i}" for i in range(len(taken) + 1))) if name not in taken)


def _object(field: Field) -> Found:
    """An object that the field takes, with a value under each of its names where there can be one."""
    made: dict[str, JSON] = {}
    for child in field.properties:
        try:
            found = some_value(child)
        except Undecided:
            if child.required:
                raise
            continue
        if found:
            made[child.name] = found[0]
        elif child.required:
            return ()
    return (made,)


def _objects(field: Field) -> Iterator[dict[str, JSON]]:
    """Several objects that the field takes."""
    base = _object(field)
    if not base or not isinstance(base[0], dict):
        return
    yield base[0]
    for child in field.properties:
        if not child.required:
            yield _with(base[0], child.name, ())
        for kind in _kinds(child) if child.enum is None else ():
            yield from (_with(base[0], child.name, (value,)) for value in islice(_many(kind, child), 3))
        for value in child.enum or ():
            if judge(child)(value):
                yield _with(base[0], child.name, (value,))
    if field.additional:
        yield from (_with(base[0], _fresh((field,)), (number,)) for number in range(_MOST))
