"""The last step of a build: who looks after which customer, and what they are measured by."""

from collections.abc import Iterator, Mapping

import ibis.expr.types as ir

from engine.build.context import BuildContext, TableResult
from transforms.customers.owner_roles import holders
from transforms.joins import with_customer
from transforms.portfolio.account_executives import account_executives
from transforms.portfolio.account_managers import account_managers
from transforms.portfolio.handovers import first_wins, handovers
from transforms.portfolio.ownership import ownership
from transforms.portfolio.portfolio import cohorts, standings
from transforms.portfolio.regions import regions
from transforms.portfolio.reminders import reminders
from transforms.scores.score_alerts import score_alerts


def portfolio_tables(context: BuildContext) -> Iterator[TableResult]:
    """Make the tables of those who look after customers."""
    t, as_of, config = context.tables, context.as_of, context.config
    members, dealt = (with_customer(t[name], context.tables["crosswalk"]) for name in ("accounts", "deals"))
    seen = context.cached(holders(members, dealt, t["owners"], context.project.roles()))
    yield context.keep("ownership", ownership(t["customers"], seen, context.previous("ownership"), as_of=as_of))
    wins = context.cached(first_wins(*(t[name] for name in ("crosswalk", "deals", "orders", "invoices")), as_of))
    reads = ("customers", "crosswalk", "owners", "deals", "orders", "invoices", "activities", "ownership")
    made = handovers(*(t[name] for name in reads), as_of=as_of, days=config.handover_days, wins=wins)
    yield context.keep("handovers", made)
    reads = (
        *("customers", "crosswalk", "deals", "invoices", "activities", "retention"),
        *("key_accounts", "score_history", "ownership", "handovers"),
    )
    wanted = config.reminders.model_dump()
    yield from _performance_tables(context, wanted["cadence_days"], wins)
    yield context.keep("reminders", reminders(*(t[name] for name in reads), as_of=as_of, **wanted))


def _performance_tables(
    context: BuildContext, cadence_days: Mapping[str, int], wins: ir.Table
) -> Iterator[TableResult]:
    """Make the tables by which portfolios are judged, and the alerts."""
    t, as_of = context.tables, context.as_of
    reads = ("customers", "crosswalk", "invoices", "ownership")
    kept = context.cached(cohorts(*(t[name] for name in reads), as_of=as_of))
    reads = ("customers", "crosswalk", "tickets", "activities", "retention", "satisfaction", "key_accounts")
    made = standings(*(t[name] for name in (*reads, "ownership")), as_of=as_of, cadence_days=cadence_days)
    now = context.cached(made)
    yield context.keep("account_managers", account_managers(kept, now, t["handovers"], as_of=as_of))
    yield context.keep("regions", regions(kept, now, as_of=as_of))
    reads = ("crosswalk", "owners", "deals", "orders", "invoices", "handovers")
    yield context.keep("account_executives", account_executives(*(t[name] for name in reads), as_of=as_of, wins=wins))
    alerts = score_alerts(t["score_history"], t["customers"], context.previous("score_alerts"), as_of=as_of)
    yield context.keep("score_alerts", alerts)
