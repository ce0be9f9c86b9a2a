"""The measures of the default key-account criteria: one column per criterion, null where there is no data."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from transforms.joins import left_join_all, with_customer

YEAR, HALF_YEAR = 365, 183  # days


def measured(
    customers: ir.Table,
    crosswalk: ir.Table,
    accounts: ir.Table,
    deals: ir.Table,
    tickets: ir.Table,
    invoices: ir.Table,
    payments: ir.Table,
    activities: ir.Table,
    satisfaction: ir.Table,
    *,
    as_of: date,
    median_revenue: float,
    cost_per_ticket: float,
    cost_per_agent_hour: float,
) -> ir.Table:
    """Measure every customer by every default criterion, as of a date.

    Grain: customer_id. Money is in the reporting currency. Criteria on product categories are null, because the unified
    record has no categories yet.
    """
    parts = left_join_all(
        customers.select("customer_id", "employees", "revenue_l12_amount"),
        *_service_parts(crosswalk, deals, tickets, activities, as_of, cost_per_ticket, cost_per_agent_hour),
        *_invoice_parts(crosswalk, accounts, invoices, payments, as_of),
        satisfaction.select("customer_id", "confidence", "nps", satisfied="value"),
        on="customer_id",
    )
    filled = parts.mutate(r12=parts.r12.coalesce(0.0), p12=parts.p12.coalesce(0.0), revenue_level=parts.r12)
    return filled.select(
        "customer_id",
        "revenue_level",
        **_growth(filled, median_revenue),
        **_harmony(filled),
        **_value_creation(filled),
    )


def _invoice_parts(
    crosswalk: ir.Table, accounts: ir.Table, invoices: ir.Table, payments: ir.Table, as_of: date
) -> list[ir.Table]:
    owned = with_customer(invoices, crosswalk)
    return [
        _revenue(owned, as_of),
        _payment(owned, payments, as_of),
        _reach(owned, accounts, crosswalk, as_of),
    ]


def _service_parts(
    crosswalk: ir.Table,
    deals: ir.Table,
    tickets: ir.Table,
    activities: ir.Table,
    as_of: date,
    cost_per_ticket: float,
    cost_per_agent_hour: float,
) -> list[ir.Table]:
    return [
        _pipeline(with_customer(deals, crosswalk), as_of),
        _support(with_customer(tickets, crosswalk), as_of, cost_per_ticket, cost_per_agent_hour),
        _contacts(with_customer(activities, crosswalk), as_of),
        _customers_covered(crosswalk, deals, "has_crm"),
        _customers_covered(crosswalk, tickets, "has_desk"),
        _customers_covered(crosswalk, activities, "has_contacts"),
    ]


def _growth(t: ir.Table, median_revenue: float) -> dict[str, ir.Value]:
    is_comparable = (t.days_known >= YEAR) & ((t.r12 > 0) | (t.p12 > 0))
    growth = (t.r12 - t.p12) / ((t.r12 + t.p12) / 2).nullif(0.0)
    is_steady = (t.days_known >= HALF_YEAR) & (t["mean"] > 0)
    return {
        "revenue_growth": ibis.ifelse(is_comparable, growth, None),
        "pipeline_potential": _when(t.has_crm, t.weighted.coalesce(0.0) / ibis.greatest(t.r12, median_revenue, 1.0)),
        "demand_stability": ibis.ifelse(is_steady, 1 / (1 + t.sd / t["mean"]), None),
        "cost_to_serve": _when(t.has_desk & (t.r12 > 0), t.support.coalesce(0.0) / t.r12),
        "market_reach": t.places,
    }


def _harmony(t: ir.Table) -> dict[str, ir.Value]:
    referrals = t.referrals.coalesce(0)
    advocacy = t.nps.coalesce(50.0) + 10 * ibis.least(referrals, 3)
    return {
        "product_fit": _when(t.confidence >= 0.1, t.satisfied),
        "innovation_adoption": ibis.null("float64"),
        "advocacy": ibis.ifelse(t.nps.isnull() & (referrals == 0), None, advocacy),
        "reputation": t.employees.cast("float64"),
        "decision_access": _when(t.has_contacts, t.people.coalesce(0.0)),
    }


def _value_creation(t: ir.Table) -> dict[str, ir.Value]:
    return {
        "contribution_margin": t.margin,
        "product_breadth": ibis.null("float64"),
        "relationship_depth": _when(t.has_contacts, t.months_both.coalesce(0).cast("float64")),
        "payment_discipline": t.days_late,
    }


def median_revenue(customers: ir.Table) -> float:
    """Return the median revenue of 12 months of the customers with revenue; it is frozen with the criteria."""
    has = customers.filter(customers.revenue_l12_amount > 0)
    median = (
        has.agg(median=has.revenue_l12_amount.cast("float64").quantile([0.5])).to_pyarrow().to_pylist()[0]["median"]
    )
    return float(median[0]) if median and median[0] is not None else 0.0


def _when(condition: ir.BooleanValue, value: ir.NumericValue) -> ir.NumericValue:
    return ibis.ifelse(condition.coalesce(False), value.cast("float64"), ibis.null("float64"))


def _ago(day: ir.DateValue, as_of: date) -> ir.IntegerValue:
    return ibis.literal(as_of).epoch_days() - day.epoch_days()


def _customers_covered(crosswalk: ir.Table, table: ir.Table, name: str) -> ir.Table:
    """Tell who has an account in a connection of which the table knows anything at all."""
    connections = table.select("connection").distinct()
    return crosswalk.semi_join(connections, "connection").select("customer_id").distinct().mutate(**{name: True})


def _revenue(owned: ir.Table, as_of: date) -> ir.Table:
    """Sum up revenue of this and the last year, and take its margin and monthly evenness."""
    posted = owned.filter(owned.status == "posted", owned.invoice_on <= as_of)
    posted = posted.mutate(ago=_ago(posted.invoice_on, as_of), net=posted.reporting_net_amount.cast("float64"))
    totals = left_join_all(_revenue_totals(posted), _monthly_spread(posted), on="customer_id")
    # The cost must be known for at least half of the revenue, else the margin says too little.
    has_cost = (totals.costed > 0) & (totals.costed >= totals.r12 * 0.5)
    margin = ibis.ifelse(has_cost, (totals.costed - totals.cost) / totals.costed, None)
    return totals.mutate(margin=margin).drop("cost", "costed")


def _revenue_totals(posted: ir.Table) -> ir.Table:
    this_year, last_year = posted.ago < YEAR, (posted.ago >= YEAR) & (posted.ago < 2 * YEAR)
    with_cost = this_year & posted.reporting_cost_amount.notnull()
    return posted.group_by("customer_id").agg(
        r12=posted.net.sum(where=this_year).coalesce(0.0),
        p12=posted.net.sum(where=last_year).coalesce(0.0),
        days_known=posted.ago.max(),
        costed=posted.net.sum(where=with_cost).coalesce(0.0),
        cost=posted.reporting_cost_amount.cast("float64").sum(where=this_year),
    )


def _monthly_spread(posted: ir.Table) -> ir.Table:
    """Return mean and standard deviation of the revenue of the last twelve months, empty months included."""
    recent = posted.filter(posted.ago < YEAR).mutate(month=(posted.ago * 12 / YEAR).floor().cast("int64"))
    months = recent.group_by("customer_id", "month").agg(net=recent.net.sum())
    moments = months.group_by("customer_id").agg(
        mean=months.net.sum() / 12, squares=(months.net * months.net).sum() / 12
    )
    variance = ibis.greatest(moments.squares - moments["mean"] * moments["mean"], 0.0)
    return moments.mutate(sd=variance.sqrt()).drop("squares")


def _payment(owned: ir.Table, payments: ir.Table, as_of: date) -> ir.Table:
    """Average the days beyond the due date, weighed by amount; an open invoice counts up to `as_of`."""
    settled = payments.filter(payments.status == "posted", payments.invoice_id.notnull(), payments.paid_on <= as_of)
    settled = settled.group_by("connection", "invoice_id").agg(settled_on=settled.paid_on.max())
    due = owned.filter(owned.status == "posted", owned.kind == "invoice", owned.due_on <= as_of)
    due = due.filter(_ago(due.due_on, as_of) < YEAR).left_join(settled, ["connection", "invoice_id"])
    is_open = due.open_amount.coalesce(due.net_amount) > 0
    paid = ibis.ifelse(is_open, ibis.literal(as_of), due.paid_on.coalesce(due.settled_on))
    weighed = due.mutate(
        late=ibis.greatest(paid.epoch_days() - due.due_on.epoch_days(), 0),
        amount=due.reporting_net_amount.cast("float64"),
    )
    weighed = weighed.filter(weighed.late.notnull(), weighed.amount > 0)
    return weighed.group_by("customer_id").agg(days_late=(weighed.late * weighed.amount).sum() / weighed.amount.sum())


def _pipeline(owned: ir.Table, as_of: date) -> ir.Table:
    soon = (owned.status == "open") & (owned.close_on <= as_of + timedelta(days=YEAR)).coalesce(True)
    referred = (
        (owned.status == "won")
        & (_ago(owned.close_on, as_of) < 2 * YEAR)
        & owned.lead_source.lower().contains("referral")
    )
    worth = owned.reporting_amount.cast("float64") * owned.probability.coalesce(0.0)
    return owned.group_by("customer_id").agg(weighted=worth.sum(where=soon), referrals=referred.sum())


def _support(owned: ir.Table, as_of: date, per_ticket: float, per_hour: float) -> ir.Table:
    recent = owned.filter(_ago(owned.created_at.date(), as_of) < YEAR, owned.created_at.date() <= as_of)
    cost = (recent.agent_minutes / 60 * per_hour).coalesce(float(per_ticket))
    return recent.group_by("customer_id").agg(support=cost.sum())


def _reach(owned: ir.Table, accounts: ir.Table, crosswalk: ir.Table, as_of: date) -> ir.Table:
    """Count the countries delivered to in two years, and the active subsidiaries."""
    recent = owned.filter(owned.status == "posted", _ago(owned.invoice_on, as_of) < 2 * YEAR)
    countries = recent.group_by("customer_id").agg(countries=recent.ship_to_country.nunique())
    active = accounts.filter(accounts.parent_id.notnull(), accounts.is_active)
    subsidiaries = with_customer(active.select("connection", account_id="parent_id"), crosswalk)
    children = subsidiaries.group_by("customer_id").agg(children=ibis._.count())
    t = left_join_all(countries, children, on="customer_id")
    return t.select("customer_id", places=(t.countries + t.children.coalesce(0)).cast("float64"))


def _contacts(owned: ir.Table, as_of: date) -> ir.Table:
    """Count people in two-way contact, weighed by rank, and months with contact in both directions."""
    happened = owned.filter(owned.happened_at.date() <= as_of, owned.status.coalesce("done") == "done")
    happened = happened.mutate(
        ago=_ago(happened.happened_at.date(), as_of),
        is_inbound=happened.direction.isin(["inbound", "both"]),
        is_outbound=happened.direction.isin(["outbound", "both"]),
    )
    return left_join_all(_two_way_months(happened), _people(happened), on="customer_id")


def _people(happened: ir.Table) -> ir.Table:
    recent = happened.filter(happened.ago < 180, happened.contact_id.notnull())
    people = recent.group_by("customer_id", "connection", "contact_id").agg(
        is_inbound=recent.is_inbound.any(), is_outbound=recent.is_outbound.any(), title=recent.contact_title.max()
    )
    title = people.title.lower().coalesce("")
    rank = ibis.cases(
        (title.re_search(r"\bc[efiot]o\b|chief|owner"), 3.0),
        (title.re_search(r"\bvp\b|vice president|director|head of"), 2.0),
        else_=1.0,
    )
    two_way = people.mutate(weight=rank).filter(people.is_inbound & people.is_outbound)
    return two_way.group_by("customer_id").agg(people=two_way.weight.sum())


def _two_way_months(happened: ir.Table) -> ir.Table:
    day = happened.happened_at
    year = happened.filter(happened.ago < YEAR).mutate(month=day.year() * 12 + day.month())
    months = year.group_by("customer_id", "month").agg(
        is_inbound=year.is_inbound.any(), is_outbound=year.is_outbound.any()
    )
    both = (months.is_inbound & months.is_outbound).sum()
    return months.group_by("customer_id").agg(months_both=ibis.least(both, 12))
