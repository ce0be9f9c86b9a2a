"""The third step of a build: retention, satisfaction, key accounts and the history of scores."""

from collections.abc import Iterator
from typing import Any

import ibis.expr.types as ir

from connectors.kit.errors import SettingsError
from engine.build.active_criteria import criteria_rows
from engine.build.context import BuildContext, TableResult
from engine.build.model_parameters import event_for, priors_for, retention_for, revenue_for
from engine.build.score_history import History, part
from engine.build.tables import SCORED
from engine.storage.backend import backend
from engine.storage.table_schema import arrow_schema
from transforms.customers.customer_360 import customer_360
from transforms.joins import with_customer
from transforms.scores.criteria import CriterionError
from transforms.scores.criteria_measures import measured
from transforms.scores.criteria_scores import key_account_criteria
from transforms.scores.custom_criteria import with_own
from transforms.scores.key_accounts import key_accounts
from transforms.scores.order_events import Event, order_events
from transforms.scores.overrides import in_force, overridden, overrides
from transforms.scores.retention import BANDS as RETENTION_BANDS
from transforms.scores.retention import chances, retention
from transforms.scores.retention_statistics import cells, retention_statistics
from transforms.scores.satisfaction import BANDS as SATISFACTION_BANDS
from transforms.scores.satisfaction import satisfaction, satisfaction_observations
from transforms.scores.score_changes import LABELS
from transforms.scores.score_history import last_tiers, score_history
from transforms.scores.sensitivity import key_account_sensitivity
from transforms.scores.tiers import review_due


def score_tables(context: BuildContext) -> Iterator[TableResult]:
    """Score the customers, and take the scores down in the history."""
    t, f, as_of, ledger = context.tables, context.facts, context.as_of, context.project.ledger
    rows = criteria_rows(context.in_force, context.config, as_of, arrow_schema("criteria"))
    yield context.keep("criteria", backend.table(context.con, rows))
    yield context.keep("overrides", overrides(context.in_force.overrides, as_of=as_of))
    forced = in_force(context.in_force.overrides, as_of)
    yield _retention_table(context, forced)
    wanted = context.config.satisfaction
    targets = {"first_reply": wanted.first_reply_minutes, "resolution": wanted.resolution_minutes}
    seen = context.cached(
        satisfaction_observations(f["crosswalk"], f["tickets"], f["ratings"], as_of=as_of, targets=targets)
    )
    priors = priors_for(ledger, seen, as_of, wanted)
    scored = satisfaction(t["customers"], seen, as_of=as_of, priors=priors)
    yield context.keep(
        "satisfaction",
        overridden(scored, forced, "satisfaction", SATISFACTION_BANDS, "F"),
        notes={"priors": priors.version},
    )
    history = History(context.project, context.con, as_of)
    yield from _key_account_tables(context, history)
    yield context.keep("score_history", _history_rows(context, history), part=part(as_of))
    yield context.keep("customer_360", customer_360(t["customers"], t["key_accounts"], t["score_history"], as_of=as_of))


def _history_rows(context: BuildContext, history: History) -> ir.Table:
    scored = (context.tables[name] for name in SCORED)
    return score_history(
        *scored,
        history.on(history.last),
        history.on(history.compared),
        as_of=context.as_of,
        labels=LABELS | {one.name.upper(): one.label for one in context.in_force.criteria},
        most=max(len(LABELS), len(context.in_force.criteria)),
    )


def _retention_table(context: BuildContext, forced: Any) -> TableResult:
    f, as_of, event = context.facts, context.as_of, _retention_event(context)
    events = context.cached(order_events(f["crosswalk"], f["orders"], f["invoices"], event=event))
    fitted = retention_for(context.project.ledger, events, as_of, context.config.retention, event)
    statistics = context.cached(retention_statistics(events, as_of=as_of, contract_months=fitted.contract_months))
    known = cells(statistics, fitted.model).to_pyarrow()
    told = chances(fitted.model, fitted.fit, known, horizon=fitted.horizon, as_of=as_of)
    scored = retention(
        context.tables["customers"],
        statistics,
        backend.table(context.con, told),
        as_of=as_of,
        horizon=fitted.horizon,
        version=fitted.version,
        period=fitted.model.period,
    )
    scored = overridden(scored, forced, "retention", RETENTION_BANDS, "critical")
    return context.keep("retention", scored, notes=fitted.notes)


def _key_account_tables(context: BuildContext, history: History) -> Iterator[TableResult]:
    t, as_of, wanted, held = context.tables, context.as_of, context.config.key_accounts, context.in_force
    yield context.keep(
        "key_account_criteria",
        key_account_criteria(
            context.cached(_measured_criteria(context)),
            as_of=as_of,
            criteria=held.criteria,
            missing=held.missing,
            overrides=held.overrides,
        ),
    )
    ranking: dict[str, Any] = {
        "as_of": as_of,
        "criteria": held.criteria,
        "missing": held.missing,
        "overrides": held.overrides,
        "min_total": wanted.min_total,
        "min_coverage": wanted.min_coverage,
        "capacity": wanted.capacity,
    }
    scored = (t["key_account_criteria"], t["customers"])
    review = {
        "is_review": review_due(history.last, as_of, wanted.review_months),
        "review_months": wanted.review_months,
    }
    yield context.keep("key_accounts", key_accounts(*scored, last_tiers(history.on(history.last)), **ranking, **review))
    yield context.keep("key_account_sensitivity", key_account_sensitivity(*scored, **ranking))


def _measured_criteria(context: BuildContext) -> ir.Table:
    """Measure what the criteria ask for, ours and the user's own."""
    t, wanted = context.tables, context.config.key_accounts
    reads = ("customers", "crosswalk", "accounts", "deals", "tickets", "invoices", "payments", "activities")
    values = measured(
        *(context.facts.get(name, t.get(name)) for name in (*reads, "satisfaction")),
        as_of=context.as_of,
        median_revenue=revenue_for(context.project.ledger, t["customers"], context.as_of),
        cost_per_ticket=wanted.cost_per_ticket,
        cost_per_agent_hour=wanted.cost_per_agent_hour,
    )
    owned = {
        name: with_customer(t, context.tables["crosswalk"])
        for name, t in context.facts.items()
        if "account_id" in t.columns and name != "crosswalk"
    }
    about = {name: t[name] for name in ("customers", "retention", "satisfaction")}
    try:
        return with_own(values, owned | about, context.in_force.criteria, as_of=context.as_of)
    except CriterionError as error:
        raise SettingsError(f"customer model: key_accounts: {error}") from None


def _retention_event(context: BuildContext) -> Event:
    return event_for(context.config.retention, context.facts["orders"])
