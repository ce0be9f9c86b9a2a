"""The tasks of each account manager, with an id that stays the same while the task is due."""

from collections.abc import Collection, Mapping
from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.customers.owner_roles import MANAGER
from transforms.joins import left_join_all
from transforms.portfolio import reminder_rules
from transforms.portfolio.contact_history import activity_coverage, last_talks, talks

KINDS = (
    "contact",
    "quarterly_review",
    "retention_fell",
    "satisfaction_low",
    "invoice_overdue",
    "renewal",
    "handover",
)
LATE = 14  # days overdue, beyond which the priority is one level higher


def reminders(
    customers: ir.Table,
    crosswalk: ir.Table,
    deals: ir.Table,
    invoices: ir.Table,
    activities: ir.Table,
    retention: ir.Table,
    key_accounts: ir.Table,
    score_history: ir.Table,
    ownership: ir.Table,
    handovers: ir.Table,
    *,
    as_of: date,
    kinds: Collection[str] = KINDS,
    cadence_days: Mapping[str, int],
    review_days: Mapping[str, int],
    risk_tiers: Collection[str],
    invoice_days: int,
    renewal_days: int,
) -> ir.Table:
    """Return the tasks that are due as of a date.

    Grain: reminder_id. Customers with too many accounts have none until they are reviewed. `cadence_days` and
    `review_days` are by tier; a tier without an entry has no cadence. Falling scores count in `risk_tiers` only.
    """
    about = _customer_facts(customers, crosswalk, activities, key_accounts, handovers, as_of, risk_tiers)
    scores = score_history.filter(score_history.as_of == as_of)
    rules = {
        "contact": lambda: reminder_rules.contact(about, as_of=as_of, cadence_days=cadence_days),
        "quarterly_review": lambda: reminder_rules.quarterly_review(about, as_of=as_of, review_days=review_days),
        "retention_fell": lambda: reminder_rules.retention_fell(about, scores),
        "satisfaction_low": lambda: reminder_rules.satisfaction_low(about, scores),
        "invoice_overdue": lambda: reminder_rules.invoice_overdue(
            about, invoices, crosswalk, as_of=as_of, days=invoice_days
        ),
        "renewal": lambda: reminder_rules.renewal(about, deals, crosswalk, as_of=as_of, days=renewal_days),
        "handover": lambda: reminder_rules.handover(about, handovers, as_of=as_of),
    }
    parts = [rules[kind]() for kind in KINDS if kind in kinds]
    listed = ibis.union(*parts) if len(parts) > 1 else (parts or [rules["contact"]().limit(0)])[0]
    return _with_priority(listed, about, retention, ownership, as_of)


def _customer_facts(
    customers: ir.Table,
    crosswalk: ir.Table,
    activities: ir.Table,
    key_accounts: ir.Table,
    handovers: ir.Table,
    as_of: date,
    risk_tiers: Collection[str],
) -> ir.Table:
    """Return what the rules need to know of each customer."""
    accepted = handovers.group_by("customer_id").agg(accepted_on=handovers.accepted_on.max())
    reviewed = customers.filter(~customers.is_oversized)
    t = left_join_all(
        reviewed.select("customer_id", "status", "first_order_on", "currency", customer_name="name"),
        key_accounts.select("customer_id", "tier"),
        last_talks(talks(activities, crosswalk), as_of),
        accepted,
        on="customer_id",
    )
    t = t.mutate(tier=t.tier.coalesce("C")).cross_join(activity_coverage(activities))
    return t.mutate(is_watched=t.tier.isin(list(risk_tiers)))


def _with_priority(
    listed: ir.Table, about: ir.Table, retention: ir.Table, ownership: ir.Table, as_of: date
) -> ir.Table:
    """Add name, tier, owner and priority."""
    is_current = ownership.valid_to.isnull() | (ownership.valid_to > as_of)
    owners = ownership.filter(ownership.role == MANAGER, ownership.valid_from <= as_of, is_current)
    t = left_join_all(
        listed.inner_join(about.select("customer_id", "customer_name", "tier"), "customer_id"),
        owners.select("customer_id", "owner", "owner_email", "owner_ids"),
        _relative_risk(retention),
        on="customer_id",
    )
    late = ibis.greatest(ibis.literal(as_of).epoch_days() - t.due_on.epoch_days(), 0)
    urgency = late / t.period.cast("float64") * (1 + t.risk.coalesce(0.0))
    return t.select(
        "customer_id",
        "customer_name",
        "kind",
        "owner",
        "owner_email",
        "owner_ids",
        "subject",
        "note",
        "due_on",
        "tier",
        reminder_id=t.customer_id + "/" + t.kind + "/" + t.trigger,
        priority=_priority(t, late),
        urgency=urgency.round(2),
        as_of=ibis.literal(as_of),
    )


def _priority(t: ir.Table, days_late: ir.IntegerValue) -> ir.StringValue:
    floor = ibis.ifelse(t.kind.isin(["contact", "renewal"]), 0, 1)
    level = ibis.cases((t.tier == "A", 2), (t.tier == "B", 1), else_=0)
    level = ibis.greatest(level, floor) + ibis.ifelse(days_late > LATE, 1, 0)
    return ibis.cases((level >= 2, "high"), (level == 1, "normal"), else_="low")


def _relative_risk(retention: ir.Table) -> ir.Table:
    """Return each customer's revenue at risk relative to the median of the customers that have some."""
    amount = retention.revenue_at_risk_amount.cast("float64")
    middle = retention.filter(amount > 0).agg(middle=amount.quantile([0.5]))
    middle = middle.select(middle=middle.middle[0])
    t = retention.select("customer_id", amount=amount).cross_join(middle)
    return t.select("customer_id", risk=t.amount / t.middle.nullif(0.0))
