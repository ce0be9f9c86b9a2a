"""HubSpot keeps every property as a text: how values become such texts, and what they are when they come back.

Source: HubSpot's guide to properties (types, formats), and its API reference: dates are ISO texts or epoch
milliseconds, a multiple choice is joined by semicolons, the empty text clears a property.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from connectors.kit.errors import RecordError

_NOISE = 10  # digits after the point: what lies behind is noise of binary arithmetic
_DIGITS = 30  # longer ones are no numbers that anybody counts with
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_text(value: Any, kind: str = "") -> str:
    """Write a value as HubSpot wants it in a property of this type; the empty text clears it.

    Raises RecordError for a number that is none.
    """
    if value is None:
        return ""
    if kind in ("date", "datetime") and (moment := _moment(value)):
        return f"{moment:%Y-%m-%d}" if kind == "date" else _stamp(moment)
    if isinstance(value, list | tuple):
        return ";".join(as_text(member) for member in value)
    write = next((write for type_, write in _WRITE.items() if isinstance(value, type_)), str)
    return write(value)


def as_value(text: Any, kind: str) -> Any:
    """Read a property by its type, so that it compares with what is sent; what does not fit its type stays a text."""
    if text is None or text == "":
        return None
    read = _READ.get(kind) if isinstance(text, str) else None
    parsed = read(text) if read else None
    return text if parsed is None else parsed


def as_millis(moment: datetime) -> str:
    """Write an instant as search filters want it: epoch milliseconds."""
    return str(int(moment.timestamp()) * 1000 + moment.microsecond // 1000)


def _plain(value: float | Decimal) -> str:
    number = Decimal(f"{value:.{_NOISE}f}") if isinstance(value, float) else value
    if not number.is_finite():
        raise RecordError("not a finite number")
    return f"{(number + 0).normalize():f}"


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _moment(value: Any) -> datetime | None:
    """Take an instant from a date, an ISO text, or epoch milliseconds; a date begins at midnight, UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        if str(value).lstrip("-").isdecimal():
            return _EPOCH + timedelta(milliseconds=int(value))
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _number(text: Any) -> int | float | None:
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() > _DIGITS:
        return None
    return int(number) if number == number.to_integral_value() else float(number)


def _date(text: Any) -> str | None:
    moment = _moment(text)
    return moment.date().isoformat() if moment else None


def _instant(text: Any) -> str | None:
    moment = _moment(text)
    return moment.isoformat() if moment else None


def _flag(value: bool) -> str:
    return str(value).lower()


_WRITE: dict[type, Callable[[Any], str]] = {bool: _flag, float: _plain, Decimal: _plain, datetime: _stamp}
_READ: dict[str, Callable[[Any], Any]] = {
    "number": _number,
    "bool": {"true": True, "false": False}.get,
    "date": _date,
    "datetime": _instant,
}
