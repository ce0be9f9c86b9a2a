"""The build beat: every table from the newest good raw rows, for one date; no clock, no network, no secret.

All tables of a build become current at once, by one snapshot id, or none does.
"""

from collections.abc import Iterator, Mapping
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
from orchestration import drift
from orchestration.fitted import priors_for, retention_for, revenue_for
from orchestration.left_out import left_out
from orchestration.project import Project
from orchestration.storage import engine
from orchestration.storage.lease import lease
from schemas.find import model
from schemas.mapping import paths
from transforms.check import check, check_result
from transforms.conform import conform, latest
from transforms.criteria import CriterionError, configured
from transforms.customer_360 import customer_360
from transforms.customers import customers
from transforms.identity import crosswalk, match_suggestions
from transforms.key_accounts import key_account_criteria, key_accounts, review_due
from transforms.measured import measured
from transforms.merged import without_merged
from transforms.quotes import quotes
from transforms.rates import convert, fx_rates
from transforms.retention import retention, retention_statistics
from transforms.satisfaction import satisfaction, satisfaction_observations
from transforms.score_history import score_history

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
    "crosswalk",
    "match_suggestions",
    "customers",
    "retention",
    "satisfaction",
    "key_account_criteria",
    "key_accounts",
    "customer_360",
    "score_history",
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
    with lease(project.ledger, "build", run_id):
        making = _Build(project, as_of, run_id)
        yield from making.conformed()
        yield from making.results()
        project.ledger.switch(making.snapshot, as_of, run_id)
        project.ledger.note_run(run_id, "build", {"snapshot": making.snapshot, "as_of": as_of.isoformat()})
    project.lake.prune(project.model.keep_builds)
    project.lake.sweep()


