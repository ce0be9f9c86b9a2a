"""Regions: the same measures by country and region, by country, and for all."""

from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import as_text
from transforms.portfolio.portfolio import summed

LEVELS = {"region": ("country", "region"), "country": ("country",), "all": ()}


def regions(cohorts: ir.Table, standings: ir.Table, *, as_of: date) -> ir.Table:
    """Sum up at three levels; the region is that of the manager, the country that of the customer."""
    parts = []
    for level, keys in LEVELS.items():
        t = summed(cohorts, standings, keys)
        missing = {name: ibis.null("string") for name in LEVELS["region"] if name not in keys}
        t = t.mutate(level=ibis.literal(level), as_of=ibis.literal(as_of), **missing)
        t = t.mutate(place=as_text(level) + "/" + t.country.coalesce("") + "/" + t.region.coalesce(""))
        parts.append(t.select(*sorted(t.columns)))
    return ibis.union(*parts)
