"""One day's reference rate of one currency against the euro; every calendar day has a row."""

import ibis.expr.datatypes as dt

from schemas.base import CURRENCY, Table, required


class FxRates(Table):
    """One day's reference rate of one currency against the euro; every calendar day has a row."""

    rate_on: dt.Date = required("Calendar day that the rate is used for")
    currency: str = required("ISO 4217", str_matches=CURRENCY)
    per_eur: float = required("Units of the currency for one euro", gt=0)
    quoted_on: dt.Date = required("Day of the quote that is used")

    class Config(Table.Config):
        unique = ["rate_on", "currency"]
