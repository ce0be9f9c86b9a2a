"""A saved plan: what would be written, field by field, under a digest of all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.kit.errors import ReplyError, SettingsError, choices
from engine.config.project import Project
from engine.storage.manifest import Written
from engine.storage.plans import PlanRow
from schemas.find import model

Row = dict[str, Any]
SCHEMA = pa.schema([pa.field(str(name), pa.string()) for name in model("plan").to_schema().columns])
WRITTEN = ("update", "create", "delete")
HELD_BACK = ("conflict", "ask")
FOLLOWS = "follows"  # in a head's summary: digest of the plan applied before it


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
    """Find a plan by its digest, the beginning of it, or its delivery.

    Raises SettingsError when there is none, or when its file is not what was saved.
    """
    head = project.ledger.plans.newest(asked) if asked in project.deliveries else project.ledger.plans.find(asked)
    if head is None:
        raise SettingsError(
            f"no plan {asked!r}: name a digest that `belvedere plan` printed, or a delivery; "
            f"{choices(asked, project.deliveries)}"
        )
    return load(project, head)


def load(project: Project, head: PlanRow) -> Plan:
    """Load a plan's rows from the lake, proven by the file's sha256 and by the plan's digest.

    Without Arrow's threads: one that lets go of Python's memory while the interpreter ends aborts the process.
    Raises SettingsError when either differs: somebody changed the file, or it was damaged.
    """
    try:
        content = project.lake.content(_recorded(project, head))
    except ReplyError as error:
        raise refused(head, str(error)) from None
    table = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)
    if FOLLOWS in head.summary:
        digest = digest_of(head.delivery, project.ledger.ledger_id, head.summary, table)
        if digest != head.digest:
            raise refused(head, f"the rows in {head.path} have the digest {digest[:12]}, not the plan's")
    return Plan(head.delivery, head.digest, head, table, tuple(head.summary.get("violations", ())))


def digest_of(delivery: str, generation: str, summary: Mapping[str, Any], table: pa.Table) -> str:
    """Return the digest of a plan: of its rows, what they are based on, and the plan applied before.

    So the same change wanted once more is another plan. `generation` names the ledger.
    """
    based_on = [summary.get(name) for name in (FOLLOWS, "basis", "undoes")]
    content = [delivery, generation, *based_on, table.to_pylist()]
    return sha256(msgspec.json.encode(content)).hexdigest()


def refused(head: PlanRow, reason: str) -> SettingsError:
    """Return the error of a plan that may not be applied: which one, why, and what to do."""
    again = (
        f"belvedere undo {head.summary['undoes']}" if head.summary.get("undoes") else f"belvedere plan {head.delivery}"
    )
    return SettingsError(
        f"plan {head.digest[:12]} of delivery {head.delivery!r} is refused, nothing was written: {reason}. "
        f"Make a new plan: {again}"
    )


def _recorded(project: Project, head: PlanRow) -> Written:
    file = project.ledger.files.by_path(head.path)
    if file is None or file.asset != f"plan/{head.delivery}":
        raise refused(head, f"the manifest has no file {head.path} of this delivery")
    return file
