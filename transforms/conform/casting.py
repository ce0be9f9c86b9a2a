"""Text of a source read as the type that a column has: null where the text is not of that type.

Money is read as Decimal straight from the text, never by way of a float. Instants without an offset
are UTC; a date is the calendar day as written, whatever the offset behind it.
"""

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from schemas.base import Instant
from schemas.mapping import Unit

_DIVISORS: dict[Unit, float] = {"percent": 100.0, "seconds": 60.0, "milliseconds": 60000.0}
_PER_SECOND: dict[Unit, int] = {"epoch_s": 1000, "epoch_ms": 1}
_YES = ("true", "t", "yes", "y", "1", "1.0")
_NO = ("false", "f", "no", "n", "0", "0.0")
_YEAR_9999_IN_MS = 253_402_300_799_999
_YEAR_1_IN_MS = -62_135_596_800_000


def read(text: ir.StringValue, dtype: dt.DataType, unit: Unit = "text") -> ir.Value:
    """Read text as `dtype`; `unit` is the source's unit where it is not ours."""
    if dtype.is_boolean():
        return _boolean(text)
    if dtype.is_integer():
        return _integer(text, dtype)
    if dtype.is_floating():
        return _floating(text, unit)
    if dtype.is_timestamp() or dtype.is_date():
        return _instant(text, unit) if dtype.is_timestamp() else _date(text, unit)
    return text if dtype.is_string() else _number(text).try_cast(dtype)


def kind(dtype: dt.DataType) -> str:
    """Name a type for people: what an unreadable text is not."""
    if dtype.is_boolean():
        return "true or false"
    if dtype.is_integer():
        return "a whole number"
    if dtype.is_decimal():
        return "a decimal number"
    if dtype.is_floating():
        return "a number"
    return "a date" if dtype.is_date() else "a timestamp"


def _boolean(text: ir.StringValue) -> ir.BooleanValue:
    word = text.lower()
    return ibis.cases((word.isin(_YES), True), (word.isin(_NO), False), else_=ibis.null("boolean"))


def _integer(text: ir.StringValue, dtype: dt.DataType) -> ir.Value:
    number = _number(text).try_cast("decimal(38, 6)")
    whole = number.try_cast(dtype)
    return (whole == number).ifelse(whole, ibis.null(dtype))


def _floating(text: ir.StringValue, unit: Unit) -> ir.Value:
    number = _number(text.replace("%", "") if unit == "percent" else text).try_cast("float64")
    finite = (number.isnan() | number.isinf()).ifelse(ibis.null("float64"), number)
    return finite / _DIVISORS[unit] if unit in _DIVISORS else finite


def _number(text: ir.StringValue) -> ir.StringValue:
    """Keep what is a number to people: engines also read 1_000, 1.5d or 0x1p3, each its own."""
    return text.re_extract(r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$", 0)


def _instant(text: ir.StringValue, unit: Unit) -> ir.Value:
    """Read ISO 8601 or, by unit, an epoch; `/Date(1700000000000)/` of OData counts as an epoch."""
    if unit in _PER_SECOND:
        return _epoch(text, _PER_SECOND[unit])
    mended = text.re_replace(r"[ T]*(?:UTC|GMT)$", "Z").re_replace(r"\s+([+-]\d{2}:?(?:\d{2})?)$", r"\1")
    mended = mended.re_replace(r"^(.{10}[ T]\d\d:\d\d)(Z|[+-].*)$", r"\1:00\2")  # Spark asks for seconds
    stamp = ibis.coalesce(text.try_cast(Instant), mended.try_cast(Instant))
    is_written = text.like("____-__-__%") & ~text.like("____-__-___24:%")  # 24 o'clock is a time to DuckDB alone
    return is_written.ifelse(stamp, ibis.null(Instant))


def _epoch(text: ir.StringValue, per_unit: int) -> ir.Value:
    digits = text.re_extract(r"^(?:/Date\()?(-?\d+(?:\.\d+)?)(?:[+-]\d{4})?(?:\)/)?$", 1)
    ms = (digits.try_cast("decimal(18, 3)").cast("decimal(24, 3)") * per_unit).cast("decimal(38, 0)")
    near = ms.between(_YEAR_1_IN_MS, _YEAR_9999_IN_MS).ifelse(ms, ibis.null("decimal(38, 0)"))
    whole = near.cast("int64")
    # By way of whole seconds: Spark makes no instants of milliseconds.
    seconds = (whole // 1000).cast("int64")
    return (seconds.as_timestamp("s") + (whole - seconds * 1000).as_interval("ms")).cast(Instant)


def _date(text: ir.StringValue, unit: Unit) -> ir.Value:
    if unit in _PER_SECOND:
        return _epoch(text, _PER_SECOND[unit]).date()
    written = text.re_extract(r"^(\d{4}-\d{2}-\d{2})(?:[T ].*)?$", 1)
    return written.try_cast("date")
