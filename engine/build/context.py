"""What all steps of one build share: its date, its engine, and the tables made so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from time import monotonic
from typing import Any
from uuid import uuid4

import ibis
import ibis.expr.types as ir

from engine.build.active_criteria import criteria_for
from engine.build.reconciliation import Flows
from engine.build.tables import CONFORMED
from engine.config.project import Project
from engine.storage.backend import backend, factory
from engine.storage.table_schema import arrow_schema
from schemas.find import model
from transforms.conform.check import broken, check_result


@dataclass
class TableResult:
    """Say what one table of a build came to. `broken` counts rows of a result that break its schema, by reason."""

    table: str
    rows: int
    seconds: float
    broken: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


class BuildContext:
    """Hold the tables made so far."""

    def __init__(self, project: Project, as_of: date, run_id: str) -> None:
        self.project, self.as_of, self.run_id = project, as_of, run_id
        self.config = project.model
        self.in_force = criteria_for(project.ledger, self.config, as_of)
        self.snapshot = f"{as_of:%Y%m%d}-{uuid4().hex[:12]}"
        self.con = (
            backend.connect() if self.config.engine == "duckdb" else factory.spark(**self.config.spark.model_dump())
        )
        self.tables: dict[str, ir.Table] = {}
        self.facts: dict[str, ir.Table] = {}
        self.flows = Flows(project)
        self.merged: list[ir.Table] = []
        self.aside: list[ir.Table] = []
        self._passing: list[ir.Table] = []

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
        self.tables[table] = backend.read(self.con, [self.project.lake.full(written.path)])
        broken = {} if table in CONFORMED else self._broken(table)
        self.project.ledger.snapshots.add_table(self.snapshot, written, self.run_id)
        return TableResult(table, written.rows, monotonic() - start, broken, dict(notes or {}))

    def _broken(self, table: str) -> dict[str, int]:
        made, schema = self.tables[table], model(table)
        if not backend.row_count(broken(made, schema)):
            return {}
        rows = check_result(made, schema).group_by("reasons").agg(rows=ibis._.count())
        return {row["reasons"]: row["rows"] for row in rows.to_pyarrow().to_pylist()}

    def cached(self, table: ir.Table) -> ir.Table:
        return backend.keep(self.con, table)

    def cached_until_written(self, table: ir.Table) -> ir.Table:
        """Work a table out that is not needed any more once the table it goes into is written: records are large."""
        kept = self.cached(table)
        self._passing.append(kept)
        return kept

    def drop_cached(self) -> None:
        while self._passing:
            backend.forget(self.con, self._passing.pop())

    def previous(self, table: str) -> ir.Table:
        """Read a table of the current build; columns that it did not have yet are null."""
        schema = arrow_schema(table)
        return backend.filled(self.project.lake.read(self.con, table, schema=schema), schema)

    def empty(self, table: str) -> ir.Table:
        return backend.table(self.con, arrow_schema(table).empty_table())
