"""The build stage: every table from the newest good raw rows, for one date; no clock, no network, no secret.

All tables of a build become current at once, by one snapshot id, or none does.
"""

from collections.abc import Iterator
from datetime import date

from engine.build.context import BuildContext, TableResult
from engine.build.registry import UnitTable
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.extract.compaction import rewrite
from engine.storage.gc_tuning import sparing_what_stays
from engine.storage.lease import lease


def build(project: Project, as_of: date, run_id: str) -> Iterator[TableResult]:
    """Make all tables as of a date, yielding each as it is written; they become current when the last one is.

    Raises SettingsError for a customer model that makes no sense, LeaseTaken when another build is at work.
    """
    with sparing_what_stays(), lease(project.ledger, "build", run_id):
        context = BuildContext(project, TABLES, as_of, run_id)
        yield from _tables(context)
        project.ledger.snapshots.switch(context.snapshot, as_of, run_id, context.fits.new.values())
        project.ledger.runs.record(run_id, "build", {"snapshot": context.snapshot, "as_of": as_of.isoformat()})
    project.lake.prune(project.model.keep_builds)
    project.lake.sweep()
    for flow in context.flows:
        rewrite(project, flow.connection, flow.stream, flow.counts["landed"][0], run_id)


def _tables(context: BuildContext) -> Iterator[TableResult]:
    """Make the tables of the registry in its order; the function of a unit makes all of its own."""
    done: set[str] = set()
    for name, table in context.registry.tables.items():
        if name in done:
            continue
        results = table.make(context) if isinstance(table, UnitTable) else [context.make(table)]
        for result in results:
            done.add(result.table)
            yield result
