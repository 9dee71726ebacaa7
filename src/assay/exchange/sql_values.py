"""The rules of single values as conditions in DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from assay.contract.document import Field
from assay.contract.patterns import to_re2, to_rust
from assay.contract.structs import limits
from assay.exchange.conditions import Condition
from assay.sql import sql_text
from assay.types import format_pattern

__all__ = ["literal_in", "number_in_sql", "of_integer", "of_number", "of_text"]

INT64: Final = range(-(2**63), 2**63)


def literal_in(value: Any, kind: str) -> str | None:
    """A value that the column can have; None where it cannot."""
    if kind == "BOOLEAN":
        return str(value).upper()
    if kind == "VARCHAR":
        return sql_text(value)
    if kind == "BIGINT":
        return str(int(value)) if int(value) in INT64 else None
    return number_in_sql(value)


def number_in_sql(value: float) -> str:
    """A number in SQL, the same double."""
    if isinstance(value, int) and value in INT64:
        return str(value)
    text = repr(float(value))
    return text if "e" in text else f"{text}e0"


def of_text(label: str, field: Field, x: str) -> Iterator[Condition]:
    """Of a VARCHAR."""
    if field.min_length:
        yield Condition(label, "minLength", f"length({x}) >= {field.min_length}")
    if field.max_length is not None:
        yield Condition(label, "maxLength", f"length({x}) <= {field.max_length}")
    if field.pattern is not None:
        yield _matching(label, "pattern", to_re2(to_rust(field.pattern)), x)
    if field.format is not None:
        yield _matching(label, "format", f"^(?:{format_pattern(field.format)})$", x)


def _matching(label: str, rule: str, pattern: str, x: str) -> Condition:
    refused = _refused(pattern)
    if refused is not None:
        return Condition(label, rule, why=f"RE2 does not take it: {refused}")
    return Condition(label, rule, f"regexp_matches({x}, {sql_text(pattern)})")


@lru_cache(maxsize=256)
def _refused(pattern: str) -> str | None:
    """Why DuckDB does not run a pattern, if it does not."""
    import duckdb

    with duckdb.connect() as con:
        try:
            con.execute("SELECT regexp_matches('', ?)", [pattern]).fetchall()
        except duckdb.Error as error:
            return str(error).splitlines()[0]
    return None


def of_integer(label: str, field: Field, x: str) -> Iterator[Condition]:
    """Of a BIGINT."""
    given = limits(field, "integer")
    low, high = given.get("ge"), given.get("le")
    if low is not None and low > INT64[0]:
        rule = "minimum" if field.minimum is not None else "exclusiveMinimum"
        yield Condition(label, rule, f"{x} >= {low}" if low in INT64 else f"{x} IS NULL")
    if high is not None and high < INT64[-1]:
        rule = "maximum" if field.maximum is not None else "exclusiveMaximum"
        yield Condition(label, rule, f"{x} <= {high}" if high in INT64 else f"{x} IS NULL")
    if field.multiple_of is not None:
        step = Fraction(repr(field.multiple_of)).numerator  # those multiples of p/q that are whole are those of p
        yield Condition(label, "multipleOf", f"{x} % {step} = 0" if step in INT64 else f"{x} = 0")


def of_number(label: str, field: Field, x: str) -> Iterator[Condition]:
    """Of a DOUBLE that is finite."""
    for rule, sign, bound in (
        ("minimum", ">=", field.minimum),
        ("maximum", "<=", field.maximum),
        ("exclusiveMinimum", ">", field.exclusive_minimum),
        ("exclusiveMaximum", "<", field.exclusive_maximum),
    ):
        if bound is not None:
            yield Condition(label, rule, f"{x} {sign} {number_in_sql(bound)}")
    if field.multiple_of is not None:
        yield _multiple(label, Fraction(repr(field.multiple_of)), x)


def _multiple(label: str, step: Fraction, x: str) -> Condition:
    """In decimal, as the number is written: 19.99 is a multiple of 0.01, though no double is."""
    places = next((places for places in range(5) if (step * 10**places).denominator == 1), None)
    if places is None or step >= 10**15:
        return Condition(label, "multipleOf", why="DuckDB has too few decimal places for such a step")
    # A double has at most 17 digits: from the step on, none of them is beyond 17 places after the step's last.
    # Below 1e17 it is in reach of DECIMAL; above, it is whole.
    exact = f"TRY_CAST({x}::VARCHAR AS DECIMAL(38, {places + 17}))"
    divides = f"{exact} % {_decimal(step, places)} = 0"
    beyond = "TRUE" if step.numerator == 1 else f"TRY_CAST({x}::VARCHAR AS DECIMAL(38, 0)) % {step.numerator} = 0"
    small = f"abs({x}) < {number_in_sql(float(step))}"
    cases = f"WHEN {x} IS NULL OR {x} = 0 THEN TRUE WHEN {small} THEN FALSE WHEN abs({x}) < 1e17 THEN {divides}"
    return Condition(label, "multipleOf", f"CASE {cases} ELSE coalesce({beyond}, FALSE) END")


def _decimal(step: Fraction, places: int) -> str:
    digits = str(int(step * 10**places)).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits
