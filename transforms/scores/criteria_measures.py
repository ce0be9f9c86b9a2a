"""What the criteria for key accounts measure, one column a criterion, null where there is no data."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from transforms.joins import with_customer

YEAR = 365


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
    """Measure every customer by every default criterion, as of a date; money in the reporting currency.

    Product categories are not in the unified record yet, so what rests on them is null.
    """
    account_customers = crosswalk.select("connection", "account_id", "customer_id")
    parts = [
        _revenue(with_customer(invoices, account_customers), as_of),
        _payment(with_customer(invoices, account_customers), payments, as_of),
        _pipeline(with_customer(deals, account_customers), as_of),
        _support(with_customer(tickets, account_customers), as_of, cost_per_ticket, cost_per_agent_hour),
        _reach(with_customer(invoices, account_customers), accounts, account_customers, as_of),
        _contacts(with_customer(activities, account_customers), as_of),
        _customers_covered(account_customers, deals, "has_crm"),
        _customers_covered(account_customers, tickets, "has_desk"),
        _customers_covered(account_customers, activities, "has_contacts"),
        satisfaction.select("customer_id", "confidence", "nps", satisfied="value"),
    ]
    t = customers.select("customer_id", "employees", "revenue_l12_amount")
    for part in parts:
        t = t.left_join(part, "customer_id").drop("customer_id_right")
    r12, p12 = t.r12.coalesce(0.0), t.p12.coalesce(0.0)
    return t.select(
        "customer_id",
        revenue_level=t.r12,
        revenue_growth=ibis.ifelse(
            (t.days_known >= YEAR) & ((r12 > 0) | (p12 > 0)),
            (r12 - p12) / ((r12 + p12) / 2).nullif(0.0),
            None,
        ),
        pipeline_potential=_when(t.has_crm, t.weighted.coalesce(0.0) / ibis.greatest(r12, median_revenue, 1.0)),
        demand_stability=ibis.ifelse((t.days_known >= 183) & (t.mean > 0), 1 / (1 + t.sd / t.mean), None),
        cost_to_serve=_when(t.has_desk & (r12 > 0), t.support.coalesce(0.0) / r12),
        market_reach=t.places,
        product_fit=_when(t.confidence >= 0.1, t.satisfied),
        innovation_adoption=ibis.null("float64"),
        advocacy=ibis.ifelse(
            t.nps.isnull() & (t.referrals.coalesce(0) == 0),
            None,
            t.nps.coalesce(50.0) + 10 * ibis.least(t.referrals.coalesce(0), 3),
        ),
        reputation=t.employees.cast("float64"),
        decision_access=_when(t.has_contacts, t.people.coalesce(0.0)),
        contribution_margin=t.margin,
        product_breadth=ibis.null("float64"),
        relationship_depth=_when(t.has_contacts, t.months_both.coalesce(0).cast("float64")),
        payment_discipline=t.days_late,
    )


def median_revenue(customers: ir.Table) -> float:
    """Give the median revenue of 12 months of the customers that have some: frozen with the criteria."""
    has = customers.filter(customers.revenue_l12_amount > 0)
    median = (
        has.agg(median=has.revenue_l12_amount.cast("float64").quantile([0.5])).to_pyarrow().to_pylist()[0]["median"]
    )
    return float(median[0]) if median and median[0] is not None else 0.0


def _when(condition: ir.BooleanValue, value: ir.NumericValue) -> ir.NumericValue:
    return ibis.ifelse(condition.coalesce(False), value.cast("float64"), ibis.null("float64"))


def _ago(day: ir.DateValue, as_of: date) -> ir.IntegerValue:
    return ibis.literal(as_of).epoch_days() - day.epoch_days()


def _customers_covered(account_customers: ir.Table, table: ir.Table, name: str) -> ir.Table:
    """Tell who has an account in a connection of which the table knows anything at all."""
    connections = table.select("connection").distinct()
    return (
        account_customers.semi_join(connections, "connection").select("customer_id").distinct().mutate(**{name: True})
    )


def _revenue(owned: ir.Table, as_of: date) -> ir.Table:
    posted = owned.filter(owned.status == "posted", owned.invoice_on <= as_of)
    posted = posted.mutate(ago=_ago(posted.invoice_on, as_of), net=posted.reporting_net_amount.cast("float64"))
    year = posted.ago < YEAR
    totals = posted.group_by("customer_id").agg(
        r12=posted.net.sum(where=year).coalesce(0.0),
        p12=posted.net.sum(where=(posted.ago >= YEAR) & (posted.ago < 2 * YEAR)).coalesce(0.0),
        days_known=posted.ago.max(),
        costed=posted.net.sum(where=year & posted.reporting_cost_amount.notnull()).coalesce(0.0),
        cost=posted.reporting_cost_amount.cast("float64").sum(where=year),
    )
    recent = posted.filter(year).mutate(month=(posted.ago * 12 / YEAR).floor().cast("int64"))
    months = recent.group_by("customer_id", "month").agg(net=recent.net.sum())
    spread = months.group_by("customer_id").agg(
        mean=months.net.sum() / 12, squares=(months.net * months.net).sum() / 12
    )
    spread = spread.mutate(sd=ibis.greatest(spread.squares - spread["mean"] * spread["mean"], 0.0).sqrt())
    joined = totals.left_join(spread, "customer_id").drop("customer_id_right", "squares")
    is_known = (joined.costed > 0) & (joined.costed >= joined.r12 * 0.5)
    return joined.mutate(margin=ibis.ifelse(is_known, (joined.costed - joined.cost) / joined.costed, None)).drop(
        "cost", "costed"
    )


def _payment(owned: ir.Table, payments: ir.Table, as_of: date) -> ir.Table:
    """Weigh the days beyond the due date by amount; an open invoice counts up to today."""
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


def _reach(owned: ir.Table, accounts: ir.Table, account_customers: ir.Table, as_of: date) -> ir.Table:
    recent = owned.filter(owned.status == "posted", _ago(owned.invoice_on, as_of) < 2 * YEAR)
    places = recent.group_by("customer_id").agg(countries=recent.ship_to_country.nunique())
    children = accounts.filter(accounts.parent_id.notnull(), accounts.is_active).select(
        "connection", account_id=accounts.parent_id
    )
    counted = (
        children.inner_join(account_customers, ["connection", "account_id"])
        .group_by("customer_id")
        .agg(children=ibis._.count())
    )
    joined = places.left_join(counted, "customer_id").drop("customer_id_right")
    return joined.select("customer_id", places=(joined.countries + joined.children.coalesce(0)).cast("float64"))


def _contacts(owned: ir.Table, as_of: date) -> ir.Table:
    day = owned.happened_at.date()
    happened = owned.filter(day <= as_of, owned.status.coalesce("done") == "done")
    happened = happened.mutate(
        ago=_ago(happened.happened_at.date(), as_of),
        comes=happened.direction.isin(["inbound", "both"]),
        goes=happened.direction.isin(["outbound", "both"]),
    )
    both = happened.filter(happened.ago < 180, happened.contact_id.notnull())
    both = both.group_by("customer_id", "connection", "contact_id").agg(
        comes=both.comes.any(), goes=both.goes.any(), title=both.contact_title.max()
    )
    title = both.title.lower().coalesce("")
    rank = ibis.cases(
        (title.re_search(r"\bc[efiot]o\b|chief|owner"), 3.0),
        (title.re_search(r"\bvp\b|vice president|director|head of"), 2.0),
        else_=1.0,
    )
    people = both.filter(both.comes & both.goes).group_by("customer_id").agg(people=rank.sum())
    year = happened.filter(happened.ago < YEAR).mutate(
        month=happened.happened_at.year() * 12 + happened.happened_at.month()
    )
    months = year.group_by("customer_id", "month").agg(comes=year.comes.any(), goes=year.goes.any())
    months = months.group_by("customer_id").agg(months_both=ibis.least((months.comes & months.goes).sum(), 12))
    return months.left_join(people, "customer_id").drop("customer_id_right")
