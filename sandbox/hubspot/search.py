"""How HubSpot's search compares: filters, and the order of values."""

from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]


def found(record: Record, groups: list[Record]) -> bool:
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
    return all(_fits_one(record["properties"].get(one["propertyName"]), one) for one in filters)


def _fits_one(held: Any, asked: Record) -> Any:
    operator = asked["operator"]
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return (held not in (None, "")) == (operator == "HAS_PROPERTY")
    if operator in ("IN", "NOT_IN"):
        return bool((held in asked["values"]) == (operator == "IN"))
    if held in (None, ""):
        return operator == "NEQ"
    left, right = comparable(held), comparable(asked.get("value"))
    if operator == "BETWEEN":
        return right <= left <= comparable(asked["highValue"])
    if operator == "CONTAINS_TOKEN":
        return str(asked["value"]).strip("*").lower() in str(held).lower()
    signs = {"EQ": left == right, "NEQ": left != right, "LT": left < right, "LTE": left <= right}
    return (signs | {"GT": left > right, "GTE": left >= right}).get(operator, False)
