"""Judges events by a contract. Pydantic decides; here it is said what follows from that."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from assay.contract.document import Contract, Field
from assay.contract.models import UNEXPECTED_TYPES, Reasons, live_model, violation_types
from assay.contract.versions import Active
from assay.contract.violation import Violation
from assay.ingest.cloudevents import ENVELOPE, KEY_REUSED
from assay.ingest.fastpath import fast_path

__all__ = ["Judge", "violations_json"]

_to_json: Final = msgspec.json.Encoder().encode


#: Types whose `loc` is a place in a CloudEvent's envelope, and no field of the contract's.
_OF_NO_FIELD: Final = frozenset({ENVELOPE, KEY_REUSED})


class Judge:
    """A contract and how it is enforced. Pickled, it is its two documents; the same ones give the same judge."""

    def __init__(self, contract: Contract, active: Active) -> None:
        self.contract = contract
        self.active = active
        #: The fast way to 'accepted', where the contract has one.
        self.fast = fast_path(contract)
        self._validate = live_model(contract).__pydantic_validator__.validate_python
        self._reasons = Reasons(contract)
        self._names = _Names(contract.root)
        self._may_observe = active.mode == "observe" or "observe" in active.fields.values()

    def __reduce__(self) -> tuple[Callable[[str, int | None, str, str], Judge], tuple[str, int | None, str, str]]:
        return _again, (self.contract.dataset, self.contract.version, *self._documents)

    @cached_property
    def _documents(self) -> tuple[str, str]:
        return self.contract.to_json(), self.active.to_json()

    def judge(self, event: object) -> tuple[Violation, ...]:
        """Every reason why a decoded event breaks the contract; none when it keeps it."""
        try:
            self._validate(event)
        except ValidationError as error:
            return self._reasons.of(error)
        return ()

    def rejects(self, found: Sequence[Violation]) -> bool:
        """Whether an event with these violations is refused: one in an enforced field is enough."""
        if not found or not self._may_observe:
            return bool(found)
        return any(self._enforced(violation) for violation in found)

    def label(self, violation: Violation) -> str:
        """The field that a violation is counted under."""
        return "" if violation.type in _OF_NO_FIELD else self._reasons.label(violation.loc)

    def counted(self, found: Iterable[Violation]) -> Counter[tuple[str, str]]:
        """How many violations there are by (field label, type)."""
        counted: Counter[tuple[str, str]] = Counter()
        # A flood breaks the same few rules: their labels are looked up once.
        for (loc, type_), count in Counter([(violation.loc, violation.type) for violation in found]).items():
            counted[self.label(Violation(loc, type_, "")), type_] += count
        return counted

    def kinds(self) -> list[tuple[str, str]]:
        """Every (field label, violation type) that judging can give: the closed list that metrics are made from."""
        fields = [("", self.contract.root), *self.contract.root.walk()]
        table = [(label, kind) for label, field in fields for kind in violation_types(field)]
        own = (("", "json_invalid"), *(("", kind) for kind in sorted(_OF_NO_FIELD)))
        return [*dict.fromkeys(table), *own, *(("_unexpected", kind) for kind in UNEXPECTED_TYPES)]

    def unexpected(self, event: Mapping[str, Any]) -> int:
        """How many fields of an event the contract does not name, at every level."""
        return self._names.unknown(event)

    def _enforced(self, violation: Violation) -> bool:
        if not violation.loc:
            return True  # no event at all: there is nothing to store
        return self.active.mode_of(self.label(violation), str(violation.loc[0])) == "enforce"


@lru_cache(256)
def _again(dataset: str, version: int | None, contract: str, active: str) -> Judge:
    """A judge that was pickled."""
    schema = json.loads(contract)
    return Judge(Contract.parse(schema, dataset=dataset, version=version), Active(**json.loads(active)))


class _Names:
    """The names that an object may have, and the same for the objects below it."""

    def __init__(self, field: Field) -> None:
        self._known = frozenset(child.name for child in field.properties)
        self._below = {child.name: _Names(child) for child in field.properties if child.properties}
        self._lists = {
            child.name: _Names(child.items)
            for child in field.properties
            if child.items is not None and child.items.properties
        }

    def unknown(self, event: Mapping[str, Any]) -> int:
        count = 0 if self._known.issuperset(event) else len(event.keys() - self._known)
        for name, names in self._below.items():
            value = event.get(name)
            if isinstance(value, dict):
                count += names.unknown(value)
        for name, names in self._lists.items():
            items = event.get(name)
            if isinstance(items, list):
                count += sum(names.unknown(item) for item in items if isinstance(item, dict))
        return count


def violations_json(found: Sequence[Violation]) -> str:
    """As the quarantine and `_violations` keep them."""
    return _to_json(found).decode()
