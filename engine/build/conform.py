"""The conform unit: the streams of all connections become one table a kind; broken rows go to quarantine."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from time import monotonic
from typing import Any

import ibis
import ibis.expr.types as ir

from connectors.kit.stream import Stream
from engine.build.context import BuildContext, TableResult
from engine.build.reconciliation import Flow, landed
from engine.config.connection import Contract
from engine.config.project import Project
from engine.extract.schema_drift import drift
from engine.extract.stored_rows import stored_rows
from engine.storage.backend import backend
from schemas.find import model
from transforms.conform import exchange_rates
from transforms.conform.check import check
from transforms.conform.conform import conform, latest, newest
from transforms.conform.ecb_rates import quotes
from transforms.conform.payload import lacks
from transforms.identity.source_merges import redirects, without_redirected

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


@dataclass
class _Unit:
    """The conform unit at work: what all of its streams put aside."""

    context: BuildContext
    quarantined: list[ir.Table] = field(default_factory=list)
    redirected: list[ir.Table] = field(default_factory=list)


def fx_rates(*, con: backend.Backend, rates: str | None, max_rate_age_days: int, as_of: date) -> ir.Table:
    """The rate of each currency on each day up to `as_of`.

    Grain: rate_on, currency.
    """
    daily = exchange_rates.fx_rates(backend.table(con, quotes(rates)), max_rate_age_days=max_rate_age_days)
    return daily.filter(daily.rate_on <= as_of)


def conform_tables(context: BuildContext, tables: Sequence[str] | None = None) -> Iterator[TableResult]:
    """Make the tables that unite the streams of all connections, the quarantine, and the redirects.

    `tables` are those to unite, by default all that streams feed.
    """
    unit = _Unit(context)
    for table in context.registry.conformed if tables is None else tables:
        yield _conformed_table(unit, table)
    yield context.write("quarantine", _united(context, "quarantine", unit.quarantined))
    for connection, stream in streams_feeding(context.project, None):
        flow = context.flows.of(connection, stream)
        flow.count("landed", landed(_raw_rows(context, connection, stream)))
    yield context.write("redirects", _united(context, "redirects", unit.redirected))


def streams_feeding(project: Project, table: str | None) -> Iterator[tuple[str, Stream]]:
    """Yield the streams that feed a table, each with its connection; None for those that feed none."""
    for connection in project.connections:
        for stream in project.streams(connection):
            if stream.table == table:
                yield connection, stream


def _conformed_table(unit: _Unit, table: str) -> TableResult:
    """Unite the streams that feed one table."""
    start = monotonic()
    parts, notes = [], {}
    for connection, stream in streams_feeding(unit.context.project, table):
        rows, note = _checked_stream(unit, table, connection, stream)
        parts.append(rows)
        notes[f"{connection}/{stream.name}"] = note
    result = unit.context.write(table, _united(unit.context, table, parts), notes=notes)
    unit.context.drop_stored()
    result.seconds = monotonic() - start
    return result


def _checked_stream(unit: _Unit, table: str, connection: str, stream: Stream) -> tuple[ir.Table, dict[str, Any]]:
    """Return the good rows of a stream, with counts of all.

    Where too many rows are broken, the stream keeps its rows of the current snapshot.
    """
    context = unit.context
    settings = context.project.connection(connection)
    raw = _raw_rows(context, connection, stream)
    flow = context.flows.of(connection, stream)
    counted, alive = landed(raw), latest(raw)
    if stream.merges in raw.columns:
        merged = _redirected_rows(unit, flow, raw, counted)
        alive, counted = without_redirected(alive, merged), without_redirected(counted, merged)
    flow.count("landed", counted)
    typed = conformed(context.project, connection, stream, alive)
    if table in MONEY:
        typed = _converted(context, table, typed)
    typed = context.stored_until_written(typed)
    good, accepted, refused = _split(unit, flow, typed, table)
    share = refused / (accepted + refused) if refused else 0.0
    note: dict[str, Any] = {"received": accepted + refused, "accepted": accepted, "quarantined": refused}
    paths = sparse(context.project, connection, stream)
    note |= left_out(connection, stream, alive, typed, paths, settings.contract)
    if share > settings.max_quarantine_share:
        last = context.previous(table)
        last = last.filter(last.connection == connection, last.stream == stream.name)
        note |= {"share": round(share, 4), "kept_last": backend.row_count(last)}
        if note["kept_last"]:  # a first build has no rows to fall back upon
            flow.note("kept", note["kept_last"])
            good = last
    return good, note


def _split(unit: _Unit, flow: Flow, typed: ir.Table, table: str) -> tuple[ir.Table, int, int]:
    """Set broken rows aside; returns the good ones, and how many there are of both."""
    context = unit.context
    split = check(typed, model(table))
    good = context.stored_until_written(split.accepted)
    accepted, refused = flow.count("accepted", good), 0
    if accepted == backend.row_count(typed):
        flow.none("quarantined")
    else:
        broken = context.stored(split.quarantine)
        refused = flow.count("quarantined", broken)
        unit.quarantined.append(broken.drop("_cursor"))
    if "account_id" in good.columns and flow.windows:
        flow.stamped = context.stored(good.select("connection", "account_id", "_cursor"))
    return good.drop("_cursor"), accepted, refused


def _redirected_rows(unit: _Unit, flow: Flow, raw: ir.Table, counted: ir.Table) -> ir.Table:
    """Find what its source has merged into other records, and remember where it went."""
    stream = flow.stream
    targets = redirects(newest(raw), str(stream.merges), connection=flow.connection, stream=stream.name)
    merged = unit.context.stored(targets)
    unit.redirected.append(merged)
    flow.note("redirected", backend.row_count(counted.semi_join(merged, counted._key == merged.record_id)))
    return merged


def _raw_rows(context: BuildContext, connection: str, stream: Stream) -> ir.Table:
    return stored_rows(context.project, context.con, connection, stream)


def _united(context: BuildContext, table: str, parts: Sequence[ir.Table]) -> ir.Table:
    if not parts:
        return context.empty(table)
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _converted(context: BuildContext, table: str, typed: ir.Table) -> ir.Table:
    day, amounts = MONEY[table]
    shared = {
        "fx_rates": context.table("fx_rates"),
        "reporting_currency": context.config.reporting_currency,
        "as_of": context.as_of,
    }
    typed = exchange_rates.convert(typed, date=day, amounts=amounts, **shared)
    if table == "invoices":
        open_amount = {"open_amount": "reporting_open_amount"}
        typed = exchange_rates.convert(typed, date=None, amounts=open_amount, rate=False, **shared)
    return typed


def conformed(project: Project, connection: str, stream: Stream, newest: ir.Table) -> ir.Table:
    """Read the columns of a stream's table from its newest rows, under the connection's contract."""
    return conform(
        newest,
        connection=connection,
        stream=stream.name,
        table=str(stream.table),
        fields=stream.fields,
        nulls=stream.nulls,
        sparse=sparse(project, connection, stream),
        terms=drift.terms(project, connection, stream),
    )


def sparse(project: Project, connection: str, stream: Stream) -> set[str]:
    """Return the mapped paths that some file of the stream has no column for: they are read from the payload."""
    return {*stream.paths} - project.lake.columns(f"raw/{connection}/{stream.name}")


def left_out(
    connection: str,
    stream: Stream,
    newest: ir.Table,
    typed: ir.Table,
    sparse: Collection[str],
    contract: Contract,
) -> dict[str, Any]:
    """Count discarded values by reason, and name the mapped fields that some rows were read without.

    `sparse` are the mapped paths that some file has no column for; nothing else needs a look at the payloads. Where
    only the records tell which fields there are, one without a field may well be whole. `unfit` counts the rows that
    hold what the contract `freeze` would never let in: values that are not of their type.
    """
    discarded = _discarded(typed) if "_discarded" in typed.columns else {}
    paths = [path for path in stream.paths if path in sparse and not path.startswith("_")]
    unread = _unread(connection, stream, newest, paths) if paths and stream.has_schema_api else []
    unfit = backend.row_count(typed.filter(typed._unreadable.notnull())) if contract == "freeze" else 0
    counts = {"discarded": discarded, "unread": unread, "unfit": unfit}
    return {name: count for name, count in counts.items() if count}


def _discarded(typed: ir.Table) -> dict[str, int]:
    single = typed.filter(typed._discarded.notnull()).select(reason=typed._discarded.split("; ").unnest())
    rows = single.group_by("reason").agg(rows=single.count()).order_by("reason").to_pyarrow().to_pylist()
    return {row["reason"]: row["rows"] for row in rows}


def _unread(connection: str, stream: Stream, newest: ir.Table, paths: list[str]) -> list[str]:
    named = {f"n{number}": lacks(newest, path).sum() for number, path in enumerate(paths)}
    row = newest.agg(rows=newest.count(), **named).to_pyarrow().to_pylist()[0]
    return [
        f"{row[f'n{number}']} of {row['rows']} stored rows were read before {path} was requested: "
        f"belvedere extract {connection} --stream {stream.name} --full"
        for number, path in enumerate(paths)
        if row[f"n{number}"]
    ]
