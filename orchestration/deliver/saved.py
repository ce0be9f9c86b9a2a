"""A saved plan: what would be written, field by field, under a digest of all of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.kit.errors import SettingsError, choices
from orchestration.project import Project
from orchestration.storage.plans import PlanRow
from schemas.find import model

Row = dict[str, Any]
SCHEMA = pa.schema([pa.field(str(name), pa.string()) for name in model("plan").to_schema().columns])
WRITTEN = ("update", "create", "delete")
HELD_BACK = ("conflict", "ask")


@dataclass(frozen=True)
class Plan:
    """Hold a saved plan."""

    delivery: str
    digest: str
    head: PlanRow
    table: pa.Table = field(repr=False)
    violations: Sequence[str] = ()

    def rows(self, *actions: str) -> list[Row]:
        """List the planned fields, all or those of some actions."""
        return [row for row in self._rows if not actions or row["action"] in actions]

    @cached_property
    def _rows(self) -> list[Row]:
        rows: list[Row] = self.table.to_pylist()
        return rows

    @property
    def changes(self) -> int:
        """Count the records that would change, be created or deleted."""
        return len({row["record_id"] or row["key"] for row in self.rows(*WRITTEN)})

    @property
    def creates(self) -> int:
        """Count the records that would be created."""
        return len({row["key"] for row in self.rows("create")})

    @property
    def fields(self) -> int:
        """Count the fields that would be written."""
        return len(self.rows(*WRITTEN))

    @property
    def conflicts(self) -> int:
        """Count what is listed and not written, because the target holds something that is not ours to replace."""
        return len(self.rows(*HELD_BACK))

    @property
    def review(self) -> int:
        """Count the records that a person must look at first."""
        return len({row["record_id"] or row["key"] for row in self.rows("review")})

    @property
    def undoes(self) -> str | None:
        """Name the run whose writes this plan would take back."""
        return self.head.summary.get("undoes")

    def summary(self) -> str:
        """Say in a line what the plan holds."""
        if not self.table.num_rows:
            return "nothing to change"
        created, asked = self.creates, len(self.rows("ask"))
        parts = [f"{self.fields} fields of {self.changes} records to write"]
        parts += [f"{created} of them new"] if created else []
        parts += [f"{self.conflicts} conflicts"] if self.conflicts else []
        parts += [f"{asked} of them to decide"] if asked else []
        parts += [f"{self.review} records to review"] if self.review else []
        return ", ".join(parts) + f"; digest {self.digest[:12]}"


def find(project: Project, asked: str) -> Plan:
    """Find a plan by its digest, the beginning of it, or its delivery; raises SettingsError."""
    head = project.ledger.newest_plan(asked) if asked in project.deliveries else project.ledger.plan(asked)
    if head is None:
        raise SettingsError(
            f"no plan {asked!r}: name a digest that `belvedere plan` printed, or a delivery; "
            f"{choices(asked, project.deliveries)}"
        )
    return load(project, head)


def load(project: Project, head: PlanRow) -> Plan:
    """Load a plan's rows from the lake.

    Without Arrow's threads: one that lets go of Python's memory while the interpreter ends aborts the process.
    """
    with project.lake.files.open(project.lake.full(head.path), "rb") as opened:
        rows = pq.ParquetFile(opened, pre_buffer=False).read(use_threads=False)
    return Plan(head.delivery, head.digest, head, rows, tuple(head.summary.get("violations", ())))
