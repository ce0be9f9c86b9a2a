"""Exchange rates for every calendar day, and amounts converted by them.

A day without a quote uses the last known one, at most `max_rate_age_days` old. A currency that has given
way to the euro keeps its irrevocable rate for ever. Money is Decimal all the way: a converted amount is
the exact quotient of the published numbers, rounded half to even once.
"""

from collections.abc import Mapping
from datetime import date

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa

from schemas.base import Money, Rate
from transforms.conform.ecb_rates import QUOTES

# Council regulations on the conversion rates: since when, and units for one euro.
_IRREVOCABLE = {
    "SIT": (date(2007, 1, 1), 239.640),
    "CYP": (date(2008, 1, 1), 0.585274),
    "MTL": (date(2008, 1, 1), 0.429300),
    "SKK": (date(2009, 1, 1), 30.1260),
    "EEK": (date(2011, 1, 1), 15.6466),
    "LVL": (date(2014, 1, 1), 0.702804),
    "LTL": (date(2015, 1, 1), 3.45280),
    "HRK": (date(2023, 1, 1), 7.53450),
    "BGN": (date(2026, 1, 1), 1.95583),
}
# Above 18 digits DuckDB multiplies in 128 bits; with 18 more for the amount Spark keeps all places.
_Quoted = dt.Decimal(19, 6)
_Wide = dt.Decimal(38, 8)


def fx_rates(quotes: ir.Table, *, max_rate_age_days: int = 7, until: date | None = None) -> ir.Table:
    """Spread quotes (quoted_on, currency, per_eur) over the calendar days that they serve.

    `until` is the last day for irrevocable rates; by default the last quote plus the age allowed.
    """
    floating = _spread(_floating_quotes(quotes), max_rate_age_days)
    return floating.union(_irrevocable_rates(quotes, max_rate_age_days, until))


def convert(
    table: ir.Table,
    fx_rates: ir.Table,
    *,
    reporting_currency: str,
    date: str | None,
    amounts: Mapping[str, str],
    as_of: date,
    rate: bool = True,
) -> ir.Table:
    """Add each amount in the reporting currency, and `rate` and `rate_on`, by the table's `currency`.

    `date` is the column whose day's rate counts, None for the rates of `as_of`; days after `as_of`, and
    rows without a day, use `as_of`. Without a rate all are null, for the schema's rule to refuse.
    `rate=False` leaves `rate` and `rate_on` alone, for amounts that are converted on another day.
    """
    today = ibis.literal(as_of)
    day = today if date is None else ibis.coalesce(ibis.least(table[date], today), today)
    dated = table.mutate(_day=day)
    priced = _with_quotes(dated, fx_rates, reporting_currency)
    converted = {target: _converted(priced, amount) for amount, target in amounts.items()}
    quoted = {"rate": _rate(priced), "rate_on": priced._quoted_on} if rate else {}
    added = {**converted, **quoted}
    unchanged = [name for name in table.columns if name not in added]
    return priced.select(*unchanged, **added).select(
        [*table.columns, *(set_ for set_ in added if set_ not in table.columns)]
    )


def half_even(amount: ir.DecimalValue) -> ir.DecimalValue:
    """Round a Decimal of eight places to two, half to even."""
    wide = amount.cast(_Wide)
    return _settle(wide, wide.cast("float64").try_cast(Money), ibis.literal(1).cast(_Quoted))


def _floating_quotes(quotes: ir.Table) -> ir.Table:
    """Leave out quotes from the day on which the euro replaced the currency."""
    replaced = ibis.or_(
        *((quotes.currency == name) & (quotes.quoted_on >= since) for name, (since, _) in _IRREVOCABLE.items())
    )
    return quotes.filter(~replaced, quotes.currency != "EUR")


def _spread(quotes: ir.Table, days: int) -> ir.Table:
    following = quotes.quoted_on.lead().over(group_by="currency", order_by="quoted_on")
    until = ibis.coalesce(following.epoch_days() - quotes.quoted_on.epoch_days(), days + 1)
    aged = quotes.mutate(_for=ibis.least(until, days + 1))
    aged = aged.mutate(_age=ibis.range(0, aged._for).unnest())
    rated = aged.mutate(rate_on=_after(aged.quoted_on, aged._age))
    last = ibis.cases(
        *((rated.currency == name, ibis.literal(since)) for name, (since, _) in _IRREVOCABLE.items()),
        else_=ibis.null("date"),
    )
    served = rated.filter(ibis.coalesce(rated.rate_on < last, True))
    return served.select("rate_on", "currency", "per_eur", "quoted_on")


