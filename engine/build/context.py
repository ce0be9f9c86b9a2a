"""One build at work: its date, its engine, its settings, and the tables made so far."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from time import monotonic
from typing import Any
from uuid import uuid4

import ibis
import ibis.expr.types as ir

from connectors.kit.errors import SettingsError
from engine.build.model_parameters import Fits
from engine.build.own_table import OwnTable, broken_keys, normalised
from engine.build.reconciliation import Flows
from engine.build.registry import PREVIOUS, PREVIOUS_OF, Output, Registry, Step, Table
from engine.build.score_history import part_of
from engine.build.settings import build_settings
from engine.config.project import Project
from engine.storage.backend import backend, factory
from engine.storage.manifest import Written
from engine.storage.table_schema import arrow_schema
from schemas.find import model
from transforms.conform.check import broken, check_result
from transforms.customers.as_of_facts import known_on


@dataclass
class TableResult:
    """What came of one table: its rows, and `broken`, the rows that break its schema by reason."""

    table: str
    rows: int
    seconds: float
    broken: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


class BuildContext:
    """Works out the steps of a registry for one date, each once, and writes its tables."""

    def __init__(
        self,
        project: Project,
        registry: Registry,
        as_of: date,
        run_id: str,
        *,
        stale: Collection[str] | None = None,
    ) -> None:
        self.project, self.registry, self.as_of, self.run_id = project, registry, as_of, run_id
        # A subset of the tables is made, and reads the others from the current snapshot.
        self.is_subset = stale is not None
        self._must_be_staged = {*(stale or ())}
        self.config = project.model
        self.snapshot = f"{as_of:%Y%m%d}-{uuid4().hex[:12]}"
        self.con = (
            backend.connect() if self.config.engine == "duckdb" else factory.spark(**self.config.spark.model_dump())
        )
        self.fits = Fits(project.ledger.model_parameters)
        self.flows = Flows(project)
        self.settings = build_settings(project, as_of)
        self.settings |= {"con": self.con, "fits": self.fits, "flows": self.flows}
        self.tables: dict[str, ir.Table] = {}
        self._facts: dict[str, ir.Table] = {}
        self._values: dict[str, Any] = {}
        self._stored_until_written: list[ir.Table] = []

    def make(self, table: Table) -> TableResult:
        """Work out a table and write it."""
        start = monotonic()
        output = self._call(table)
        if not isinstance(output, Output):
            output = Output(output)
        result = self.write(table.name, output.rows, output.notes)
        result.seconds = monotonic() - start
        return result

    def write(self, table: str, rows: ir.Table, notes: Mapping[str, Any] | None = None) -> TableResult:
        """Write a table in the order of its key, check it by its schema, and offer it to later steps."""
        start = monotonic()
        step = self.registry.tables[table]
        ordered = self._ordered(step, rows)
        asset = part_of(self.as_of) if step.is_daily else table
        written = self.project.lake.write(asset, ordered, con=self.con)
        self.tables[table] = backend.read(self.con, [self.project.lake.full(written.path)])
        # Rows of conformed tables were checked one by one on their way into the table.
        reasons = {} if table in self.registry.conformed else self._broken(step)
        if not self.is_subset or table in self._must_be_staged or not self._is_current(written):
            self.project.ledger.snapshots.add_table(self.snapshot, written, self.run_id)
            self._must_be_staged |= self.registry.downstream({table})
        return TableResult(table, written.rows, monotonic() - start, reasons, dict(notes or {}))

    def table(self, name: str) -> ir.Table:
        """Return a table of this build; in a build of a subset also one of the current snapshot.

        Raises SettingsError for a table that the snapshot does not have.
        """
        if name not in self.tables and self.is_subset:
            self.tables[name] = self._from_snapshot(name)
        return self.tables[name]

    def previous(self, table: str) -> ir.Table:
        """Read a table of the current snapshot; columns that it did not have yet are null."""
        schema = arrow_schema(table)
        return backend.filled(self.project.lake.read(self.con, table, schema=schema), schema)

    def empty(self, table: str) -> ir.Table:
        """Return a table without rows."""
        return backend.table(self.con, arrow_schema(table).empty_table())

    def stored(self, table: ir.Table) -> ir.Table:
        """Work a table out once, for several readers."""
        return backend.keep(self.con, table)

    def stored_until_written(self, table: ir.Table) -> ir.Table:
        """Work a table out that can go once the table it goes into is written: records are large."""
        rows = self.stored(table)
        self._stored_until_written.append(rows)
        return rows

    def drop_stored(self) -> None:
        """Give back the memory of what was stored until a table was written."""
        while self._stored_until_written:
            backend.forget(self.con, self._stored_until_written.pop())

    def _call(self, step: Step) -> Any:
        positional = [self._value(name, step) for name in step.positional]
        keywords = {name: self._keyword(named) for name, named in step.keywords.items()}
        return step.make(*positional, **keywords)

    def _value(self, name: str, step: Step) -> Any:
        """Return what a step reads by name."""
        if name == PREVIOUS:
            return self.previous(step.name)
        if name in self.registry.internals:
            return self._internal(name)
        if name not in self.registry.tables:
            return self.previous(name.removeprefix(PREVIOUS_OF))
        return self._fact(name) if step.as_of_facts else self.table(name)

    def _keyword(self, name: str) -> Any:
        return self._internal(name) if name in self.registry.internals else self.settings[name]

    def _internal(self, name: str) -> Any:
        """Work out an internal step, the first time it is read."""
        if name not in self._values:
            step = self.registry.internals[name]
            value = self._call(step)
            is_stored = step.is_stored and isinstance(value, ir.Table)
            self._values[name] = self.stored(value) if is_stored else value
        return self._values[name]

    def _fact(self, name: str) -> ir.Table:
        """Return a table without what happened after `as_of`."""
        if name not in self._facts:
            read = {other: self.table(other) for other in self.registry.facts.get(name, (name,))}
            self._facts[name] = known_on(read, self.as_of)[name]
        return self._facts[name]

    def _from_snapshot(self, name: str) -> ir.Table:
        is_daily = self.registry.tables[name].is_daily
        files = self.project.ledger.files.for_asset(part_of(self.as_of) if is_daily else name)
        if not files:
            raise SettingsError(f"table {name} was never made: run `belvedere build`, which makes all tables")
        if name in self.project.tables:
            return self.project.lake.read_files(self.con, files)
        schema = arrow_schema(name)
        return backend.filled(self.project.lake.read_files(self.con, files, schema), schema)

    def _is_current(self, written: Written) -> bool:
        """Whether the current snapshot has a file with the same bytes: it can stay, and its readers too."""
        return any(file.sha256 == written.sha256 for file in self.project.ledger.files.for_asset(written.asset))

    def _ordered(self, step: Table, rows: ir.Table) -> ir.Table:
        """Give rows the columns and types of their table, in the order of its key."""
        if isinstance(step, OwnTable):
            return normalised(rows).order_by(step.key)
        schema = model(step.name).to_schema()
        types = {name: column.dtype.type for name, column in schema.columns.items()}
        return rows.select(*schema.columns).cast(types).order_by(schema.unique or list(schema.columns))

    def _broken(self, step: Table) -> dict[str, int]:
        """Count the rows that break the rules of their table, by reason."""
        rows = self.tables[step.name]
        if isinstance(step, OwnTable):
            return broken_keys(rows, step.key)
        schema = model(step.name)
        if not backend.row_count(broken(rows, schema)):
            return {}
        counts = check_result(rows, schema).group_by("reasons").agg(rows=ibis._.count())
        return {row["reasons"]: row["rows"] for row in counts.to_pyarrow().to_pylist()}
