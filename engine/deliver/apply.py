"""Apply a plan: only what was planned, only where the target still holds what was planned upon, each outcome known.

An intent is committed before a batch is sent. An outcome that is lost is asked for, never guessed, and nothing is sent
twice blindly. Say "effectively once": an update sets values by id, so its worst repetition changes nothing; a create is
sent again only where the target knows it again, or where it was asked after it had settled.
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
from engine.deliver.plan import planned
from engine.deliver.plan_store import Plan, Row, find
from engine.deliver.proof import is_current, prove_plan
from engine.deliver.sender import Sender
from engine.deliver.target import Target, opened
from engine.deliver.unknown_outcomes import settle
from engine.storage.approvals import Approval
from engine.storage.gc_tuning import sparing_what_stays
from engine.storage.lease import lease
from engine.storage.write_operations import Operation
from schemas.find import model

ROUNDS = 3
JUST_NOW = timedelta(seconds=10)
LONG_AGO = "0001-01-01T00:00:00+00:00"


@dataclass
class ApplyResult:
    """Say what came of a plan: records by outcome, and why not all of it was done, if so."""

    delivery: str
    digest: str
    counts: Counter[str] = field(default_factory=Counter)
    error: str | None = None
    operations: list[Operation] = field(default_factory=list, repr=False)
    approvals: Mapping[str, Sequence[Approval]] = field(default_factory=dict, repr=False)

    def summary(self) -> str:
        """Say it in a line."""
        said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counts.items()) if count)
        return (said or "nothing to write") + (f"; stopped: {self.error}" if self.error else "")

    def rows(self) -> list[Row]:
        """List every field that was sent, with its outcome."""
        return [row for operation in self.operations for row in delivered_rows(operation, self.approvals)]


def apply(project: Project, name: str, run_id: str, *, digest: str | None = None) -> ApplyResult:
    """Apply the newest plan of a delivery, or the one named by digest.

    What is written was proven first, before anything is asked of the target: the plan's file and
    digest, its rows, the tables it was made from, and its approval where it needs one. Guards are
    lifted by the approval only. Raises SettingsError when any of that differs, when there is no such
    plan, when what it stands on has changed (then another plan is made in its place), or when a guard
    trips; LeaseHeld when another run delivers to this target.
    """
    with sparing_what_stays(), lease(project.ledger, f"delivery:{name}", run_id):
        plan = find(project, digest or name)
        if plan.delivery != name:
            raise SettingsError(f"plan {plan.digest[:12]} belongs to delivery {plan.delivery!r}, not to {name!r}")
        prove_plan(project, plan)
        with opened(project, project.delivery(plan.delivery), is_written=plan.changes > 0) as target:
            applying = _Applying(project, target, plan, run_id)
            applying.settle_what_is_open()
            if plan.head.status == "planned":
                applying.refuse_what_is_out_of_date(digest)
                applying.refuse_unless_approved()
                applying.refuse_unless_allowed()
                applying.send()
            elif digest and plan.head.status != "applied":
                raise SettingsError(
                    f"plan {plan.digest[:12]} is {plan.head.status}: a newer one has taken its place; "
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
        self.concluding = OutcomeRecorder(project, plan.delivery, target)
        self._intended = 0
        self.result = ApplyResult(plan.delivery, plan.digest)

    def settle_what_is_open(self) -> None:
        """Ask the target what became of operations whose outcome a crash or a lost answer hid."""
        settle(self.project, self.target, self.plan.delivery)

    def refuse_what_is_out_of_date(self, digest: str | None) -> None:
        """Raise SettingsError, and plan anew, when the build or the settings have moved on."""
        if self.plan.undoes:
            if digest is None:
                raise SettingsError(f"the newest plan takes run {self.plan.undoes} back: apply it by its digest")
            return
        if is_current(self.project, self.plan):
            return
        fresh = planned(self.project, self.plan.delivery, self.target, self.run_id)
        raise SettingsError(
            f"plan {self.plan.digest[:12]} was made on another build, on other settings or before others created records "
            "of its target, so nothing was written; "
            f"planned anew: {fresh.summary()}. Look at it with `belvedere plan --show {fresh.digest[:12]}`"
        )

    def refuse_unless_approved(self) -> None:
        """Raise SettingsError when a person has to approve this plan by its digest, and nobody has."""
        if needs_approval(self.project, self.plan) and not approval_of(self.project, self.plan):
            digest = self.plan.digest[:12]
            raise SettingsError(
                f"plan {digest} of delivery {self.plan.delivery!r} was not approved, so nothing was written. "
                f"Look at it: belvedere plan --show {digest}; approve and write it: belvedere apply {digest}"
            )

    def refuse_unless_allowed(self) -> None:
        """Raise SettingsError when a guard trips that the plan's approval does not lift."""
        approval = approval_of(self.project, self.plan)
        allow = approval.allowed if approval else ()
        rows, held = self.plan.rows(), int(self.plan.head.summary.get("held", 0))
        if tripped := violations(rows, held, self.config.guards, allow, self.plan.digest):
            raise SettingsError(f"delivery {self.plan.delivery!r}: nothing was written: {'; '.join(tripped)}")

    def send(self) -> None:
        """Send wave after wave, again only what the target says never arrived.

        When the target cannot be used any more, what is settled stays settled and the plan stays open.
        """
        sending = Sender(self.target, self.concluding, self._must_look(), not self._is_just_read(), self.key)
        try:
            for _ in range(ROUNDS):
                waiting = self._waiting()
                for wave in waves(waiting):
                    born = self.ledger.operations.created_by_customer(
                        self.target.connector.name, self.target.stream.name
                    )
                    sending.send([resolved(one, born) for one in wave])
                if not waiting:
                    break
                self.settle_what_is_open()
        except ConnectorError as error:
            self.result.error = str(error)
        else:
            self.ledger.plans.set_status(self.plan.digest, "applied")

    def _must_look(self) -> bool:
        """Read again what is about to change, unless nothing that others do in between could matter.

        That is so where the target itself compares versions; and where this very run has just read it, and every field
        is ours to overwrite whatever it holds.
        """
        if self.target.writing.versions and all(row["version"] for row in self.plan.rows("update", "delete")):
            return not self.plan.head.summary.get("is_live")
        is_ours = all(row["policy"] == "overwrite" for row in self.plan.rows("update"))
        is_read = self._is_just_read() and self.plan.head.summary.get("is_live")
        return not (is_ours and is_read and not self.plan.rows("delete"))

    def _is_just_read(self) -> bool:
        """Tell whether this very run has looked at the target a moment ago."""
        looked_at = datetime.fromisoformat(self.plan.head.summary.get("looked_at", LONG_AGO))
        return self.plan.head.run_id == self.run_id and datetime.now(UTC) - looked_at < JUST_NOW

    def _waiting(self) -> list[Operation]:
        counts = self.ledger.operations.count_outcomes(self.plan.digest)
        if self._intended and counts.total() >= self._intended and not counts["retry"]:
            return []
        tried = self.ledger.operations.attempts(self.plan.digest)
        knows = self.target.knows_operations(self.config.key)
        resumed = self.ledger.operations.resumable_creates(self.plan.delivery) if knows else {}
        made = operations(self.plan, self.run_id, tried, resumed)
        self._intended = len(made)
        return [one for one in made if one.op_id not in tried or tried[one.op_id].outcome == "retry"]

    def finished(self) -> ApplyResult:
        """Count the outcomes, and put them into the lake as the audit log of this run."""
        mine = [one for one in self.ledger.operations.query(digest=self.plan.digest) if one.run_id == self.run_id]
        self.result.operations, self.result.counts = mine, counted(mine)
        self.result.approvals = self.ledger.approvals.by_digest(self.plan.digest)
        if mine:
            kinds = {name: column.dtype.type for name, column in model("delivered").to_schema().columns.items()}
            table = pa.Table.from_pylist(self.result.rows(), ibis.schema(kinds).to_pyarrow())
            file = self.project.lake.write(f"delivered/{self.plan.delivery}", table)
            self.ledger.files.add([file], self.run_id)
        return self.result
