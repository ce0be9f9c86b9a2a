"""The build beat: every table from the newest good raw rows, for one date; no clock, no network, no secret.

All tables of a build become current at once, by one snapshot id, or none does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from time import monotonic
from typing import Any
from uuid import uuid4

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from connectors.kit.errors import SettingsError
from connectors.kit.records import raw_schema
from connectors.kit.stream import Stream
from orchestration.collector import sparing_what_stays
from orchestration.conformed import conformed, sparse
from orchestration.criteria_in_force import criteria_for, criteria_rows
from orchestration.fitted import event_for, priors_for, retention_for, revenue_for
from orchestration.flows import WHOLE, Flow, Flows, landed
from orchestration.history import History, part
from orchestration.left_out import left_out
from orchestration.matching import matches
from orchestration.project import Project
from orchestration.published import arrow_schema
from orchestration.rewrite import rewrite
from orchestration.storage import engine
from orchestration.storage.lease import lease
from schemas.find import model
from transforms.account_executives import account_executives
from transforms.account_managers import account_managers
from transforms.check import broken, check, check_result
from transforms.conform import latest, newest
from transforms.criteria import CriterionError
from transforms.customer_360 import customer_360
from transforms.customer_redirects import customer_redirects
from transforms.customers import customers
from transforms.handovers import first_wins, handovers
from transforms.identity import crosswalk, match_suggestions
from transforms.joins import with_customer
from transforms.key_accounts import key_accounts
from transforms.known import known_on
from transforms.match_keys import match_keys
from transforms.measured import measured
from transforms.merged import redirects, without_redirected
from transforms.order_events import Event, order_events
from transforms.overrides import in_force, overridden, overrides
from transforms.own_criteria import with_own
from transforms.ownership import ownership
from transforms.people import holders
from transforms.portfolio import cohorts, standings
from transforms.quotes import quotes
from transforms.rates import convert, fx_rates
from transforms.regions import regions
from transforms.reminders import reminders
from transforms.retention import BANDS as RETENTION_BANDS
from transforms.retention import chances, retention
from transforms.retention_statistics import cells, retention_statistics
from transforms.satisfaction import BANDS as SATISFACTION_BANDS
from transforms.satisfaction import satisfaction, satisfaction_observations
from transforms.score_alerts import score_alerts
from transforms.score_changes import LABELS
from transforms.score_history import last_tiers, score_history
from transforms.scored import key_account_criteria
from transforms.sensitivity import key_account_sensitivity
from transforms.tiers import review_due

CONFORMED = (
    "accounts",
    "owners",
    "deals",
    "orders",
    "invoices",
    "payments",
    "tickets",
    "activities",
    "ratings",
)
RESULTS = (
    "fx_rates",
    "quarantine",
    "redirects",
    "crosswalk",
    "customer_redirects",
    "match_suggestions",
    "customers",
    "reconciliation",
    "retention",
    "satisfaction",
    "criteria",
    "overrides",
    "key_account_criteria",
    "key_accounts",
    "key_account_sensitivity",
    "customer_360",
    "score_history",
    "ownership",
    "handovers",
    "account_managers",
    "regions",
    "account_executives",
    "score_alerts",
    "reminders",
)
# table: the date whose rate counts, and which amounts are converted
MONEY: Mapping[str, tuple[str | None, Mapping[str, str]]] = {
    "deals": ("close_on", {"amount": "reporting_amount"}),
    "orders": ("ordered_on", {"amount": "reporting_amount"}),
    "payments": ("paid_on", {"amount": "reporting_amount"}),
    "invoices": (
        "invoice_on",
        {"net_amount": "reporting_net_amount", "cost_amount": "reporting_cost_amount"},
    ),
}
SCORED = ("retention", "satisfaction", "key_accounts", "key_account_criteria")
JUDGED = ibis.schema(
    dict.fromkeys(("left_connection", "left_account_id", "right_connection", "right_account_id", "verdict"), "string")
)


@dataclass
class TableResult:
    """Say what one table of a build came to. `broken` counts rows of a result that break its schema, by reason."""

    table: str
    rows: int
    seconds: float
    broken: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def build(project: Project, as_of: date, run_id: str) -> Iterator[TableResult]:
    """Make all tables as of a date, yielding each as it is written; they become current when the last one is.

    Raises SettingsError for a customer model that makes no sense, LeaseHeld when another build is at work.
    """
    with sparing_what_stays(), lease(project.ledger, "build", run_id):
        making = Build(project, as_of, run_id)
        yield from making.conformed()
        yield from making.results()
        project.ledger.switch(making.snapshot, as_of, run_id)
        project.ledger.note_run(run_id, "build", {"snapshot": making.snapshot, "as_of": as_of.isoformat()})
    project.lake.prune(project.model.keep_builds)
    project.lake.sweep()
    for flow in making.flows:
        rewrite(project, flow.connection, flow.stream, flow.counts["landed"][0], run_id)


class Build:
    """Hold the tables made so far."""

    def __init__(self, project: Project, as_of: date, run_id: str) -> None:
        self.project, self.as_of, self.run_id = project, as_of, run_id
        self.config = project.model
        self.in_force = criteria_for(project.ledger, self.config, as_of)
        self.snapshot = f"{as_of:%Y%m%d}-{uuid4().hex[:12]}"
        self.con = (
            engine.connect() if self.config.engine == "duckdb" else engine.spark(**self.config.spark.model_dump())
        )
        self.tables: dict[str, ir.Table] = {}
        self.facts: dict[str, ir.Table] = {}
        self.flows = Flows(project)
        self.merged: list[ir.Table] = []
        self.aside: list[ir.Table] = []
        self._passing: list[ir.Table] = []

    def conformed(self) -> Iterator[TableResult]:
        """Make the tables that unite the streams of all connections, and the quarantine."""
        listed = quotes(self.config.rates)
        rates = fx_rates(engine.table(self.con, listed), max_rate_age_days=self.config.max_rate_age_days)
        yield self.keep("fx_rates", rates.filter(rates.rate_on <= self.as_of))
        for table in CONFORMED:
            parts, notes = [], {}
            for connection, stream in self._feeding(table):
                good, note = self._checked(table, connection, stream)
                parts.append(good)
                notes[f"{connection}/{stream.name}"] = note
            united = self._united(table, parts)
            yield self.keep(table, united, notes=notes)
            self._forget()
        yield self.keep("quarantine", self._united("quarantine", self.aside))
        for connection, stream in self._feeding(None):
            flow = self.flows.of(connection, stream)
            flow.count("landed", landed(self._raw(connection, stream)))
        yield self.keep("redirects", self._united("redirects", self.merged))

    def results(self) -> Iterator[TableResult]:
        """Make customers and their scores."""
        yield from self._identity()
        yield from self.customers()
        yield self._reconciliation()
        yield from self.scores()
        yield from self._portfolio()

    def customers(self) -> Iterator[TableResult]:
        """Make one row a customer from what was known on the day."""
        config = self.config
        self.facts = known_on({name: self.tables[name] for name in (*CONFORMED, "crosswalk")}, self.as_of)
        reads = ("accounts", "crosswalk", "owners", "deals", "orders", "invoices", "tickets", "activities")
        united = customers(
            *(self.facts[name] for name in reads),
            as_of=self.as_of,
            reporting_currency=config.reporting_currency,
            survivorship={name: rule.model_dump(exclude_none=True) for name, rule in config.survivorship.items()},
            roles=self.project.roles(),
        )
        yield self.keep("customers", united)

    def _identity(self) -> Iterator[TableResult]:
        """Find out which accounts are one customer, and which may be."""
        t, config = self.tables, self.config
        judged = [{name: row[name] for name in JUDGED.names} for row in self.project.ledger.judgements()]
        judgements = engine.table(self.con, pa.Table.from_pylist(judged, JUDGED.to_pyarrow()))
        keys, previous = self._cached(match_keys(t["accounts"])), self._previous("crosswalk")
        probable = matches(self.con, keys, self.project.ledger, self.as_of, config.matching)
        found = crosswalk(
            t["accounts"],
            judgements,
            previous,
            as_of=self.as_of,
            links=config.links,
            max_cluster=config.max_cluster,
            keys=keys,
            likely=probable.joining,
        )
        yield self.keep("crosswalk", found, notes=probable.notes)
        redirected = customer_redirects(t["crosswalk"], previous, self._previous("customer_redirects"))
        yield self.keep("customer_redirects", redirected)
        suggested = match_suggestions(
            t["accounts"],
            t["crosswalk"],
            judgements,
            keys=keys,
            likely=ibis.union(probable.joining, probable.suggested),
        )
        yield self.keep("match_suggestions", suggested)

    def scores(self) -> Iterator[TableResult]:
        """Score the customers, and take the scores down in the history."""
        t, f, as_of, ledger = self.tables, self.facts, self.as_of, self.project.ledger
        rows = criteria_rows(self.in_force, self.config, as_of, arrow_schema("criteria"))
        yield self.keep("criteria", engine.table(self.con, rows))
        yield self.keep("overrides", overrides(self.in_force.overrides, as_of=as_of))
        forced = in_force(self.in_force.overrides, as_of)
        yield self._retention(forced)
        wanted = self.config.satisfaction
        targets = {"first_reply": wanted.first_reply_minutes, "resolution": wanted.resolution_minutes}
        seen = self._cached(
            satisfaction_observations(f["crosswalk"], f["tickets"], f["ratings"], as_of=as_of, targets=targets)
        )
        priors = priors_for(ledger, seen, as_of, wanted)
        scored = satisfaction(t["customers"], seen, as_of=as_of, priors=priors)
        yield self.keep(
            "satisfaction",
            overridden(scored, forced, "satisfaction", SATISFACTION_BANDS, "F"),
            notes={"priors": priors.version},
        )
        history = History(self.project, self.con, as_of)
        yield from self._key_accounts(history)
        yield self.keep("score_history", self._history(history), part=part(as_of))
        yield self.keep(
            "customer_360", customer_360(t["customers"], t["key_accounts"], t["score_history"], as_of=as_of)
        )

    def _history(self, history: History) -> ir.Table:
        scored = (self.tables[name] for name in SCORED)
        return score_history(
            *scored,
            history.on(history.last),
            history.on(history.compared),
            as_of=self.as_of,
            labels=LABELS | {one.name.upper(): one.label for one in self.in_force.criteria},
            most=max(len(LABELS), len(self.in_force.criteria)),
        )

    def _retention(self, forced: Any) -> TableResult:
        f, as_of, event = self.facts, self.as_of, self._event()
        events = self._cached(order_events(f["crosswalk"], f["orders"], f["invoices"], event=event))
        fitted = retention_for(self.project.ledger, events, as_of, self.config.retention, event)
        statistics = self._cached(retention_statistics(events, as_of=as_of, contract_months=fitted.contract_months))
        known = cells(statistics, fitted.model).to_pyarrow()
        told = chances(fitted.model, fitted.fit, known, horizon=fitted.horizon, as_of=as_of)
        scored = retention(
            self.tables["customers"],
            statistics,
            engine.table(self.con, told),
            as_of=as_of,
            horizon=fitted.horizon,
            version=fitted.version,
            period=fitted.model.period,
        )
        scored = overridden(scored, forced, "retention", RETENTION_BANDS, "critical")
        return self.keep("retention", scored, notes=fitted.notes)

    def _key_accounts(self, history: History) -> Iterator[TableResult]:
        t, as_of, wanted, held = self.tables, self.as_of, self.config.key_accounts, self.in_force
        yield self.keep(
            "key_account_criteria",
            key_account_criteria(
                self._cached(self._measured()),
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
        yield self.keep(
            "key_accounts", key_accounts(*scored, last_tiers(history.on(history.last)), **ranking, **review)
        )
        yield self.keep("key_account_sensitivity", key_account_sensitivity(*scored, **ranking))

    def _measured(self) -> ir.Table:
        """Measure what the criteria ask for, ours and the user's own."""
        t, wanted = self.tables, self.config.key_accounts
        reads = ("customers", "crosswalk", "accounts", "deals", "tickets", "invoices", "payments", "activities")
        values = measured(
            *(self.facts.get(name, t.get(name)) for name in (*reads, "satisfaction")),
            as_of=self.as_of,
            median_revenue=revenue_for(self.project.ledger, t["customers"], self.as_of),
            cost_per_ticket=wanted.cost_per_ticket,
            cost_per_agent_hour=wanted.cost_per_agent_hour,
        )
        owned = {
            name: with_customer(t, self.tables["crosswalk"])
            for name, t in self.facts.items()
            if "account_id" in t.columns and name != "crosswalk"
        }
        about = {name: t[name] for name in ("customers", "retention", "satisfaction")}
        try:
            return with_own(values, owned | about, self.in_force.criteria, as_of=self.as_of)
        except CriterionError as error:
            raise SettingsError(f"customer model: key_accounts: {error}") from None

    def _portfolio(self) -> Iterator[TableResult]:
        """Make the tables of those who look after customers."""
        t, as_of, config = self.tables, self.as_of, self.config
        members, dealt = (with_customer(t[name], self.tables["crosswalk"]) for name in ("accounts", "deals"))
        seen = self._cached(holders(members, dealt, t["owners"], self.project.roles()))
        yield self.keep("ownership", ownership(t["customers"], seen, self._previous("ownership"), as_of=as_of))
        wins = self._cached(first_wins(*(t[name] for name in ("crosswalk", "deals", "orders", "invoices")), as_of))
        reads = ("customers", "crosswalk", "owners", "deals", "orders", "invoices", "activities", "ownership")
        made = handovers(*(t[name] for name in reads), as_of=as_of, days=config.handover_days, wins=wins)
        yield self.keep("handovers", made)
        reads = (
            *("customers", "crosswalk", "deals", "invoices", "activities", "retention"),
            *("key_accounts", "score_history", "ownership", "handovers"),
        )
        wanted = config.reminders.model_dump()
        yield from self._judged(wanted["cadence_days"], wins)
        yield self.keep("reminders", reminders(*(t[name] for name in reads), as_of=as_of, **wanted))

    def _judged(self, cadence_days: Mapping[str, int], wins: ir.Table) -> Iterator[TableResult]:
        """Make the tables by which portfolios are judged, and the alerts."""
        t, as_of = self.tables, self.as_of
        reads = ("customers", "crosswalk", "invoices", "ownership")
        kept = self._cached(cohorts(*(t[name] for name in reads), as_of=as_of))
        reads = ("customers", "crosswalk", "tickets", "activities", "retention", "satisfaction", "key_accounts")
        made = standings(*(t[name] for name in (*reads, "ownership")), as_of=as_of, cadence_days=cadence_days)
        now = self._cached(made)
        yield self.keep("account_managers", account_managers(kept, now, t["handovers"], as_of=as_of))
        yield self.keep("regions", regions(kept, now, as_of=as_of))
        reads = ("crosswalk", "owners", "deals", "orders", "invoices", "handovers")
        yield self.keep("account_executives", account_executives(*(t[name] for name in reads), as_of=as_of, wins=wins))
        alerts = score_alerts(t["score_history"], t["customers"], self._previous("score_alerts"), as_of=as_of)
        yield self.keep("score_alerts", alerts)

    def keep(
        self, table: str, made: ir.Table, notes: Mapping[str, Any] | None = None, part: str | None = None
    ) -> TableResult:
        """Write a table, or a part of one, in the order of its key, prove it by its schema, and hand it on."""
        start = monotonic()
        schema = model(table).to_schema()
        columns = made.select(*schema.columns).cast(
            {name: column.dtype.type for name, column in schema.columns.items()}
        )
        written = self.project.lake.write(
            part or table, columns.order_by(schema.unique or list(schema.columns)), con=self.con
        )
        self.tables[table] = engine.read(self.con, [self.project.lake.full(written.path)])
        broken = {} if table in CONFORMED else self._broken(table)
        self.project.ledger.stage(self.snapshot, written, self.run_id)
        return TableResult(table, written.rows, monotonic() - start, broken, dict(notes or {}))

    def _broken(self, table: str) -> dict[str, int]:
        made, schema = self.tables[table], model(table)
        if not engine.row_count(broken(made, schema)):
            return {}
        rows = check_result(made, schema).group_by("reasons").agg(rows=ibis._.count())
        return {row["reasons"]: row["rows"] for row in rows.to_pyarrow().to_pylist()}

    def _feeding(self, table: str | None) -> Iterator[tuple[str, Stream]]:
        for connection in self.project.connections:
            for stream in self.project.streams(connection):
                if stream.table == table:
                    yield connection, stream

    def _checked(self, table: str, connection: str, stream: Stream) -> tuple[ir.Table, dict[str, Any]]:
        """Set broken rows aside and give the others; too many, and the stream keeps the rows of the last build."""
        raw = self._raw(connection, stream)
        flow, here, alive = self.flows.of(connection, stream), landed(raw), latest(raw)
        if stream.merges in raw.columns:
            away = self._redirected(connection, stream, flow, raw, here)
            alive, here = without_redirected(alive, away), without_redirected(here, away)
        flow.count("landed", here)
        typed = conformed(self.project, connection, stream, alive)
        if table in MONEY:
            typed = self._converted(table, typed)
        typed = self._for_now(typed)
        split = check(typed, model(table))
        good = self._for_now(split.accepted)
        accepted, refused = flow.count("accepted", good), 0
        if accepted == engine.row_count(typed):
            flow.none("quarantined")
        else:
            bad = self._cached(split.quarantine)
            refused = flow.count("quarantined", bad)
            self.aside.append(bad.drop("_cursor"))
        if "account_id" in good.columns and flow.windows:
            flow.stamped = self._cached(good.select("connection", "account_id", "_cursor"))
        good = good.drop("_cursor")
        share = refused / (accepted + refused) if refused else 0.0
        note: dict[str, Any] = {"received": accepted + refused, "accepted": accepted, "quarantined": refused}
        paths, contract = sparse(self.project, connection, stream), self.project.connection(connection).contract
        note |= left_out(connection, stream, alive, typed, paths, contract)
        if share > self.project.connection(connection).max_quarantine_share:
            last = self._previous(table)
            kept = last.filter(last.connection == connection, last.stream == stream.name)
            note |= {"share": round(share, 4), "kept_last": engine.row_count(kept)}
            if note["kept_last"]:  # on the first night there is nothing to fall back upon
                flow.note("kept", note["kept_last"])
                good = kept
        return good, note

    def _redirected(self, connection: str, stream: Stream, flow: Flow, raw: ir.Table, here: ir.Table) -> ir.Table:
        """Find what its source has merged into other records, and remember where it went."""
        away = self._cached(redirects(newest(raw), str(stream.merges), connection=connection, stream=stream.name))
        self.merged.append(away)
        flow.note("redirected", engine.row_count(here.semi_join(away, here._key == away.record_id)))
        return away

    def _reconciliation(self) -> TableResult:
        """Count what became of each stream, and keep what earlier builds counted of earlier slices."""
        known = self._cached(self.tables["crosswalk"].select("connection", "account_id"))
        for table in CONFORMED:
            self.flows.count_joined(table, self.tables[table], known)
        rows = self.flows.rows()
        fresh = engine.table(self.con, pa.Table.from_pylist(rows, arrow_schema("reconciliation")))
        earlier = self._previous("reconciliation")
        earlier = earlier.filter(earlier.slice != WHOLE).anti_join(fresh, ["connection", "stream", "slice"])
        open_rows = [row for row in rows if row["gap"]]
        gaps = [f"{row['connection']} {row['stream']} ({row['slice']}): {row['gap']}" for row in open_rows]
        short = {(flow.connection, flow.stream.name) for flow in self.flows if self._may_be_short(flow)}
        lost = sum((row["connection"], row["stream"]) not in short for row in open_rows)
        return self.keep("reconciliation", ibis.union(fresh, earlier), notes={"gaps": gaps, "lost": lost})

    def _may_be_short(self, flow: Flow) -> bool:
        """Tell whether a stream was not read to its end, and its connection is not required."""
        return bool(flow.unread) and not self.project.connection(flow.connection).required

    def _raw(self, connection: str, stream: Stream) -> ir.Table:
        return self.project.lake.read(self.con, f"raw/{connection}/{stream.name}", schema=raw_schema(stream))

    def _united(self, table: str, parts: Sequence[ir.Table]) -> ir.Table:
        if not parts:
            return self._empty(table)
        return ibis.union(*parts) if len(parts) > 1 else parts[0]

    def _converted(self, table: str, typed: ir.Table) -> ir.Table:
        day, amounts = MONEY[table]
        shared = {
            "fx_rates": self.tables["fx_rates"],
            "reporting_currency": self.config.reporting_currency,
            "as_of": self.as_of,
        }
        typed = convert(typed, date=day, amounts=amounts, **shared)
        if table == "invoices":
            typed = convert(typed, date=None, amounts={"open_amount": "reporting_open_amount"}, rate=False, **shared)
        return typed

    def _event(self) -> Event:
        return event_for(self.config.retention, self.facts["orders"])

    def _cached(self, table: ir.Table) -> ir.Table:
        return engine.keep(self.con, table)

    def _for_now(self, table: ir.Table) -> ir.Table:
        """Work a table out that is not needed any more once the table it goes into is written: records are large."""
        kept = self._cached(table)
        self._passing.append(kept)
        return kept

    def _forget(self) -> None:
        while self._passing:
            engine.forget(self.con, self._passing.pop())

    def _previous(self, table: str) -> ir.Table:
        """Read a table of the current build; columns that it did not have yet are null."""
        schema = arrow_schema(table)
        return engine.filled(self.project.lake.read(self.con, table, schema=schema), schema)

    def _empty(self, table: str) -> ir.Table:
        return engine.table(self.con, arrow_schema(table).empty_table())
