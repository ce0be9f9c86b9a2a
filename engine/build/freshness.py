"""Which tables of the current snapshot are older than a table that they are made of."""

from connectors.kit.errors import ConnectorError
from engine.build.tables import TABLES
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
    landed = project.ledger.snapshots.landing_order(current.id)
    stale: set[str] = set()
    age: dict[str, int] = {}
    for name, table in TABLES.tables.items():
        age[name] = landed.get(f"{name}.{current.as_of}" if table.is_daily else name, 0)
        reads = TABLES.reads(name)
        # A table that came with a newer version is not there yet: the next build makes it.
        if age[name] and (reads & stale or any(age[other] > age[name] for other in reads)):
            stale.add(name)
    return tuple(sorted(stale))


def refuse_stale(project: Project) -> None:
    """Raise StaleTables when a table is stale, with the command that makes it."""
    stale = stale_tables(project)
    if not stale:
        return
    # The day of the history is made along with the tables that read it.
    selection = ",".join(name for name in stale if not TABLES.tables[name].is_daily)
    are = "tables are older than a table that they are" if len(stale) > 1 else "table is older than a table that it is"
    them = "they are" if len(stale) > 1 else "it is"
    raise StaleTables(
        f"{len(stale)} {are} made of: {', '.join(stale)}. Nothing is published or delivered until {them} made: run "
        f"`belvedere build`, or `dagster asset materialize -m orchestration.definitions --select {selection}`"
    )
