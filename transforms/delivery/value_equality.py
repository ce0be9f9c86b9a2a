"""Equality of the current and the wanted value: by meaning, not by notation."""

import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

_MIDNIGHT = re.compile(r"^(\d{4}-\d\d-\d\d)T00:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?$")


def is_same(current: Any, wanted: Any, tolerance: float = 0.0) -> bool:
    """Return whether two values mean the same: 71.30 is 71.3, empty text is null, a day is its midnight (UTC).

    Numbers are equal within the tolerance. Two texts are equal only letter by letter: 01067 and 1067 are two postal
    codes.
    """
    current_value, wanted_value = plain(current), plain(wanted)
    if type(current_value) is type(wanted_value) and current_value == wanted_value:
        return True
    if current_value is None or wanted_value is None:
        return current_value is wanted_value
    if _are_texts(current_value, wanted_value) and not tolerance:
        return _text(current_value) == _text(wanted_value)
    current_number, wanted_number = _number(current_value), _number(wanted_value)
    if current_number is not None and wanted_number is not None:
        return abs(current_number - wanted_number) <= Decimal(str(tolerance))
    return _text(current_value) == _text(wanted_value)


def plain(value: Any) -> Any:
    """Return a value as it can be sent and stored: None for NaN and empty text, dates as ISO text, Decimals as numbers."""
    if value is None or value == "" or (isinstance(value, float) and not isfinite(value)):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _are_texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


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
