"""One line per customer with all that people ask first."""

from datetime import date

import ibis
import ibis.expr.types as ir

SCORES = ("retention", "satisfaction", "key_account")


def customer_360(customers: ir.Table, key_accounts: ir.Table, score_history: ir.Table, *, as_of: date) -> ir.Table:
    """Join the record with its three scores, their bands, how they moved, and the strongest reason of each in words.

    A churned customer shows the last score that it had.
    """
    t = customers.inner_join(key_accounts.select("customer_id", "tier", "rank"), "customer_id")
    for score in SCORES:
        t = t.inner_join(_score(score_history, score), "customer_id")
    return t.select(
        *("customer_id", "name", "country", "account_manager", "account_executive", "status", "connections"),
        *("is_oversized", "currency", "revenue_l12_amount", "open_amount", "weighted_pipeline_amount", "tickets_open"),
        *("last_order_on", "last_contact_at"),
        *("retention_score", "retention_band", "retention_change", "retention_reason"),
        *("satisfaction_score", "satisfaction_band", "satisfaction_change", "satisfaction_confidence"),
        *("satisfaction_reason", "key_account_score", "key_account_change", "key_account_reason"),
        key_account_tier=t.tier,
        key_account_rank=t["rank"],
        as_of=ibis.literal(as_of),
    )


def _score(history: ir.Table, score: str) -> ir.Table:
    t = history.filter(history.score == score)
    return t.select(
        "customer_id",
        **{
            f"{score}_score": ibis.ifelse(t.state == "frozen", t.last_value, t.value_effective),
            f"{score}_band": t.band,
            f"{score}_change": t.delta,
            f"{score}_confidence": t.confidence,
            f"{score}_reason": _strongest(t, 2 if score == "retention" else 0),
        },
    )


def _strongest(scores: ir.Table, position: int) -> ir.StringValue:
    """Take the words of one reason out of the JSON list; retention says last what the silence means."""
    items = scores.reasons.split('"text":"')
    return items[ibis.least(position + 1, items.length() - 1)].split('"')[0]
