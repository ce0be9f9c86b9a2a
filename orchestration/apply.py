"""Apply a plan: only what was planned, only where the target still holds what was planned upon, each outcome known.

An intent is committed before a batch is sent. An outcome that is lost is asked for by reading, never guessed, and
nothing is sent twice blindly. Say "effectively once": each write sets values by id, so the worst repetition of one
changes nothing.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from typing import Any

import ibis
import pyarrow as pa

from connectors.kit.base import Change, Connector, Held, Outcome
from connectors.kit.errors import BusyError, SettingsError
from connectors.kit.stream import Stream
from connectors.kit.write import chunks
from orchestration.config import DeliveryConfig
from orchestration.guards import violations
from orchestration.plan import Plan, find, pin, target_stream
from orchestration.project import Project
from orchestration.storage.deliveries import Operation
from orchestration.storage.lease import lease
from schemas.find import model
from transforms.changes import is_same, plain

ASKED = 500
ROUNDS = 3
Row = dict[str, Any]


@dataclass
class Applied:
    """Say what came of a plan: records by outcome, and why not all of it was done, if so."""

    delivery: str
    digest: str
    counts: Counter[str] = field(default_factory=Counter)
    error: str | None = None
    operations: list[Operation] = field(default_factory=list, repr=False)

    def summary(self) -> str:
        """Say it in a line."""
        said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counts.items()) if count)
        return (said or "nothing to write") + (f"; stopped: {self.error}" if self.error else "")

    def rows(self) -> list[Row]:
        """List every field that was sent, with its outcome."""
        return [row for operation in self.operations for row in delivered_rows(operation)]


def apply(
    project: Project, name: str, run_id: str, *, digest: str | None = None, allow: Collection[str] = ()
) -> Applied:
    """Apply the newest plan of a delivery, or the one named by digest.

    Raises SettingsError when there is no such plan, when it is superseded, or when a guard trips; LeaseHeld when
    another run delivers to this target.
    """
    with lease(project.ledger, f"delivery:{name}", run_id):
        planned = find(project, digest or name)
        config = project.delivery(planned.delivery)
        connector = project.open(config.target.connection)
        try:
            applying = _Applying(project, config, connector, planned, run_id)
            applying.settle_what_is_open()
            if planned.head.status == "planned":
                applying.refuse_unless_allowed(allow)
                applying.send()
            elif digest and planned.head.status != "applied":
                raise SettingsError(
                    f"plan {planned.digest[:12]} is {planned.head.status}: the target has moved on; plan again"
                )
            return applying.finished()
        finally:
            connector.close()


def read_back(project: Project, name: str, run_id: str, sample: int = 50) -> list[str]:
    """Read a sample of what a run wrote again, and tell where the target holds something else."""
    written = [one for one in project.ledger.operations(name, run_id) if one.outcome == "applied" and one.record_id]
    chosen = sorted(written, key=lambda one: one.op_id)[:sample]
    if not chosen:
        return []
    config = project.delivery(name)
    connector = project.open(config.target.connection)
    try:
        held = connector.fetch(
            target_stream(connector, config), [str(one.record_id) for one in chosen], list(config.fields)
        )  # type: ignore[attr-defined]
    finally:
        connector.close()
    return [
        f"{config.target.connection} {one.record_id} {column}: another value than was written"
        for one in chosen
        for column, value in one.after.items()
        if not is_same(held[str(one.record_id)].values.get(column) if str(one.record_id) in held else None, value)
    ]


def delivered_rows(operation: Operation) -> list[Row]:
    """Spell an operation out field by field, as the table `delivered` has it."""
    shared = {
        name: getattr(operation, name) for name in ("delivery", "run_id", "digest", "op_id", "connection", "stream")
    }
    shared |= {
        "record_id": operation.record_id,
        "customer_id": operation.customer_id,
        "attempt": operation.attempt,
    }
    shared |= {
        "outcome": operation.outcome or "unknown",
        "message": operation.message,
        "at": operation.settled_at or operation.intended_at,
    }
    return [
        shared | {"field": column, "before": _json(operation.before.get(column)), "after": _json(value)}
        for column, value in operation.after.items()
    ]


class _Applying:
    """Apply one plan."""

    def __init__(
        self, project: Project, config: DeliveryConfig, connector: Connector, planned: Plan, run_id: str
    ) -> None:
        self.project, self.ledger, self.config = project, project.ledger, config
        self.connector, self.planned, self.run_id = connector, planned, run_id
        self.stream: Stream = target_stream(connector, config)
        self.result = Applied(planned.delivery, planned.digest)
        pin(project, planned.delivery, connector)

    def settle_what_is_open(self) -> None:
        """Ask the target what became of operations whose outcome a crash or a lost answer hid."""
        left = self.ledger.unsettled(self.planned.delivery)
        for some in chunks(left, ASKED):
            held = self._fetch(some)
            self.ledger.settle(_asked(operation, held.get(operation.record_id or "")) for operation in some)

    def refuse_unless_allowed(self, allow: Collection[str]) -> None:
        """Raise SettingsError when a guard trips that was not let through."""
        rows, held = self.planned.rows(), int(self.planned.head.summary.get("held", 0))
        if tripped := violations(rows, held, self.config.guards, allow, self.planned.digest):
            raise SettingsError(f"delivery {self.planned.delivery!r}: nothing was written: {'; '.join(tripped)}")

    def send(self) -> None:
        """Send batch after batch, again only what the target says never arrived.

        When the target cannot be reached any more, what is settled stays settled and the plan stays open.
        """
        try:
            for _ in range(ROUNDS):
                waiting = self._waiting()
                if not waiting:
                    break
                for some in chunks(waiting, int(getattr(self.connector, "max_batch", 1))):
                    self._batch(some)
                self.settle_what_is_open()
        except BusyError as error:
            self.result.error = str(error)
        else:
            self.ledger.set_plan_status(self.planned.digest, "applied")

    def _waiting(self) -> list[Operation]:
        known = {one.op_id: one.outcome for one in self.ledger.operations(self.planned.delivery)}
        return [one for one in self._operations() if known.get(one.op_id) in (None, "retry")]

    def finished(self) -> Applied:
        """Count the outcomes, and put them into the lake as the audit log of this run."""
        mine = [
            one
            for one in self.ledger.operations(self.planned.delivery, self.run_id)
            if one.digest == self.planned.digest
        ]
        self.result.operations = mine
        self.result.counts = Counter(one.outcome or "unknown" for one in mine)
        if mine:
            kinds = {name: column.dtype.type for name, column in model("delivered").to_schema().columns.items()}
            table = pa.Table.from_pylist(self.result.rows(), ibis.schema(kinds).to_pyarrow())
            file = self.project.lake.write(f"delivered/{self.planned.delivery}", table)
            self.ledger.add([file], self.run_id)
        return self.result

    def _batch(self, operations: Sequence[Operation]) -> None:
        held = self._fetch(operations)
        ready, known = [], []
        for operation in operations:
            outcome = _still_as_planned(operation, held.get(operation.record_id or ""))
            (known if outcome else ready).append(outcome or operation)
        self.ledger.intend([*operations])
        self.ledger.settle([one for one in known if isinstance(one, Outcome)])
        sent = [one for one in ready if isinstance(one, Operation)]
        if sent:
            self.ledger.settle(self.connector.write(self.stream, [self._change(one, held) for one in sent]))  # type: ignore[attr-defined]

    def _change(self, operation: Operation, held: dict[str, Held]) -> Change:
        now = held.get(operation.record_id or "")
        return Change(
            operation.op_id,
            operation.record_id,
            operation.after,
            operation.before,
            now.version if now else None,
        )

    def _fetch(self, operations: Iterable[Operation]) -> dict[str, Held]:
        ids = [one.record_id for one in operations if one.record_id]
        return self.connector.fetch(self.stream, ids, list(self.config.fields)) if ids else {}  # type: ignore[attr-defined, no-any-return]

    def _operations(self) -> list[Operation]:
        """Gather the planned fields of each record into one operation, named by plan and record."""
        tried = {one.op_id: one.attempt for one in self.ledger.operations(self.planned.delivery)}
        made = []
        rows = sorted(self.planned.rows("update"), key=lambda row: row["record_id"])
        for record, group in groupby(rows, key=lambda row: row["record_id"]):
            fields = list(group)
            op_id = sha256(f"{self.planned.digest}/{record}".encode()).hexdigest()[:24]
            made.append(
                Operation(
                    op_id=op_id,
                    delivery=self.planned.delivery,
                    digest=self.planned.digest,
                    run_id=self.run_id,
                    connection=self.connector.name,
                    stream=self.stream.name,
                    record_id=record,
                    customer_id=fields[0]["customer_id"],
                    action="update",
                    before={row["field"]: _parsed(row["before"]) for row in fields},
                    after={row["field"]: _parsed(row["after"]) for row in fields},
                    attempt=tried.get(op_id, 0) + 1,
                )
            )
        return made


def _still_as_planned(operation: Operation, held: Held | None) -> Outcome | None:
    """Answer an outcome where there is nothing to send: it is there already, or the target holds something new."""
    if held is None:
        return Outcome(operation.op_id, "conflict", operation.record_id, message="the record is gone")
    if _holds(held, operation.after):
        return Outcome(operation.op_id, "unchanged", operation.record_id, held.version)
    if not _holds(held, operation.before):
        return Outcome(
            operation.op_id,
            "conflict",
            operation.record_id,
            message="somebody changed it since it was planned",
        )
    return None


def _asked(operation: Operation, held: Held | None) -> Outcome:
    """Tell from what the target holds whether a write arrived; one that did not is planned again."""
    if held is not None and _holds(held, operation.after):
        return Outcome(operation.op_id, "applied", operation.record_id, held.version, "seen at the target")
    if held is not None and _holds(held, operation.before):
        return Outcome(operation.op_id, "retry", operation.record_id, message="it never arrived")
    return Outcome(operation.op_id, "conflict", operation.record_id, message="the target holds a third value")


def _holds(held: Held, values: dict[str, Any]) -> bool:
    return all(is_same(held.values.get(name), value) for name, value in values.items())


def _json(value: Any) -> str | None:
    return None if plain(value) is None else json.dumps(plain(value), ensure_ascii=False)


def _parsed(value: str | None) -> Any:
    return None if value is None else json.loads(value)
