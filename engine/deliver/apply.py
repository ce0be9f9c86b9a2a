"""Apply a plan: write only what was planned, and only where the target still holds what the plan was based on.

An intent is committed before a batch is sent. When the outcome of a write is lost, the target is asked for it; it is
never guessed. Writes are effectively once: an update sets values by record id, so repeating it changes nothing; a create
is sent again only where the target recognises it, or where the target was asked after `write_timeout` and lacks it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa

from connectors.kit.errors import ConnectorError, SettingsError
from engine.config.project import Project
from engine.deliver.approve import approval_of, needs_approval
from engine.deliver.audit_log import delivered_rows
from engine.deliver.guards import violations
from engine.deliver.operations import counted, operations, resolved, waves
from engine.deliver.outcomes import OutcomeRecorder
from engine.deliver.plan import make_plan
from engine.deliver.plan_store import Plan, Row, find
from engine.deliver.proof import is_current, prove_plan
from engine.deliver.sender import Sender
from engine.deliver.target import Target, opened
from engine.deliver.unknown_outcomes import settle
from engine.storage.gc_tuning import rare_garbage_collection
from engine.storage.lease import lease
from engine.storage.stores.approvals import Approval
from engine.storage.stores.write_operations import Operation
from schemas.find import model

ROUNDS = 3  # a change that the target answers with `retry` is sent at most so often in a run
JUST_NOW = timedelta(seconds=10)  # a target read within this time is not read again before overwriting
LONG_AGO = "0001-01-01T00:00:00+00:00"


@dataclass
class ApplyResult:
    """The result of applying a plan: operations by outcome, and `error` when it stopped early."""

    delivery: str
    digest: str
    counts: Counter[str] = field(default_factory=Counter)
    error: str | None = None
    operations: list[Operation] = field(default_factory=list, repr=False)
    approvals: Mapping[str, Sequence[Approval]] = field(default_factory=dict, repr=False)

    def summary(self) -> str:
        """Return the counts by outcome in one line, and why it stopped early."""
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counts.items()) if count)
        return (outcomes or "nothing to write") + (f"; stopped: {self.error}" if self.error else "")

    def rows(self) -> list[Row]:
        """Return a row of the table `delivered` for every field that was sent."""
        return [row for operation in self.operations for row in delivered_rows(operation, self.approvals)]


def apply(project: Project, name: str, run_id: str, *, digest: str | None = None) -> ApplyResult:
    """Apply the newest plan of a delivery, or the one with this digest.

    Before the target is asked for anything, the plan is proven: its file and digest, its rows, the
    tables it was made from, and its approval where it needs one. Only an approval lifts a guard.

    Raises SettingsError when a proof fails, when there is no such plan, when the build or the settings
    have changed since (a new plan is then made and saved), or when a guard trips; LeaseTaken when
    another run is at work on this delivery.
    """
    with rare_garbage_collection(), lease(project.ledger, f"delivery:{name}", run_id):
        plan = find(project, digest or name)
        if plan.delivery != name:
            raise SettingsError(f"plan {plan.digest[:12]} belongs to delivery {plan.delivery!r}, not to {name!r}")
        prove_plan(project, plan)
        with opened(project, project.delivery(plan.delivery), is_written=plan.changes > 0) as target:
            applying = _Applying(project, target, plan, run_id)
            applying.settle_open_operations()
            if plan.head.status == "planned":
                applying.refuse_outdated_plan(digest)
                applying.refuse_unless_approved()
                applying.refuse_unless_allowed()
                applying.send()
            elif digest and plan.head.status != "applied":
                raise SettingsError(
                    f"plan {plan.digest[:12]} is {plan.head.status}: a newer plan replaced it, so nothing was written; "
                    f"see `belvedere plan --list {plan.delivery}`"
                )
            return applying.finished()


class _Applying:
    """Apply one plan."""

    def __init__(self, project: Project, target: Target, plan: Plan, run_id: str) -> None:
        self.project, self.ledger, self.target = project, project.ledger, target
        self.plan, self.run_id = plan, run_id
        self.config = project.delivery(plan.delivery)
        self.key = self.config.key.field if self.config.key else None
        self.recorder = OutcomeRecorder(project, plan.delivery, target)
        self._intended = 0
        self.result = ApplyResult(plan.delivery, plan.digest)

    def settle_open_operations(self) -> None:
        """Ask the target for the outcome of operations that a crash or a lost response left open."""
        settle(self.project, self.target, self.plan.delivery)

    def refuse_outdated_plan(self, digest: str | None) -> None:
        """Raise SettingsError, and save a new plan, when the build or the settings have changed since."""
        if self.plan.undoes:
            if digest is None:
                raise SettingsError(
                    f"nothing was written: the newest plan of delivery {self.plan.delivery!r} reverses run {self.plan.undoes} "
                    f"and is only applied by its digest: belvedere apply {self.plan.digest[:12]}"
                )
            return
        if is_current(self.project, self.plan):
            return
        new_plan = make_plan(self.project, self.plan.delivery, self.target, self.run_id)
        raise SettingsError(
            f"plan {self.plan.digest[:12]} is out of date, so nothing was written: since it was made, the build or the "
            "settings changed, or another delivery created records in its target. "
            f"A new plan was saved: {new_plan.summary()}. Look at it: belvedere plan --show {new_plan.digest[:12]}"
        )

    def refuse_unless_approved(self) -> None:
        """Raise SettingsError when the plan needs a person's approval and has none."""
        if needs_approval(self.project, self.plan) and not approval_of(self.project, self.plan):
            digest = self.plan.digest[:12]
            raise SettingsError(
                f"plan {digest} of delivery {self.plan.delivery!r} was not approved, so nothing was written. "
                f"Look at it: belvedere plan --show {digest}; approve and write it: belvedere apply {digest}"
            )

    def refuse_unless_allowed(self) -> None:
        """Raise SettingsError when a guard trips that the approval does not lift."""
        approval = approval_of(self.project, self.plan)
        allow = approval.allowed if approval else ()
        rows, value_count = self.plan.rows(), int(self.plan.head.summary.get("held", 0))
        if tripped := violations(rows, value_count, self.config.guards, allow, self.plan.digest):
            raise SettingsError(
                f"delivery {self.plan.delivery!r}: a guard stopped the plan, nothing was written: {'; '.join(tripped)}"
            )

    def send(self) -> None:
        """Send the operations wave by wave; send again only what the target says never arrived.

        When the target fails, outcomes already recorded stay, and the plan stays open for the next run.
        """
        sending = Sender(self.target, self.recorder, self._must_reread(), not self._is_just_read(), self.key)
        try:
            for _ in range(ROUNDS):
                waiting = self._waiting()
                for wave in waves(waiting):
                    created = self.ledger.operations.created_by_customer(
                        self.target.connector.name, self.target.stream.name
                    )
                    sending.send([resolved(operation, created) for operation in wave])
                if not waiting:
                    break
                self.settle_open_operations()
        except ConnectorError as error:
            self.result.error = str(error)
        else:
            self.ledger.plans.set_status(self.plan.digest, "applied")

    def _must_reread(self) -> bool:
        """Return whether records are read again before they are written.

        Not needed where the target itself compares versions; nor where this run has just read the records and every
        field has the policy `overwrite`, which replaces whatever is there.
        """
        if self.target.writing.versions and all(row["version"] for row in self.plan.rows("update", "delete")):
            return not self.plan.head.summary.get("is_live")
        is_ours = all(row["policy"] == "overwrite" for row in self.plan.rows("update"))
        is_read = self._is_just_read() and self.plan.head.summary.get("is_live")
        return not (is_ours and is_read and not self.plan.rows("delete"))

    def _is_just_read(self) -> bool:
        """Return whether this run has read the target within JUST_NOW."""
        looked_at = datetime.fromisoformat(self.plan.head.summary.get("looked_at", LONG_AGO))
        return self.plan.head.run_id == self.run_id and datetime.now(UTC) - looked_at < JUST_NOW

    def _waiting(self) -> list[Operation]:
        counts = self.ledger.operations.count_outcomes(self.plan.digest)
        if self._intended and counts.total() >= self._intended and not counts["retry"]:
            return []
        tried = self.ledger.operations.attempts(self.plan.digest)
        knows = self.target.knows_operations(self.config.key)
        resumed = self.ledger.operations.resumable_creates(self.plan.delivery) if knows else {}
        all_operations = operations(self.plan, self.run_id, tried, resumed)
        self._intended = len(all_operations)
        return [
            operation
            for operation in all_operations
            if operation.op_id not in tried or tried[operation.op_id].outcome == "retry"
        ]

    def finished(self) -> ApplyResult:
        """Count the outcomes, and write them to the lake as the audit log of this run."""
        own = [
            operation
            for operation in self.ledger.operations.query(digest=self.plan.digest)
            if operation.run_id == self.run_id
        ]
        self.result.operations, self.result.counts = own, counted(own)
        self.result.approvals = self.ledger.approvals.by_digest(self.plan.digest)
        if own:
            kinds = {name: column.dtype.type for name, column in model("delivered").to_schema().columns.items()}
            table = pa.Table.from_pylist(self.result.rows(), ibis.schema(kinds).to_pyarrow())
            file = self.project.lake.write(f"delivered/{self.plan.delivery}", table)
            self.ledger.files.add([file], self.run_id)
        return self.result
