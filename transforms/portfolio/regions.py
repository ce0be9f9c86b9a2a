"""Regions: the measures of account managers by country and region, by country, and for all customers."""

from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import as_text
from transforms.portfolio.portfolio import summed

LEVELS = {"region": ("country", "region"), "country": ("country",), "all": ()}


def regions(cohorts: ir.Table, standings: ir.Table, *, as_of: date) -> ir.Table:
    """Return the measures at three levels.

    Grain: period, place. The region is that of the account manager, the country that of the customer.
    """
    levels = [_level(cohorts, standings, level, keys) for level, keys in LEVELS.items()]
    return ibis.union(*levels).mutate(as_of=ibis.literal(as_of))


def _level(cohorts: ir.Table, standings: ir.Table, level: str, keys: Sequence[str]) -> ir.Table:
    t = summed(cohorts, standings, keys)
    missing = {name: ibis.null("string") for name in LEVELS["region"] if name not in keys}
    t = t.mutate(level=ibis.literal(level), **missing)
    t = t.mutate(place=as_text(level) + "/" + t.country.coalesce("") + "/" + t.region.coalesce(""))
    return t.select(*sorted(t.columns))  # a union matches columns by position
