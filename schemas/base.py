"""The strict base model of all tables, and helpers to declare columns."""

from typing import Any

import ibis.expr.datatypes as dt
import pandera.ibis as pa

Instant = dt.Timestamp(timezone="UTC")
Money = dt.Decimal(18, 2)
Rate = dt.Decimal(18, 8)

CURRENCY = r"^[A-Z]{3}$"
COUNTRY = r"^[A-Z]{2}$"
DOMAIN = r"^[^\s./@:?#,;]+(\.[^\s./@:?#,;]+)+$"
EARLIEST = "1990-01-01"


class Table(pa.DataFrameModel):
    """Base of every table model: exactly the declared columns are allowed."""

    class Config:
        strict = True
        ordered = False


def required(description: str, **rules: Any) -> Any:
    """Declare a column that every row has."""
    return pa.Field(nullable=False, description=description, **rules)


def optional(description: str, **rules: Any) -> Any:
    """Declare a column that a row may leave empty; rules hold where it has a value."""
    return pa.Field(nullable=True, description=description, **rules)


def one_of(*words: str) -> dict[str, Any]:
    """Return the rule that allows only these words."""
    return {"isin": list(words)}


def within(low: float, high: float) -> dict[str, Any]:
    """Return the rule that allows only numbers from low to high, both included."""
    return {"in_range": {"min_value": low, "max_value": high}}
