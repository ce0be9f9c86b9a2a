"""The rules of a schema as expressions: for each rule the rows that break it, and words for people.

The words come from the rule alone, never from a value: a value may be personal. Comparisons that give
null hold (the column's own `nullable` says whether it may be empty), as pandera's `ignore_na` has it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from pandera.api.checks import Check
from pandera.api.ibis.types import IbisData
from pandera.ibis import Column, DataFrameSchema

Phrased = tuple[ir.BooleanValue, str]
Builtin = Callable[[ir.Value, dict[str, Any]], Phrased]


class RuleError(TypeError):
    """A schema holds a check that cannot be compiled into one pass over the rows."""


@dataclass(frozen=True)
class Rule:
    """Say of each row whether it breaks one rule; `broken` is never null."""

    column: str | None
    broken: ir.BooleanValue
    words: str
    is_missing: bool = False


def rules(table: ir.Table, schema: DataFrameSchema) -> list[Rule]:
    """List the rules of a schema on a table that has its columns, column by column, then row rules.

    Keys that must be unique are not among them: they need a second look at the table (`check`).
    """
    column_rules = [rule for name, column in schema.columns.items() for rule in _of_column(table, str(name), column)]
    return column_rules + [rule for check in schema.checks for rule in _of_check(table, None, check)]


def _of_column(table: ir.Table, name: str, column: Column) -> Iterator[Rule]:
    values = table[name]
    if column.unique:
        raise RuleError(f"{name}: name a unique column in Config.unique instead")
    if not column.nullable:
        yield Rule(name, values.isnull(), f"{name}: missing", is_missing=True)
    if column.dtype.type.is_floating():
        infinite = ibis.coalesce(values.isnan() | values.isinf(), False)
        yield Rule(name, infinite, f"{name}: not a number")
    for check in column.checks:
        yield from _of_check(table, name, check)


def _of_check(table: ir.Table, name: str | None, check: Check) -> Iterator[Rule]:
    if check.raise_warning:
        return
    label = name or "row"
    if check.element_wise or check.groupby is not None:
        raise RuleError(f"{label}: check {check.name!r} works value by value; write it on whole columns")
    phrase = _BUILTIN.get(str(check.name)) if name and check.is_builtin_check(str(check.name)) else None
    if phrase is not None and name is not None:
        holds, words = phrase(table[name], check.statistics or {})
        words = f"{name}: {words}"
    else:
        holds, words = _custom(table, name, check, label)
    yield Rule(name, ibis.coalesce(~holds, ibis.literal(not check.ignore_na)), words)


def _custom(table: ir.Table, name: str | None, check: Check, label: str) -> Phrased:
    if name and check.is_builtin_check(str(check.name)):
        raise RuleError(f"{label}: check {check.name!r} is not compiled yet; add it to transforms/conform/rule_sql.py")
    holds = check._check_fn(IbisData(table, name))
    if not isinstance(holds, ir.BooleanColumn):
        raise RuleError(f"{label}: check {check.name!r} must give one yes or no for each row")
    words = str(check.error or check.name)
    return holds, f"{name}: {words}" if name else words


def _like(values: ir.Value, bound: Any) -> ir.Value:
    """Write a bound as a literal of the column's type; bare dates stand for midnight UTC."""
    dtype: dt.DataType = values.type()
    if isinstance(bound, str) and dtype.is_timestamp():
        moment = datetime.fromisoformat(bound)
        bound = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return ibis.literal(bound, type=dt.Timestamp(timezone="UTC"))
    if isinstance(bound, str) and dtype.is_date():
        return ibis.literal(date.fromisoformat(bound))
    return ibis.literal(bound)


def _at_least(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    low = stats["min_value"]
    before = "before" if values.type().is_temporal() else "below"
    return values >= _like(values, low), f"{before} {low}"


def _at_most(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    high = stats["max_value"]
    after = "after" if values.type().is_temporal() else "above"
    return values <= _like(values, high), f"{after} {high}"


def _above(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    return values > _like(values, stats["min_value"]), f"not above {stats['min_value']}"


def _below(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    return values < _like(values, stats["max_value"]), f"not below {stats['max_value']}"


def _in_range(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    low, high = stats["min_value"], stats["max_value"]
    above = values >= _like(values, low) if stats.get("include_min", True) else values > _like(values, low)
    under = values <= _like(values, high) if stats.get("include_max", True) else values < _like(values, high)
    return above & under, f"not from {low} to {high}"


def _isin(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    allowed = list(stats["allowed_values"])
    return values.isin(allowed), f"not one of {', '.join(map(str, allowed))}"


def _notin(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    forbidden = list(stats["forbidden_values"])
    return values.notin(forbidden), f"one of {', '.join(map(str, forbidden))}"


def _matches(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    pattern = str(stats["pattern"])
    return values.re_search(pattern if pattern.startswith("^") else f"^(?:{pattern})"), "not an allowed form"


def _contains(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    return values.re_search(str(stats["pattern"])), "not an allowed form"


def _starts(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    return values.startswith(stats["string"]), f"does not start with {stats['string']}"


def _ends(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    return values.endswith(stats["string"]), f"does not end with {stats['string']}"


def _length(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    exact = stats.get("exact_value")
    low = stats.get("min_value") if exact is None else exact
    high = stats.get("max_value") if exact is None else exact
    size = values.length()
    holds = ibis.and_(*([size >= low] if low is not None else []), *([size <= high] if high is not None else []))
    if high is None:
        return holds, f"shorter than {low} characters"
    return holds, f"longer than {high} characters" if low is None else f"not {low} to {high} characters long"


def _equal(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    return values == _like(values, stats["value"]), f"not {stats['value']}"


def _not_equal(values: ir.Value, stats: dict[str, Any]) -> Phrased:
    return values != _like(values, stats["value"]), f"is {stats['value']}"


_BUILTIN: dict[str, Builtin] = {
    "equal_to": _equal,
    "not_equal_to": _not_equal,
    "greater_than": _above,
    "greater_than_or_equal_to": _at_least,
    "less_than": _below,
    "less_than_or_equal_to": _at_most,
    "in_range": _in_range,
    "isin": _isin,
    "notin": _notin,
    "str_matches": _matches,
    "str_contains": _contains,
    "str_startswith": _starts,
    "str_endswith": _ends,
    "str_length": _length,
}
