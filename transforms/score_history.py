"""The scores of every build, one after the other."""

from datetime import date

import ibis
import ibis.expr.types as ir


def score_history(
    retention: ir.Table, satisfaction: ir.Table, key_accounts: ir.Table, previous: ir.Table, *, as_of: date
) -> ir.Table:
    """Add this date's scores to the history; a second build of the same date replaces the first."""
    today = ibis.union(
        _scores(retention, "retention", retention.band, ibis.null("float64")),
        _scores(satisfaction, "satisfaction", satisfaction.band, satisfaction.confidence),
        _scores(key_accounts, "key_account", key_accounts.tier, key_accounts.coverage),
    )
    return ibis.union(previous.filter(previous.as_of != as_of).select(*today.columns), today)


def _scores(scores: ir.Table, name: str, band: ir.StringValue, confidence: ir.NumericValue) -> ir.Table:
    return scores.select(
        "customer_id",
        score=ibis.literal(name),
        as_of=scores.as_of,
        value=scores.value_effective,
        band=band,
        confidence=confidence,
        model_version=scores.model_version,
        reasons=scores.reasons,
    )
