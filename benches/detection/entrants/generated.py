"""The generated alerting rules, evaluated over many windows at once: their own text, read as arithmetic on arrays.

Only the shape of PromQL is taken off (`on (...)`, `group_left ()`, `sum by (...)` over the bins of one field); every number
and operation is the rule's. A rule of another shape is refused, not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from assay.contract.document import Contract
from assay.monitor.recording import constants, recordings
from assay.monitor.rule_settings import RuleSettings
from benches.detection.column import Array

__all__ = ["Constants", "expression", "floor_rows"]

#: The window is the caller's, in events: only the arithmetic of one is needed.
_SETTINGS: Final = RuleSettings(alert_windows=("1m",))
_RULES: Final = {rule.record: rule.expr for rule in recordings(_SETTINGS, profiled=True)}
_MATCHING: Final = re.compile(r"\b(?:on|by|group_left)\s*\([^()]*\)")
_NAME: Final = re.compile(r"assay:[a-z0-9_:]+")
_PLAIN: Final = re.compile(r"[\w\s.+\-*/(),]*")
_CALLS: Final = {"sqrt": np.sqrt, "sum": lambda values: values.sum(axis=-1) if np.ndim(values) > 1 else values}


def expression(record: str) -> Callable[..., Any]:
    """A recording rule as a function of the series that it names: colons as underscores, its window left out.

    Raises:
        ValueError: there is no such rule, or it is more than arithmetic.
    """
    if record not in _RULES and f"{record}:n1m" not in _RULES:
        raise ValueError(f"no rule records {record}; the bench must follow the rules")
    text = _RULES.get(record) or _RULES[f"{record}:n1m"]
    text = re.sub(r"\{[^{}]*\}", "", text)
    text = _MATCHING.sub(" ", text)
    text = _NAME.sub(lambda name: name[0].removesuffix(":n1m").replace(":", "_"), text).replace("^", "**")
    if not _PLAIN.fullmatch(text) or re.search(r"\b(?:or|and|unless|offset|bool)\b", text):
        raise ValueError(f"{record} is more than arithmetic: {text}")
    code = compile(" ".join(text.split()), record, "eval")

    def evaluate(**series: Array | float) -> Any:
        return eval(code, {"__builtins__": {}, **_CALLS}, series)

    return evaluate


def floor_rows() -> float:
    """How many of the profile's rows a bin counts for that none of them was in."""
    found = set(re.findall(r"([0-9.]+) / assay:rows", _RULES["assay:expected:floored"]))
    if len(found) != 1:
        raise ValueError(f"one figure is expected in {_RULES['assay:expected:floored']}")
    return float(found.pop())


class Constants:
    """The numbers that the rules take from a contract."""

    def __init__(self, contract: Contract) -> None:
        self._found = {
            (rule.record, rule.labels.get("field", "")): float(rule.expr.removeprefix("vector(").removesuffix(")"))
            for rule in constants([contract], _SETTINGS)
        }

    def of(self, record: str, field: str = "") -> float:
        """One of them, of a field or of the dataset."""
        return self._found[record, field]

    def violation_share(self, field: str) -> float:
        """As `assay:violation_share:field` has it: the field's own, where it has one."""
        return self._found.get(("assay:violation_share:own", field), self._found["assay:violation_share", ""])
