"""Which values HubSpot takes, and what it makes of them."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from sandbox.core.clock import iso

NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
LOWERED = ("domain", "email")
DAY = 86_400_000


class Invalid(Exception):
    """A value is refused; the text says why, as HubSpot says it."""

    def __init__(self, name: str, message: str, error: str) -> None:
        errors = [{"isValid": False, "message": message, "error": error, "name": name}]
        super().__init__(f"Property values were not valid: {json.dumps(errors)}")


def taken(defined: dict[str, Any], value: str, owners: Iterable[Mapping[str, Any]]) -> str | None:
    """Give a value as it will be held: an empty one is none, a moment is told as ISO; raises Invalid."""
    name, type_ = defined["name"], defined["type"]
    if not value:
        return None
    if type_ == "number" and not NUMBER.fullmatch(value):
        raise Invalid(name, f"{value} was not a valid number", "INVALID_NUMBER")
    if type_ in ("date", "datetime"):
        return _moment(name, type_, value)
    choices = ["true", "false"] if type_ == "bool" else [option["value"] for option in defined.get("options", ())]
    if type_ in ("bool", "enumeration") and choices and value not in choices:
        raise Invalid(name, f"{value} was not one of the allowed options: {', '.join(choices)}", "INVALID_OPTION")
    if name == "hubspot_owner_id" and all(value != owner["id"] for owner in owners):
        raise Invalid(name, f"Owner {value} does not exist", "INVALID_OWNER_ID")
    return value.lower() if name in LOWERED else value


def _moment(name: str, type_: str, value: str) -> str:
    """Read epoch milliseconds or ISO; a day is midnight, UTC."""
    try:
        moment = _read(value)
    except (OverflowError, ValueError):
        raise Invalid(name, f"{value} was not a valid date", "INVALID_DATE") from None
    if type_ == "datetime":
        return iso(moment)
    if moment.timestamp() * 1000 % DAY:
        raise Invalid(name, f"{value} is at {moment:%H:%M:%S} UTC, not midnight!", "INVALID_DATE")
    return moment.date().isoformat()


def _read(value: str) -> datetime:
    if value.lstrip("-").isdecimal():
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    if len(value) == 10:
        return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
