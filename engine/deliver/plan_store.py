"""Saved plans: what would be written, field by field, under a digest of all of it."""

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
from engine.deliver.guards import plural
from engine.storage.manifest import Written
from engine.storage.stores.plans import PlanRow
from schemas.find import model

Row = dict[str, Any]
SCHEMA = pa.schema([pa.field(str(name), pa.string()) for name in model("plan").to_schema().columns])
WRITTEN = ("update", "create", "delete")
HELD_BACK = ("conflict", "ask")
FOLLOWS = "follows"  # in a head's summary: digest of the plan applied before it


@dataclass(frozen=True)
class Plan:
    """A saved plan. `head` is its row in the ledger, `table` its rows from the lake."""

    delivery: str
    digest: str
    head: PlanRow
    table: pa.Table = field(repr=False)
    violations: Sequence[str] = ()

    def rows(self, *actions: str) -> list[Row]:
        """Return the planned fields, all or those of some actions."""
        return [row for row in self._rows if not actions or row["action"] in actions]

    @cached_property
    def _rows(self) -> list[Row]:
        rows: list[Row] = self.table.to_pylist()
        return rows

    @property
    def changes(self) -> int:
        """The number of records that would be updated, created or deleted."""
        return len({row["record_id"] or row["key"] for row in self.rows(*WRITTEN)})

    @property
    def creates(self) -> int:
        """The number of records that would be created."""
        return len({row["key"] for row in self.rows("create")})

    @property
    def fields(self) -> int:
        """The number of fields that would be written."""
        return len(self.rows(*WRITTEN))

    @property
    def conflicts(self) -> int:
        """The number of fields that are listed but not written, because the policy protects the target's value."""
        return len(self.rows(*HELD_BACK))

    @property
    def review(self) -> int:
        """The number of records that a person must look at first."""
        return len({row["record_id"] or row["key"] for row in self.rows("review")})

    @property
    def undoes(self) -> str | None:
        """The run whose writes this plan would reverse, if any."""
        return self.head.summary.get("undoes")

    def summary(self) -> str:
        """Return the counts of the plan and its digest in one line."""
        if not self.table.num_rows:
            return "nothing to change"
        created, undecided = self.creates, len(self.rows("ask"))
        parts = [f"{plural(self.fields, 'field')} of {plural(self.changes, 'record')} to write"]
        parts += [f"{created} of them new"] if created else []
        parts += [plural(self.conflicts, "conflict")] if self.conflicts else []
        parts += [f"{undecided} of them to decide"] if undecided else []
        parts += [f"{plural(self.review, 'record')} to review"] if self.review else []
        return ", ".join(parts) + f"; digest {self.digest[:12]}"


def find(project: Project, digest_or_delivery: str) -> Plan:
    """Return a plan by its digest, the first characters of it, or its delivery (then the newest).

    Raises SettingsError when there is none, or when its file is not what was saved.
    """
    head = (
        project.ledger.plans.newest(digest_or_delivery)
        if digest_or_delivery in project.deliveries
        else project.ledger.plans.find(digest_or_delivery)
    )
    if head is None:
        raise SettingsError(
            f"no plan {digest_or_delivery!r}: name a delivery, or a digest from `belvedere plan --list`; "
            f"{choices(digest_or_delivery, project.deliveries)}"
        )
    return load(project, head)


def load(project: Project, head: PlanRow) -> Plan:
    """Load a plan's rows from the lake, proven by the file's sha256 and by the plan's digest.

    Raises SettingsError when either differs: somebody changed the file, or it was damaged.
    """
    try:
        content = project.lake.content(_recorded(project, head))
    except ReplyError as error:
        raise refused(head, str(error)) from None
    # No Arrow threads: one that frees Python memory while the interpreter ends aborts the process.
    table = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)
    if FOLLOWS in head.summary:
        digest = digest_of(head.delivery, project.ledger.ledger_id, head.summary, table)
        if digest != head.digest:
            raise refused(head, f"the rows in {head.path} have the digest {digest[:12]}, not the plan's")
    return Plan(head.delivery, head.digest, head, table, tuple(head.summary.get("violations", ())))


def digest_of(delivery: str, generation: str, summary: Mapping[str, Any], table: pa.Table) -> str:
    """Return the digest of a plan: over its rows, what they are based on, and the plan applied before.

    So the same change planned once more has another digest. `generation` identifies the ledger.
    """
    based_on = [summary.get(name) for name in (FOLLOWS, "basis", "undoes")]
    content = [delivery, generation, *based_on, table.to_pylist()]
    return sha256(msgspec.json.encode(content)).hexdigest()


def refused(head: PlanRow, reason: str) -> SettingsError:
    """Return the error for a plan that may not be applied: which one, the reason, and what to do."""
    again = (
        f"belvedere undo {head.summary['undoes']}" if head.summary.get("undoes") else f"belvedere plan {head.delivery}"
    )
    return SettingsError(
        f"plan {head.digest[:12]} of delivery {head.delivery!r} was refused and nothing was written: {reason}. "
        f"Make a new plan: {again}"
    )


def _recorded(project: Project, head: PlanRow) -> Written:
    file = project.ledger.files.by_path(head.path)
    if file is None or file.asset != f"plan/{head.delivery}":
        raise refused(head, f"the manifest has no file {head.path} of this delivery")
    return file
