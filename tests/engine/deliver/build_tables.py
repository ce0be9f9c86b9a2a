"""Tables of a build that a test writes down, in a project that loses no time on the disk."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import ibis
import pyarrow as pa
from sqlalchemy import event

from engine.build.tables import TABLES
from engine.config.project import Project
from engine.storage.ledger import Ledger
from schemas.find import model

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AS_OF = date(2026, 3, 1)
Rows = Sequence[Mapping[str, Any]]


def write_build(project: Project, snapshot: str, tables: Mapping[str, Rows]) -> None:
    """Make a build of these rows, in the order of a build; what a row does not say is filled up."""
    wanted = {"customers", "accounts", "crosswalk", *tables}
    for name in [name for name in TABLES.tables if name in wanted]:
        columns = {str(key): value.dtype.type for key, value in model(name).to_schema().columns.items()}
        nullable = {str(key) for key, value in model(name).to_schema().columns.items() if value.nullable}
        rows = [
            {key: row.get(key, None if key in nullable else _filler(kind)) for key, kind in columns.items()}
            for row in tables.get(name, ())
        ]
        file = project.lake.write(name, pa.Table.from_pylist(rows, ibis.schema(columns).to_pyarrow()))
        project.ledger.snapshots.add_table(snapshot, file, snapshot)
    project.ledger.snapshots.switch(snapshot, AS_OF, snapshot)


def skip_fsync(ledger: Ledger) -> None:
    """Let a ledger not wait for the disk: no test cuts the power."""

    @event.listens_for(ledger.engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    ledger.engine.dispose()


def _filler(kind: Any) -> Any:
    if kind.is_string():
        return "x"
    if kind.is_boolean():
        return False
    if kind.is_date():
        return AS_OF
    return NOON if kind.is_timestamp() else 0
