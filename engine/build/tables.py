"""The tables of a build, each by the function that makes it. To add one: a schema, a function, a line here.

What a table reads, its place in the order, Dagster's dependencies, groups, descriptions and checks
come from these lines, from the functions' parameters (`engine.build.registry`), and from the
schemas.
"""

from engine.build.conform import MONEY, conform_tables, fx_rates
from engine.build.identity import crosswalk, judgements, match_suggestions, matches
from engine.build.portfolio import first_wins, holders
from engine.build.reconciliation import reconciliation
from engine.build.registry import Internal, Registry, Table, UnitTable
from engine.build.scores import (
    active_overrides,
    compared_scores,
    criteria,
    criteria_measures,
    is_review,
    last_scores,
    last_tiers,
    median_revenue,
    order_event,
    order_events,
    overrides,
    retention,
    retention_fit,
    retention_statistics,
    satisfaction,
    satisfaction_priors,
    score_days,
)
from transforms.customers.customer_360 import customer_360
from transforms.customers.customers import customers
from transforms.identity.customer_redirects import customer_redirects
from transforms.identity.match_keys import match_keys
from transforms.portfolio.account_executives import account_executives
from transforms.portfolio.account_managers import account_managers
from transforms.portfolio.handovers import handovers
from transforms.portfolio.ownership import ownership
from transforms.portfolio.portfolio import cohorts, standings
from transforms.portfolio.regions import regions
from transforms.portfolio.reminders import reminders
from transforms.scores.criteria_scores import key_account_criteria
from transforms.scores.key_accounts import key_accounts
from transforms.scores.satisfaction import satisfaction_observations
from transforms.scores.score_alerts import score_alerts
from transforms.scores.score_history import score_history
from transforms.scores.sensitivity import key_account_sensitivity

CONFORM = "conform"


def _in_unit(table: str, *, reads_rates: bool = False, is_conformed: bool = False) -> UnitTable:
    reads = ("fx_rates",) if reads_rates else ()
    return UnitTable(conform_tables, group=CONFORM, unit=CONFORM, table=table, reads=reads, is_conformed=is_conformed)


def _conformed(table: str) -> UnitTable:
    return _in_unit(table, reads_rates=table in MONEY, is_conformed=True)


TABLES = Registry(
    tables=(
        Table(fx_rates, group=CONFORM),
        _conformed("accounts"),
        _conformed("owners"),
        _conformed("deals"),
        _conformed("orders"),
        _conformed("invoices"),
        _conformed("payments"),
        _conformed("tickets"),
        _conformed("activities"),
        _conformed("ratings"),
        _in_unit("quarantine", reads_rates=True),
        _in_unit("redirects"),
        Table(crosswalk, group="customers"),
        Table(customer_redirects, {"previous": "previous_crosswalk", "earlier": "previous"}, group="customers"),
        Table(match_suggestions, group="customers"),
        Table(customers, group="customers", as_of_facts=True),
        Table(reconciliation, group=CONFORM, unit=CONFORM),
        Table(criteria, group="scores"),
        Table(overrides, group="scores"),
        Table(retention, group="scores"),
        Table(satisfaction, group="scores"),
        Table(key_account_criteria, {"measured": "criteria_measures"}, group="scores"),
        Table(key_accounts, {"previous": "last_tiers"}, group="scores"),
        Table(key_account_sensitivity, group="scores"),
        Table(
            score_history,
            {"before": "last_scores", "compared": "compared_scores"},
            group="scores",
            is_daily=True,
        ),
        Table(customer_360, group="views"),
        Table(ownership, group="portfolio"),
        Table(handovers, {"days": "handover_days", "wins": "first_wins"}, group="portfolio"),
        Table(account_managers, group="portfolio"),
        Table(regions, group="portfolio"),
        Table(account_executives, {"wins": "first_wins"}, group="portfolio"),
        Table(score_alerts, group="portfolio"),
        Table(reminders, group="portfolio"),
    ),
    internals=(
        Internal(judgements, is_stored=False),
        Internal(match_keys),
        Internal(matches),
        Internal(active_overrides, is_stored=False),
        Internal(order_event, as_of_facts=True),
        Internal(order_events, as_of_facts=True),
        Internal(retention_fit),
        Internal(retention_statistics),
        Internal(satisfaction_observations, as_of_facts=True),
        Internal(satisfaction_priors),
        Internal(median_revenue),
        Internal(criteria_measures, as_of_facts=True),
        Internal(score_days),
        Internal(last_scores, is_stored=False),
        Internal(compared_scores, is_stored=False),
        Internal(last_tiers, is_stored=False),
        Internal(is_review),
        Internal(holders),
        Internal(first_wins),
        Internal(cohorts),
        Internal(standings),
    ),
    # an invoice is open again on a day when its payments came later
    facts={"invoices": ("invoices", "payments")},
)
