"""The build stage: every table from the newest good raw rows, for one date; no clock, no network, no secret.

All tables of a build become current at once, by one snapshot id, or none does.
"""

from collections.abc import Iterator
from datetime import date

import ibis
import pyarrow as pa

from engine.build.conform import _may_be_short, conform_tables
from engine.build.context import BuildContext, TableResult
from engine.build.identity import customer_table, identity_tables
from engine.build.portfolio import portfolio_tables
from engine.build.reconciliation import WHOLE
from engine.build.scores import score_tables
from engine.build.tables import CONFORMED
from engine.config.project import Project
from engine.extract.compaction import rewrite
from engine.storage.backend import backend
from engine.storage.gc_tuning import sparing_what_stays
from engine.storage.lease import lease
from engine.storage.table_schema import arrow_schema


def build(project: Project, as_of: date, run_id: str) -> Iterator[TableResult]:
    """Make all tables as of a date, yielding each as it is written; they become current when the last one is.

    Raises SettingsError for a customer model that makes no sense, LeaseHeld when another build is at work.
    """
    with sparing_what_stays(), lease(project.ledger, "build", run_id):
        making = BuildContext(project, as_of, run_id)
        yield from conform_tables(making)
        yield from result_tables(making)
        project.ledger.snapshots.switch(making.snapshot, as_of, run_id)
        project.ledger.runs.record(run_id, "build", {"snapshot": making.snapshot, "as_of": as_of.isoformat()})
    project.lake.prune(project.model.keep_builds)
    project.lake.sweep()
    for flow in making.flows:
        rewrite(project, flow.connection, flow.stream, flow.counts["landed"][0], run_id)


def result_tables(context: BuildContext) -> Iterator[TableResult]:
    """Make customers and their scores."""
    yield from identity_tables(context)
    yield from customer_table(context)
    yield _reconciliation_table(context)
    yield from score_tables(context)
    yield from portfolio_tables(context)


def _reconciliation_table(context: BuildContext) -> TableResult:
    """Count what became of each stream, and keep what earlier builds counted of earlier slices."""
    known = context.cached(context.tables["crosswalk"].select("connection", "account_id"))
    for table in CONFORMED:
        context.flows.count_joined(table, context.tables[table], known)
    rows = context.flows.rows()
    fresh = backend.table(context.con, pa.Table.from_pylist(rows, arrow_schema("reconciliation")))
    earlier = context.previous("reconciliation")
    earlier = earlier.filter(earlier.slice != WHOLE).anti_join(fresh, ["connection", "stream", "slice"])
    open_rows = [row for row in rows if row["gap"]]
    gaps = [f"{row['connection']} {row['stream']} ({row['slice']}): {row['gap']}" for row in open_rows]
    short = {(flow.connection, flow.stream.name) for flow in context.flows if _may_be_short(context, flow)}
    lost = sum((row["connection"], row["stream"]) not in short for row in open_rows)
    return context.keep("reconciliation", ibis.union(fresh, earlier), notes={"gaps": gaps, "lost": lost})
