"""One line per customer with all that people ask first."""

from datetime import date

import ibis
import ibis.expr.types as ir


def customer_360(
    customers: ir.Table, retention: ir.Table, satisfaction: ir.Table, key_accounts: ir.Table, *, as_of: date
) -> ir.Table:
    """Join the record with its three scores, their bands, and the strongest reason of each in words."""
    left = retention.select(
        "customer_id",
        retention_score="value_effective",
        retention_band="band",
        retention_reason=_strongest(retention),
    )
    middle = satisfaction.select(
        "customer_id",
        satisfaction_score="value_effective",
        satisfaction_band="band",
        satisfaction_confidence="confidence",
        satisfaction_reason=_strongest(satisfaction, 0),
    )
    right = key_accounts.select(
        "customer_id",
        key_account_score="value_effective",
        key_account_tier="tier",
        key_account_rank="rank",
        key_account_reason=_strongest(key_accounts, 0),
    )
    joined = (
        customers.inner_join(left, "customer_id").inner_join(middle, "customer_id").inner_join(right, "customer_id")
    )
    return joined.select(
        *("customer_id", "name", "country", "account_manager", "account_executive", "status", "connections"),
        *(
            "is_oversized",
            "currency",
            "revenue_l12_amount",
            "open_amount",
            "weighted_pipeline_amount",
            "tickets_open",
        ),
        *("last_order_on", "last_contact_at", "retention_score", "retention_band", "retention_reason"),
        *("satisfaction_score", "satisfaction_band", "satisfaction_confidence", "satisfaction_reason"),
        *("key_account_score", "key_account_tier", "key_account_rank", "key_account_reason"),
        as_of=ibis.literal(as_of),
    )


def _strongest(scores: ir.Table, place: int = 2) -> ir.StringValue:
    """Take the words of one reason out of the JSON list; retention says last what the silence means."""
    items = scores.reasons.split('"text":"')
    return items[ibis.least(place + 1, items.length() - 1)].split('"')[0]
