"""The steps of the scores that need more than tables: fits, overrides, and the days of the history."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import ibis.expr.types as ir

from connectors.kit.errors import SettingsError
from engine.build.active_criteria import InForce, criteria_rows
from engine.build.model_parameters import Fits, Retention, event_for, priors_for, retention_for, revenue_for
from engine.build.registry import Output
from engine.build.score_history import ScoreDays
from engine.config.customer_model import RetentionConfig, SatisfactionConfig
from engine.config.project import Project
from engine.storage.backend import backend
from engine.storage.table_schema import arrow_schema
from transforms.joins import with_customer
from transforms.scores import criteria_measures as measures
from transforms.scores import order_events as events
from transforms.scores import overrides as forced
from transforms.scores import retention as retention_score
from transforms.scores import retention_statistics as statistics
from transforms.scores import satisfaction as satisfaction_score
from transforms.scores import score_history as history
from transforms.scores.criteria import Criterion, CriterionError
from transforms.scores.custom_criteria import with_own
from transforms.scores.satisfaction_priors import Priors
from transforms.scores.tiers import review_due


def criteria(*, active_criteria: InForce, project: Project, con: backend.Backend, as_of: date) -> ir.Table:
    """The criteria for key accounts, with their anchors and where these come from.

    Grain: criterion.
    """
    return backend.table(con, criteria_rows(active_criteria, project.model, as_of, arrow_schema("criteria")))


def overrides(*, overrides: Sequence[Mapping[str, Any]], as_of: date) -> ir.Table:
    """All overrides of scores, with who made them and why, and which hold.

    Grain: override_id.
    """
    return forced.overrides(overrides, as_of=as_of)


def active_overrides(*, overrides: Sequence[Mapping[str, Any]], as_of: date) -> ir.Table:
    """The overrides that hold on `as_of`: one a customer and score."""
    return forced.in_force(overrides, as_of)


def order_event(orders: ir.Table, *, retention_config: RetentionConfig) -> events.Event:
    """What counts as an order: "order" or "invoice"."""
    return event_for(retention_config, orders)


def order_events(crosswalk: ir.Table, orders: ir.Table, invoices: ir.Table, *, order_event: events.Event) -> ir.Table:
    """The days on which customers ordered, by whichever table counts."""
    return events.order_events(crosswalk, orders, invoices, event=order_event)


def retention_fit(
    order_events: ir.Table, *, order_event: events.Event, fits: Fits, as_of: date, retention_config: RetentionConfig
) -> Retention:
    """The fit that retention is scored by: a recent one, or a new one."""
    return retention_for(fits, order_events, as_of, retention_config, order_event)


def retention_statistics(order_events: ir.Table, *, retention_fit: Retention, as_of: date) -> ir.Table:
    """How often and how recently each customer ordered.

    Grain: customer_id.
    """
    months = retention_fit.contract_months
    return statistics.retention_statistics(order_events, as_of=as_of, contract_months=months)


def retention(
    customers: ir.Table,
    retention_statistics: ir.Table,
    *,
    retention_fit: Retention,
    active_overrides: ir.Table,
    con: backend.Backend,
    as_of: date,
) -> Output:
    """The chance of an order within the horizon, in percent.

    Grain: customer_id.
    """
    fitted = retention_fit
    cells = statistics.cells(retention_statistics, fitted.model).to_pyarrow()
    chances = retention_score.chances(fitted.model, fitted.fit, cells, horizon=fitted.horizon, as_of=as_of)
    scored = retention_score.retention(
        customers,
        retention_statistics,
        backend.table(con, chances),
        as_of=as_of,
        horizon=fitted.horizon,
        version=fitted.version,
        period=fitted.model.period,
    )
    bands = retention_score.BANDS
    return Output(forced.overridden(scored, active_overrides, "retention", bands, "critical"), fitted.notes)


def satisfaction_priors(
    satisfaction_observations: ir.Table, *, fits: Fits, as_of: date, satisfaction_config: SatisfactionConfig
) -> Priors:
    """The portfolio's means that satisfaction is shrunk to: recent ones, or a new fit."""
    return priors_for(fits, satisfaction_observations, as_of, satisfaction_config)


def satisfaction(
    customers: ir.Table,
    satisfaction_observations: ir.Table,
    *,
    satisfaction_priors: Priors,
    active_overrides: ir.Table,
    as_of: date,
) -> Output:
    """How satisfied each customer is, 0 to 100.

    Grain: customer_id.
    """
    priors, bands = satisfaction_priors, satisfaction_score.BANDS
    scored = satisfaction_score.satisfaction(customers, satisfaction_observations, as_of=as_of, priors=priors)
    rows = forced.overridden(scored, active_overrides, "satisfaction", bands, "F")
    return Output(rows, {"priors": priors.version})


def median_revenue(customers: ir.Table, *, fits: Fits, as_of: date) -> float:
    """The median revenue that criteria compare with, in the reporting currency; frozen once it was fitted."""
    return revenue_for(fits, customers, as_of)


def criteria_measures(
    customers: ir.Table,
    crosswalk: ir.Table,
    accounts: ir.Table,
    deals: ir.Table,
    orders: ir.Table,
    tickets: ir.Table,
    invoices: ir.Table,
    payments: ir.Table,
    activities: ir.Table,
    ratings: ir.Table,
    retention: ir.Table,
    satisfaction: ir.Table,
    *,
    criteria: Sequence[Criterion],
    median_revenue: float,
    cost_per_ticket: float,
    cost_per_agent_hour: float,
    as_of: date,
) -> ir.Table:
    """What each criterion measures of each customer, ours and the user's own.

    Grain: customer_id. Raises SettingsError for the SQL of a criterion that its table cannot answer.
    """
    measured = measures.measured(
        customers,
        crosswalk,
        accounts,
        deals,
        tickets,
        invoices,
        payments,
        activities,
        satisfaction,
        as_of=as_of,
        median_revenue=median_revenue,
        cost_per_ticket=cost_per_ticket,
        cost_per_agent_hour=cost_per_agent_hour,
    )
    by_account = {
        "accounts": accounts,
        "deals": deals,
        "orders": orders,
        "tickets": tickets,
        "invoices": invoices,
        "payments": payments,
        "activities": activities,
        "ratings": ratings,
    }
    offered = {name: with_customer(rows, crosswalk) for name, rows in by_account.items()}
    offered |= {"customers": customers, "retention": retention, "satisfaction": satisfaction}
    try:
        return with_own(measured, offered, criteria, as_of=as_of)
    except CriterionError as error:
        raise SettingsError(f"customer model: key_accounts: {error}") from None


def score_days(*, project: Project, con: backend.Backend, as_of: date) -> ScoreDays:
    """The days of the score history before `as_of`."""
    return ScoreDays(project, con, as_of)


def last_scores(score_days: ScoreDays) -> ir.Table:
    """The scores of the last day before `as_of`."""
    return score_days.on(score_days.last)


def compared_scores(score_days: ScoreDays) -> ir.Table:
    """The scores that changes are counted from: of 30 days ago, or the first ones since."""
    return score_days.on(score_days.compared)


def last_tiers(last_scores: ir.Table) -> ir.Table:
    """The tiers of key accounts on the last day before `as_of`."""
    return history.last_tiers(last_scores)


def is_review(*, score_days: ScoreDays, review_months: int, as_of: date) -> bool:
    """Whether tiers may change: a review period has begun since the last day."""
    return review_due(score_days.last, as_of, review_months)
