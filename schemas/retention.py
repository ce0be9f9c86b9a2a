"""How likely each customer is to order again within the horizon, and why."""

import ibis.expr.datatypes as dt

from schemas.base import Money, Table, one_of, optional, required, within


class Retention(Table):
    """How likely each customer is to order again within the horizon, and why."""

    customer_id: str = required("The customer, minted once and never re-used")
    value: float = optional(
        "100 x P(at least one order in the horizon); null when there is too little data", **within(0, 100)
    )
    value_effective: float = optional("The value that counts: overridden, or computed", **within(0, 100))
    band: str = required(
        "healthy, watch, at_risk, critical, churned, or unknown",
        **one_of("healthy", "watch", "at_risk", "critical", "churned", "unknown"),
    )
    p_alive: float = optional("Probability that the customer is still active", **within(0, 1))
    p_order_if_alive: float = optional("Probability of an order in the horizon, if still active", **within(0, 1))
    horizon_months: dt.Int64 = required("Prediction horizon in months", gt=0)
    months_with_orders: dt.Int64 = optional("x: months with an order after the first", ge=0)
    last_order_month: dt.Int64 = optional("tx: last such month, counted from the first order", ge=0)
    months_observed: dt.Int64 = optional("n: complete months since the first order", ge=0)
    silence_loss: float = optional("Points lost because of the time since the last order")
    days_since_order: dt.Int64 = optional("Days since the last order", ge=0)
    usual_gap_days: float = optional("Usual days between orders", ge=0)
    revenue_at_risk_amount: Money = optional("(1-p) x revenue expected in the horizon, reporting currency", ge=0)
    reason: str = required("SILENT, RARE, NEW, OK or NO_DATA", **one_of("SILENT", "RARE", "NEW", "OK", "NO_DATA"))
    reasons: str = required("JSON list of {code, text, points}: the points sum up to the value")
    override_id: str = optional("Override in force, if any")
    model_version: str = required("Version of the fitted parameters")
    as_of: dt.Date = required("Date that the score is about")

    class Config(Table.Config):
        unique = ["customer_id"]