def _irrevocable_rates(quotes: ir.Table, days: int, until: date | None) -> ir.Table:
    fixed = ibis.memtable(
        pa.table(
            [
                [since for since, _ in _IRREVOCABLE.values()],
                list(_IRREVOCABLE),
                [per_eur for _, per_eur in _IRREVOCABLE.values()],
            ],
            schema=QUOTES,
        )
    )
    last = quotes.agg(_last=quotes.quoted_on.max())
    ending = fixed.cross_join(last)
    end = _after(ending._last, ibis.literal(days)) if until is None else ibis.literal(until)
    length = end.delta(ending.quoted_on, unit="day") + 1
    daily = ending.mutate(_age=ibis.range(0, ibis.greatest(length, 0)).unnest())
    rated = daily.mutate(rate_on=_after(daily.quoted_on, daily._age))
    return rated.select("rate_on", "currency", "per_eur", "quoted_on")


def _after(day: ir.DateValue, days: ir.IntegerValue) -> ir.DateValue:
    # By way of a timestamp: DuckDB's date plus interval is a timestamp, though Ibis believes it a date.
    return (day.cast("timestamp") + days.as_interval("D")).date()


def _with_quotes(dated: ir.Table, fx_rates: ir.Table, reporting_currency: str) -> ir.Table:
    """Join the units per euro of both currencies on the row's day; of equal currencies the rate is 1."""
    own = fx_rates.select(_own_on="rate_on", _own="currency", _per_eur="per_eur", _own_quoted="quoted_on")
    ours = fx_rates.filter(fx_rates.currency == reporting_currency).select(
        _ours_on="rate_on", _ours_per_eur="per_eur", _ours_quoted="quoted_on"
    )
    joined = dated.left_join(own, [dated._day == own._own_on, dated.currency == own._own])
    joined = joined.left_join(ours, joined._day == ours._ours_on)
    unit_rate = ibis.literal(1).cast(_Quoted)
    is_same = joined.currency == reporting_currency
    per_eur = ibis.cases(
        (is_same, unit_rate), (joined.currency == "EUR", unit_rate), else_=joined._per_eur.cast(_Quoted)
    )
    ours_per_eur = (
        unit_rate if reporting_currency == "EUR" else is_same.ifelse(unit_rate, joined._ours_per_eur.cast(_Quoted))
    )
    quoted_on = ibis.cases(
        (is_same, joined._day),
        (joined.currency == "EUR", joined._ours_quoted),
        else_=joined._own_quoted
        if reporting_currency == "EUR"
        else ibis.least(joined._own_quoted, joined._ours_quoted),
    )
    return joined.mutate(_from=per_eur, _to=ours_per_eur, _quoted_on=quoted_on)


def _rate(priced: ir.Table) -> ir.DecimalValue:
    return (priced._to.cast("float64") / priced._from.cast("float64")).try_cast(Rate)


def _converted(priced: ir.Table, amount: str) -> ir.DecimalValue:
    """Divide exactly: guess the quotient by float, then settle the last digit by the exact remainder."""
    source_amount = priced[amount].try_cast("decimal(12, 2)")
    numerator = (source_amount * priced._to).cast(_Wide)
    guess = (numerator.cast("float64") / priced._from.cast("float64")).try_cast(Money)
    return _settle(numerator, guess, priced._from)


def _settle(numerator: ir.DecimalValue, guess: ir.DecimalValue, divisor: ir.DecimalValue) -> ir.DecimalValue:
    """Move a guess that is at most a cent off to the quotient, half to even."""
    cent = ibis.literal("0.01").cast(Money)
    remainder = numerator - (guess * divisor).cast(_Wide)
    twice = remainder + remainder
    step = (divisor * cent).cast(_Wide)
    is_odd = (guess * 100).cast("int64") % 2 != 0
    up = (twice > step) | ((twice == step) & is_odd)
    down = (twice < -step) | ((twice == -step) & is_odd)
    return ibis.cases((up, guess + cent), (down, guess - cent), else_=guess).cast(_Wide).cast(Money)
