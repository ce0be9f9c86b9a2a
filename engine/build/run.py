"""The build stage: every table from the newest good raw rows, for one date; no clock, no network, no secret.

All tables of a build become current at once, by one snapshot id, or none does.
"""

from collections.abc import Collection, Iterator
from datetime import date

from connectors.kit.errors import SettingsError
from engine.build.context import BuildContext, TableResult
from engine.build.freshness import stale_tables
from engine.build.project_registry import prove, registry_of
from engine.build.registry import Registry, UnitTable
from engine.config.project import Project
from engine.extract.compaction import rewrite
from engine.storage.gc_tuning import rare_garbage_collection
from engine.storage.lease import lease


def build(project: Project, as_of: date, run_id: str) -> Iterator[TableResult]:
    """Make all tables as of a date, yielding each as it is written.

    They become current when the last one is. Raises SettingsError for a customer model that makes
    no sense, LeaseTaken when another build is at work.
    """
    with rare_garbage_collection(), lease(project.ledger, "build", run_id):
        registry = registry_of(project)
        prove(project, registry)
        context = BuildContext(project, registry, as_of, run_id)
        yield from _make_tables(context, registry.tables)
    _clean_up(context)


def rebuild(project: Project, tables: Collection[str], run_id: str, as_of: date | None = None) -> Iterator[TableResult]:
    """Make some tables again, from the other tables of the current snapshot and as of its date.

    The tables of a unit, and the day of the history with a table that reads it, are made along.
    What comes out as it was before stays the file that it was. All become current at once; tables
    downstream that were not made are stale (`engine.build.freshness`).
    Raises SettingsError when nothing was built yet or `as_of` is another date than that of the
    snapshot, LeaseTaken when another build is at work.
    """
    with rare_garbage_collection(), lease(project.ledger, "build", run_id):
        current = project.ledger.snapshots.current()
        if current is None:
            raise SettingsError("nothing was built yet: run `belvedere build` first")
        if as_of not in (None, current.as_of):
            raise SettingsError(
                f"some tables are made as of {current.as_of}, the date of the others, not {as_of}: "
                "leave the date out, or make all tables"
            )
        registry = registry_of(project)
        prove(project, registry)
        context = BuildContext(project, registry, current.as_of, run_id, stale=stale_tables(project))
        yield from _make_tables(context, _with_companions(registry, tables))
    _clean_up(context)


def _make_tables(context: BuildContext, wanted: Collection[str]) -> Iterator[TableResult]:
    """Make tables in the registry's order, and let them become current."""
    done: set[str] = set()
    for name, table in context.registry.tables.items():
        if name in done or name not in wanted:
            continue
        # the function of a unit makes all of its tables
        results = table.make(context) if isinstance(table, UnitTable) else [context.make(table)]
        for result in results:
            done.add(result.table)
            yield result
    ledger, snapshot = context.project.ledger, context.snapshot
    ledger.snapshots.switch(snapshot, context.as_of, context.run_id, context.fits.new.values())
    ledger.runs.record(context.run_id, "build", {"snapshot": snapshot, "as_of": context.as_of.isoformat()})


def _with_companions(registry: Registry, tables: Collection[str]) -> set[str]:
    """Add the tables that are only made along with some tables."""
    units = {registry.tables[name].unit for name in tables} - {""}
    wanted = {*tables}.union(*map(registry.in_unit, units))
    read = set[str]().union(*map(registry.reads, wanted))
    return wanted | {name for name in read if registry.tables[name].is_daily}


def _clean_up(context: BuildContext) -> None:
    """Remove files that no snapshot needs any more, and compact the raw rows that were read."""
    project = context.project
    project.lake.prune(project.model.keep_builds)
    project.lake.sweep()
    for flow in context.flows:
        rewrite(project, flow.connection, flow.stream, flow.counts["landed"][0], context.run_id)
