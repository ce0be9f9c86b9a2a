"""Key-account score, rank and tier of each customer, with reasons."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required, within


class KeyAccounts(Table):
    """Key-account score, rank and tier of each customer, with reasons."""

    customer_id: str = required("The customer, minted once and never re-used")
    value: float = required("Weighted mean of the criteria, 1 to 10", **within(1, 10))
    value_effective: float = required("The value that counts: overridden, or computed", **within(1, 10))
    growth: float = optional("Weighted mean of the growth criteria, 1 to 10", **within(1, 10))
    harmony: float = optional("Weighted mean of the harmony criteria, 1 to 10", **within(1, 10))
    value_creation: float = optional("Weighted mean of the value creation criteria, 1 to 10", **within(1, 10))
    coverage: float = required("Share of the weight that rests on data", **within(0, 1))
    is_eligible: bool = required("Active, enough coverage, total high enough")
    rank: dt.Int64 = optional("Rank among the eligible, 1 is best", ge=1)
    band: str = required("Suggested tier: A, B or C", **one_of("A", "B", "C"))
    tier_computed: str = required("Tier by rank and reviews, changed at review dates only", **one_of("A", "B", "C"))
    tier: str = required("The tier that counts: overridden, or computed", **one_of("A", "B", "C"))
    quadrant: str = required(
        "KAISM: key, development, maintenance or opportunistic",
        **one_of("key", "development", "maintenance", "opportunistic"),
    )
    override_id: str = optional("Override of tier or total in force, if any")
    next_review_on: dt.Date = required("Next day on which tiers may change")
    reasons: str = required("JSON list of {code, text, points}: all criteria's points sum up to total - 5.5")
    model_version: str = required("Version of criteria, weights and anchors")
    as_of: dt.Date = required("Date that the score is about")

    class Config(Table.Config):
        unique = ["customer_id"]
