"""Which tables of the current snapshot are older than a table that they are made of."""

from connectors.kit.errors import ConnectorError
from engine.build.own_table import OwnTable
from engine.build.project_registry import registry_of
from engine.config.loader import asset_prefix
from engine.config.project import Project


class StaleTables(ConnectorError):
    """Some tables were made again, and others that are made of them were not."""


def stale_tables(project: Project) -> tuple[str, ...]:
    """Name the tables that must be made again, sorted.

    A build writes a table after those it reads, so a table is stale when a file it is made of
    landed after its own, or is stale itself.
    """
    current = project.ledger.snapshots.current()
    if current is None:
        return ()
    registry = registry_of(project)
    landed = project.ledger.snapshots.landing_order(current.id)
    stale: set[str] = set()
    age: dict[str, int] = {}
    for name, table in registry.tables.items():
        age[name] = landed.get(f"{name}.{current.as_of}" if table.is_daily else name, 0)
        reads = registry.reads(name)
        is_older = reads & stale or any(age[other] > age[name] for other in reads)
        # A table of ours that came with a newer version is not there yet: the next build makes it.
        if (age[name] or isinstance(table, OwnTable)) and is_older:
            stale.add(name)
    return tuple(sorted(stale))


def refuse_stale(project: Project) -> None:
    """Raise StaleTables when a table is stale, with the command that makes it."""
    stale = stale_tables(project)
    if not stale:
        return
    tables = registry_of(project).tables
    # The day of the history is made along with the tables that read it.
    selection = ",".join("/".join([*asset_prefix(), name]) for name in stale if not tables[name].is_daily)
    raise StaleTables(
        f"tables are older than what they are made of: {', '.join(stale)}. Nothing is published or delivered until they are made: run "
        f"`belvedere build`, or `dagster asset materialize -m orchestration.definitions --select {selection}`"
    )
