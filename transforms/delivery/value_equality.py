"""When a value held and a value wanted are the same: as people see it, not as a machine spells it."""

import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

_MIDNIGHT = re.compile(r"^(\d{4}-\d\d-\d\d)T00:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?$")


def is_same(held: Any, wanted: Any, tolerance: float = 0.0) -> bool:
    """Compare as people do: 71.30 is 71.3, an empty text is nothing, a number within the tolerance is the same.

    Two texts are the same only letter by letter: 01067 and 1067 are two postal codes. A day is the same as its midnight.
    """
    left, right = plain(held), plain(wanted)
    if type(left) is type(right) and left == right:
        return True
    if left is None or right is None:
        return left is right
    if not (isinstance(left, str) and isinstance(right, str)) or tolerance:
        numbers = _number(left), _number(right)
        if numbers[0] is not None and numbers[1] is not None:
            return abs(numbers[0] - numbers[1]) <= Decimal(str(tolerance))
    return _text(left) == _text(right)


def plain(value: Any) -> Any:
    """Give a value as it may be sent and kept: nothing for NaN and empty text, dates as ISO text, Decimals as numbers."""
    if value is None or value == "" or (isinstance(value, float) and not isfinite(value)):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _text(value: Any) -> str:
    return _MIDNIGHT.sub(r"\1", str(value))