class _Build:
    """Hold the tables made so far."""

    def __init__(self, project: Project, as_of: date, run_id: str) -> None:
        self.project, self.as_of, self.run_id = project, as_of, run_id
        self.config = project.model
        self.snapshot = f"{as_of:%Y%m%d}-{uuid4().hex[:12]}"
        self.con = engine.connect()
        self.tables: dict[str, ir.Table] = {}

    def conformed(self) -> Iterator[TableResult]:
        """Make the tables that unite the streams of all connections, and the quarantine."""
        listed = quotes(self.config.rates)
        rates = fx_rates(engine.table(self.con, listed), max_rate_age_days=self.config.max_rate_age_days)
        yield self.keep("fx_rates", rates.filter(rates.rate_on <= self.as_of))
        aside: list[ir.Table] = []
        for table in CONFORMED:
            parts, notes = [], {}
            for connection, stream in self._feeding(table):
                good, bad, note = self._checked(table, connection, stream)
                parts.append(good)
                aside.append(bad)
                notes[f"{connection}/{stream.name}"] = note
            united = ibis.union(*parts) if len(parts) > 1 else parts[0] if parts else self._empty(table)
            yield self.keep(table, without_merged(united) if table == "accounts" else united, notes=notes)
        yield self.keep(
            "quarantine",
            ibis.union(*aside) if len(aside) > 1 else aside[0] if aside else self._empty("quarantine"),
        )

    def results(self) -> Iterator[TableResult]:
        """Make customers and their scores."""
        t, as_of, config = self.tables, self.as_of, self.config
        judged = [{name: row[name] for name in JUDGED.names} for row in self.project.ledger.judgements()]
        judgements = engine.table(self.con, pa.Table.from_pylist(judged, JUDGED.to_pyarrow()))
        yield self.keep(
            "crosswalk",
            crosswalk(
                t["accounts"],
                judgements,
                self._previous("crosswalk"),
                as_of=as_of,
                links=config.links,
                max_cluster=config.max_cluster,
            ),
        )
        yield self.keep("match_suggestions", match_suggestions(t["accounts"], t["crosswalk"], judgements))
        united = customers(
            *(
                t[name]
                for name in (
                    "accounts",
                    "crosswalk",
                    "owners",
                    "deals",
                    "orders",
                    "invoices",
                    "tickets",
                    "activities",
                )
            ),
            as_of=as_of,
            reporting_currency=config.reporting_currency,
            survivorship={name: rule.model_dump(exclude_none=True) for name, rule in config.survivorship.items()},
            roles=self.project.roles(),
        )
        yield self.keep("customers", united)
        yield from self._scores()

    def _scores(self) -> Iterator[TableResult]:
        t, as_of, ledger = self.tables, self.as_of, self.project.ledger
        statistics = self._cached(
            retention_statistics(t["crosswalk"], t["orders"], t["invoices"], as_of=as_of, event=self._event())
        )
        fit = retention_for(ledger, statistics, as_of, self.config.retention)
        yield self.keep(
            "retention",
            retention(
                t["customers"],
                statistics,
                engine.table(self.con, fit.lookup),
                as_of=as_of,
                horizon=fit.horizon,
                version=fit.version,
            ),
            notes=fit.notes,
        )
        wanted = self.config.satisfaction
        targets = {"first_reply": wanted.first_reply_minutes, "resolution": wanted.resolution_minutes}
        seen = self._cached(
            satisfaction_observations(t["crosswalk"], t["tickets"], t["ratings"], as_of=as_of, targets=targets)
        )
        priors = priors_for(ledger, seen, as_of, wanted)
        yield self.keep(
            "satisfaction",
            satisfaction(t["customers"], seen, as_of=as_of, priors=priors),
            notes={"priors": priors.version},
        )
        yield from self._key_accounts()
        yield self.keep(
            "customer_360",
            customer_360(t["customers"], t["retention"], t["satisfaction"], t["key_accounts"], as_of=as_of),
        )
        history = self._previous("score_history")
        yield self.keep(
            "score_history",
            score_history(t["retention"], t["satisfaction"], t["key_accounts"], history, as_of=as_of),
        )

    def _key_accounts(self) -> Iterator[TableResult]:
        t, as_of, wanted = self.tables, self.as_of, self.config.key_accounts
        try:
            criteria = configured({name: change.model_dump() for name, change in wanted.criteria.items()})
        except CriterionError as error:
            raise SettingsError(f"customer model: key_accounts: {error}") from None
        values = measured(
            *(
                t[name]
                for name in (
                    "customers",
                    "crosswalk",
                    "accounts",
                    "deals",
                    "tickets",
                    "invoices",
                    "payments",
                    "activities",
                    "satisfaction",
                )
            ),
            as_of=as_of,
            median_revenue=revenue_for(self.project.ledger, t["customers"], as_of),
            cost_per_ticket=wanted.cost_per_ticket,
            cost_per_agent_hour=wanted.cost_per_agent_hour,
        )
        yield self.keep(
            "key_account_criteria",
            key_account_criteria(
                self._cached(values),
                as_of=as_of,
                criteria=criteria,
                missing=wanted.missing,
                overrides=wanted.overrides,
            ),
        )
        previous = self._previous("key_accounts")
        last = previous.agg(last=previous.as_of.max()).to_pyarrow().to_pylist()[0]["last"]
        yield self.keep(
            "key_accounts",
            key_accounts(
                t["key_account_criteria"],
                t["customers"],
                previous,
                as_of=as_of,
                criteria=criteria,
                missing=wanted.missing,
                min_total=wanted.min_total,
                min_coverage=wanted.min_coverage,
                capacity=wanted.capacity,
                is_review=review_due(last, as_of, wanted.review_months),
            ),
        )

    def keep(self, table: str, made: ir.Table, notes: Mapping[str, Any] | None = None) -> TableResult:
        """Write a table in the order of its key, prove it by its schema, and hand it on."""
        start = monotonic()
        schema = model(table).to_schema()
        columns = made.select(*schema.columns).cast(
            {name: column.dtype.type for name, column in schema.columns.items()}
        )
        written = self.project.lake.write(table, columns.order_by(schema.unique or list(schema.columns)), con=self.con)
        self.tables[table] = engine.read(self.con, [self.project.lake.full(written.path)])
        broken = {} if table in CONFORMED else self._broken(table)
        self.project.ledger.stage(self.snapshot, written, self.run_id)
        return TableResult(table, written.rows, monotonic() - start, broken, dict(notes or {}))

    def _broken(self, table: str) -> dict[str, int]:
        rows = check_result(self.tables[table], model(table)).group_by("reasons").agg(rows=ibis._.count())
        return {row["reasons"]: row["rows"] for row in rows.to_pyarrow().to_pylist()}

    def _feeding(self, table: str) -> Iterator[tuple[str, Stream]]:
        for connection in self.project.connections:
            for stream in self.project.streams(connection):
                if stream.table == table:
                    yield connection, stream

    def _checked(self, table: str, connection: str, stream: Stream) -> tuple[ir.Table, ir.Table, dict[str, Any]]:
        """Split a stream's rows; too many broken ones, and the stream keeps the rows of the last build."""
        asset = f"raw/{connection}/{stream.name}"
        raw = self.project.lake.read(self.con, asset, schema=raw_schema(stream))
        newest, sparse = latest(raw), set(paths(stream.fields)) - self.project.lake.columns(asset)
        typed = conform(
            newest,
            connection=connection,
            stream=stream.name,
            table=table,
            fields=stream.fields,
            nulls=stream.nulls,
            sparse=sparse,
            terms=drift.terms(self.project, connection, stream),
        )
        if table in MONEY:
            typed = self._converted(table, typed)
        typed = self._cached(typed)
        split = check(typed, model(table))
        good, bad = self._cached(split.accepted), self._cached(split.quarantine)
        accepted, broken = _count(good), _count(bad)
        share = broken / (accepted + broken) if broken else 0.0
        note: dict[str, Any] = {"received": accepted + broken, "accepted": accepted, "quarantined": broken}
        contract = self.project.connection(connection).contract
        note |= left_out(connection, stream, newest, typed, sparse, contract)
        if share > self.project.connection(connection).max_quarantine_share:
            last = self._previous(table)
            kept = last.filter(last.connection == connection, last.stream == stream.name)
            note |= {"share": round(share, 4), "kept_last": _count(kept)}
            good = kept if note["kept_last"] else good  # on the first night there is nothing to fall back upon
        return good, bad, note

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

    def _event(self) -> Any:
        """Choose what counts as an order: orders where there are any, else invoices."""
        if self.config.retention.event != "auto":
            return self.config.retention.event
        orders = self.tables["orders"]
        return "order" if _count(orders.filter(orders.status == "confirmed")) else "invoice"

    def _cached(self, table: ir.Table) -> ir.Table:
        return engine.keep(self.con, table)

    def _previous(self, table: str) -> ir.Table:
        return self.project.lake.read(self.con, table, schema=_arrow(table))

    def _empty(self, table: str) -> ir.Table:
        return engine.table(self.con, _arrow(table).empty_table())


def _count(table: ir.Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _arrow(table: str) -> pa.Schema:
    columns = model(table).to_schema().columns
    return ibis.schema({name: column.dtype.type for name, column in columns.items()}).to_pyarrow()
