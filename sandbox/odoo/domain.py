"""Odoo's search domains: prefix notation with &, | and !, as the ORM reads them."""

from datetime import UTC, datetime
from typing import Any

from sandbox.core.clock import seconds


class UnknownField(Exception):
    """A domain names a field that its model does not have."""


def matches(server: Any, model: str, row: dict[str, Any], domain: list[Any]) -> bool:
    """Tell whether a row fits a domain; terms that no operator joins are joined by "and"."""
    stack: list[bool] = []
    for part in reversed(domain):
        if part == "!":
            stack.append(not stack.pop())
        elif part in ("&", "|"):
            first_result, right = stack.pop(), stack.pop()
            stack.append((first_result and right) if part == "&" else (first_result or right))
        else:
            stack.append(_term(server, model, row, *part))
    return all(stack)


def _term(server: Any, model: str, row: dict[str, Any], name: str, operator: str, value: Any) -> bool:
    first, _, rest = name.partition(".")
    if first not in server.fields[model]:
        raise UnknownField(f"Invalid field {model}.{first} in leaf ({name!r}, {operator!r}, {value!r})")
    kind, relation = server.fields[model][first]
    actual = row.get(first, False)
    if rest:
        other = server.tables[relation].get(actual)
        return other is not None and _term(server, relation, other, rest, operator, value)
    if isinstance(actual, datetime):
        actual = seconds(actual)
    return bool(_compare(actual, operator, _comparable(value), kind))


def _comparable(value: Any) -> Any:
    if isinstance(value, str) and len(value) > 10 and value[4:5] == "-" and value[10:11] == "T":
        return seconds(datetime.fromisoformat(value).astimezone(UTC))
    return value


def _compare(actual: Any, operator: str, value: Any, kind: str) -> Any:
    if operator in ("=", "!="):
        return ((actual or False) == (value or False)) == (operator == "=")
    if operator == "=?":
        return value in (False, None) or actual == value
    if operator in ("in", "not in"):
        return (actual in value) == (operator == "in")
    if operator in ("like", "ilike"):
        return str(value).strip("%").lower() in str(actual or "").lower()
    if actual in (False, None):
        return False
    return {">": actual > value, ">=": actual >= value, "<": actual < value, "<=": actual <= value}[operator]
