"""The first step of a build: the streams of all connections become one table a kind; broken rows go to quarantine."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir

from connectors.kit.stream import Stream
from engine.build.context import BuildContext, TableResult
from engine.build.reconciliation import Flow, landed
from engine.build.tables import CONFORMED
from engine.config.connection import Contract
from engine.config.project import Project
from engine.extract.schema_drift import drift
from engine.extract.stored_rows import stored_rows
from engine.storage.backend import backend
from schemas.find import model
from transforms.conform.check import check
from transforms.conform.conform import conform, latest, newest
from transforms.conform.ecb_rates import quotes
from transforms.conform.exchange_rates import convert, fx_rates
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


def conform_tables(context: BuildContext) -> Iterator[TableResult]:
    """Make the tables that unite the streams of all connections, and the quarantine."""
    listed = quotes(context.config.rates)
    rates = fx_rates(backend.table(context.con, listed), max_rate_age_days=context.config.max_rate_age_days)
    yield context.keep("fx_rates", rates.filter(rates.rate_on <= context.as_of))
    for table in CONFORMED:
        parts, notes = [], {}
        for connection, stream in _streams_feeding(context, table):
            good, note = _check_stream(context, table, connection, stream)
            parts.append(good)
            notes[f"{connection}/{stream.name}"] = note
        united = _united(context, table, parts)
        yield context.keep(table, united, notes=notes)
        context.drop_cached()
    yield context.keep("quarantine", _united(context, "quarantine", context.aside))
    for connection, stream in _streams_feeding(context, None):
        flow = context.flows.of(connection, stream)
        flow.count("landed", landed(_raw_rows(context, connection, stream)))
    yield context.keep("redirects", _united(context, "redirects", context.merged))


def _streams_feeding(context: BuildContext, table: str | None) -> Iterator[tuple[str, Stream]]:
    for connection in context.project.connections:
        for stream in context.project.streams(connection):
            if stream.table == table:
                yield connection, stream


def _check_stream(
    context: BuildContext, table: str, connection: str, stream: Stream
) -> tuple[ir.Table, dict[str, Any]]:
    """Set broken rows aside and give the others; too many, and the stream keeps the rows of the last build."""
    raw = _raw_rows(context, connection, stream)
    flow, here, alive = context.flows.of(connection, stream), landed(raw), latest(raw)
    if stream.merges in raw.columns:
        away = _redirected_rows(context, connection, stream, flow, raw, here)
        alive, here = without_redirected(alive, away), without_redirected(here, away)
    flow.count("landed", here)
    typed = conformed(context.project, connection, stream, alive)
    if table in MONEY:
        typed = _converted(context, table, typed)
    typed = context.cached_until_written(typed)
    split = check(typed, model(table))
    good = context.cached_until_written(split.accepted)
    accepted, refused = flow.count("accepted", good), 0
    if accepted == backend.row_count(typed):
        flow.none("quarantined")
    else:
        bad = context.cached(split.quarantine)
        refused = flow.count("quarantined", bad)
        context.aside.append(bad.drop("_cursor"))
    if "account_id" in good.columns and flow.windows:
        flow.stamped = context.cached(good.select("connection", "account_id", "_cursor"))
    good = good.drop("_cursor")
    share = refused / (accepted + refused) if refused else 0.0
    note: dict[str, Any] = {"received": accepted + refused, "accepted": accepted, "quarantined": refused}
    paths, contract = sparse(context.project, connection, stream), context.project.connection(connection).contract
    note |= left_out(connection, stream, alive, typed, paths, contract)
    if share > context.project.connection(connection).max_quarantine_share:
        last = context.previous(table)
        kept = last.filter(last.connection == connection, last.stream == stream.name)
        note |= {"share": round(share, 4), "kept_last": backend.row_count(kept)}
        if note["kept_last"]:  # on the first night there is nothing to fall back upon
            flow.note("kept", note["kept_last"])
            good = kept
    return good, note


def _redirected_rows(
    context: BuildContext, connection: str, stream: Stream, flow: Flow, raw: ir.Table, here: ir.Table
) -> ir.Table:
    """Find what its source has merged into other records, and remember where it went."""
    away = context.cached(redirects(newest(raw), str(stream.merges), connection=connection, stream=stream.name))
    context.merged.append(away)
    flow.note("redirected", backend.row_count(here.semi_join(away, here._key == away.record_id)))
    return away


def _may_be_short(context: BuildContext, flow: Flow) -> bool:
    """Tell whether a stream was not read to its end, and its connection is not required."""
    return bool(flow.unread) and not context.project.connection(flow.connection).required


def _raw_rows(context: BuildContext, connection: str, stream: Stream) -> ir.Table:
    return stored_rows(context.project, context.con, connection, stream)


def _united(context: BuildContext, table: str, parts: Sequence[ir.Table]) -> ir.Table:
    if not parts:
        return context.empty(table)
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _converted(context: BuildContext, table: str, typed: ir.Table) -> ir.Table:
    day, amounts = MONEY[table]
    shared = {
        "fx_rates": context.tables["fx_rates"],
        "reporting_currency": context.config.reporting_currency,
        "as_of": context.as_of,
    }
    typed = convert(typed, date=day, amounts=amounts, **shared)
    if table == "invoices":
        typed = convert(typed, date=None, amounts={"open_amount": "reporting_open_amount"}, rate=False, **shared)
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
    """Name the paths for which some file has no column: there the payload is looked at."""
    return {*stream.paths} - project.lake.columns(f"raw/{connection}/{stream.name}")


def left_out(
    connection: str,
    stream: Stream,
    newest: ir.Table,
    typed: ir.Table,
    sparse: Collection[str],
    contract: Contract,
) -> dict[str, Any]:
    """Count the values that were discarded, by reason; say in words which mapped fields rows were read without.

    `sparse` are the mapped paths that some file has no column for; nothing else needs a look at the payloads. Where
    only the records tell which fields there are, one without a field may well be whole. `unfit` counts the rows that
    hold what the contract `freeze` would never let in: values that are not of their type.
    """
    discarded = _discarded(typed) if "_discarded" in typed.columns else {}
    asked = [path for path in stream.paths if path in sparse and not path.startswith("_")]
    unread = _unread(connection, stream, newest, asked) if asked and stream.has_schema_api else []
    unfit = backend.row_count(typed.filter(typed._unreadable.notnull())) if contract == "freeze" else 0
    found = {"discarded": discarded, "unread": unread, "unfit": unfit}
    return {name: told for name, told in found.items() if told}


def _discarded(typed: ir.Table) -> dict[str, int]:
    single = typed.filter(typed._discarded.notnull()).select(reason=typed._discarded.split("; ").unnest())
    rows = single.group_by("reason").agg(rows=single.count()).order_by("reason").to_pyarrow().to_pylist()
    return {row["reason"]: row["rows"] for row in rows}


def _unread(connection: str, stream: Stream, newest: ir.Table, asked: list[str]) -> list[str]:
    named = {f"n{number}": lacks(newest, path).sum() for number, path in enumerate(asked)}
    row = newest.agg(rows=newest.count(), **named).to_pyarrow().to_pylist()[0]
    return [
        f"{row[f'n{number}']} of {row['rows']} held rows were read before {path} was asked for: "
        f"belvedere extract {connection} --stream {stream.name} --full"
        for number, path in enumerate(asked)
        if row[f"n{number}"]
    ]
