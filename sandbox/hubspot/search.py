"""How HubSpot's search compares: filters, and the order of values."""

from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]


def matches_groups(record: Record, groups: list[Record]) -> bool:
    """Tell whether a record fits any of the filter groups; without groups every record does."""
    return not groups or any(_fits(record, group["filters"]) for group in groups)


def comparable(value: Any) -> tuple[int, float, str]:
    """Compare numbers as numbers and instants as the epoch milliseconds that filters use."""
    if value is None:
        return (0, 0.0, "")
    text = str(value)
    try:
        return (1, float(text), "")
    except ValueError:
        pass
    if text[4:5] == "-" and text.endswith("Z"):
        moment = datetime.fromisoformat(text)
        return (1, round(moment.astimezone(UTC).timestamp() * 1000), "")
    return (2, 0.0, text)


def _fits(record: Record, filters: list[Record]) -> bool:
    return all(_fits_one(record["properties"].get(condition["propertyName"]), condition) for condition in filters)


def _fits_one(value: Any, condition: Record) -> Any:
    operator = condition["operator"]
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return (value not in (None, "")) == (operator == "HAS_PROPERTY")
    if operator in ("IN", "NOT_IN"):
        return bool((value in condition["values"]) == (operator == "IN"))
    if value in (None, ""):
        return operator == "NEQ"
    actual, right = comparable(value), comparable(condition.get("value"))
    if operator == "BETWEEN":
        return right <= actual <= comparable(condition["highValue"])
    if operator == "CONTAINS_TOKEN":
        return str(condition["value"]).strip("*").lower() in str(value).lower()
    signs = {"EQ": actual == right, "NEQ": actual != right, "LT": actual < right, "LTE": actual <= right}
    return (signs | {"GT": actual > right, "GTE": actual >= right}).get(operator, False)
