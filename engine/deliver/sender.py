"""Sends operations in batches, several at once. The intent of a batch is stored before it is sent, its outcome after."""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from connectors.kit.base import Change, Outcome, TargetRecord
from connectors.kit.errors import ConnectorError
from connectors.kit.write import chunks
from engine.deliver.outcomes import OutcomeRecorder, Settled, applied_outcome
from engine.deliver.target import Target
from engine.deliver.target_state import find_records
from engine.storage.stores.write_operations import Operation
from transforms.delivery.value_equality import is_same, plain

CHANGED = "somebody changed the record since it was planned"
UNSENT = "it was not sent: the target failed before its turn"
LOCKED_TRIES = 4  # then a locked record is left to a later run
Batch = list[Operation]


@dataclass
class Sender:
    """Sends to one target.

    With `rereads`, records are read again before they are changed; with `finds`, the key of a new record is looked up
    before it is created. Some batches are intended ahead, so that no connection waits for the ledger. A response that
    reports locks means too much parallelism: it halves the batches in flight and stops intending ahead.
    """

    target: Target
    recorder: OutcomeRecorder
    rereads: bool
    finds: bool
    key: str | None = None
    error: ConnectorError | None = None
    _allowed: int = 0
    _is_askable: bool = True
    _tries: dict[str, int] = field(default_factory=dict)
    _waiting: list[Batch] = field(default_factory=list)
    _running: dict[Future[list[Outcome]], Batch] = field(default_factory=dict)
    _answered: list[Settled] = field(default_factory=list)

    def send(self, operations: Sequence[Operation]) -> None:
        """Send the operations. Raises the first ConnectorError after batches in flight are settled; the rest is unsent."""
        sent = [operation for operation in operations if operation.after or operation.action == "delete"]
        self._waiting = [list(part) for part in chunks(sent, self.target.writing.batch)]
        self._allowed = self._allowed or self.target.writing.parallel
        is_new = any(operation.action == "create" for operation in sent)
        self._is_askable = not is_new or self.target.creates_once(
            self.key
        )  # else a crash leaves creates whose outcome cannot be found out
        with ThreadPoolExecutor(self.target.writing.parallel) as pool:
            while self._running or self._answered or (self._waiting and not self.error):
                batches = self._next()
                self.recorder.settle(self._answered, [operation for batch in batches for operation in batch])
                self._answered = []
                self._running |= {pool.submit(self._write, batch): batch for batch in batches}
                for done in wait(self._running, return_when=FIRST_COMPLETED).done:
                    self._collect(self._running.pop(done, []), done)
        if self.error:
            raise self.error

    def _next(self) -> list[Batch]:
        """Return the batches to intend and send now."""
        if self.error:
            return []
        ahead = bool(self._running) and self._allowed == self.target.writing.parallel and self._is_askable
        room = max(0, self._allowed * (1 + ahead) - len(self._running))
        batches, self._waiting = self._waiting[:room], self._waiting[room:]
        return batches

    def _collect(self, batch: Batch, done: Future[list[Outcome]]) -> None:
        """Collect the response to a batch; queue locked operations again, up to LOCKED_TRIES."""
        if done.cancelled():
            return
        try:
            outcomes = done.result()
        except ConnectorError as error:  # how much of it arrived is unknown: the target is asked later
            self.error = error
            self._cancel_unstarted()
            return
        by_id = {operation.op_id: operation for operation in batch}
        self._answered += [(by_id[outcome.op_id], outcome) for outcome in outcomes]
        locked = {operation.op_id for operation in outcomes if operation.is_locked and operation.status == "retry"}
        if locked:
            self._allowed = max(1, self._allowed // 2)
            self._tries |= {op_id: self._tries.get(op_id, 0) + 1 for op_id in locked}
            again = [
                operation
                for operation in batch
                if operation.op_id in locked and self._tries[operation.op_id] < LOCKED_TRIES
            ]
            self._waiting += [again] if again else []

    def _cancel_unstarted(self) -> None:
        """Cancel batches that were intended ahead and not begun; their outcome is `retry`."""
        for future in [future for future in self._running if future.cancel()]:
            batch = self._running.pop(future)
            self._answered += [
                (operation, Outcome(operation.op_id, "retry", operation.record_id, message=UNSENT))
                for operation in batch
            ]

    def _write(self, batch: Sequence[Operation]) -> list[Outcome]:
        """Write a batch and return its outcomes; operations that need no write are answered without one."""
        current, twins = self._read_current(batch), self._same_key_records(batch)
        answers = [
            outcome
            for operation in batch
            if (outcome := _outcome_without_write(operation, current) or _existing_outcome(operation, twins))
        ]
        answered = {outcome.op_id for outcome in answers}
        changes = [self._change(operation, current) for operation in batch if operation.op_id not in answered]
        by_id = {change.op_id: change for change in changes}
        outcomes = self.target.writes.write(self.target.stream, changes) if changes else []
        return answers + [
            _checked_outcome(outcome, by_id[outcome.op_id]) for outcome in outcomes if outcome.op_id in by_id
        ]

    def _read_current(self, batch: Sequence[Operation]) -> Mapping[str, TargetRecord] | None:
        ids = [operation.record_id for operation in batch if operation.record_id and operation.action != "create"]
        if not self.rereads or not ids:
            return None
        fields = sorted({name for operation in batch for name in operation.after})
        return self.target.reads.fetch(self.target.stream, ids, fields)

    def _same_key_records(self, batch: Sequence[Operation]) -> Mapping[str, Sequence[TargetRecord]]:
        """Return records that others created meanwhile under the key of a new one."""
        new = [operation for operation in batch if operation.action == "create" and operation.key]
        if not (self.finds and self.key and new):
            return {}
        fields = sorted({name for operation in new for name in operation.after})
        return find_records(self.target, self.key, [str(operation.key) for operation in new], fields)

    def _change(self, operation: Operation, current: Mapping[str, TargetRecord] | None) -> Change:
        record = current.get(operation.record_id or "") if current else None
        version = record.version if record else operation.version
        key = self.key if operation.action == "create" else None
        before, after = operation.before, operation.after
        return Change(operation.op_id, operation.record_id, after, before, version, operation.action, key)  # type: ignore[arg-type]


def holds(record: TargetRecord, values: Mapping[str, object]) -> bool:
    """Return whether a record holds all these values."""
    return all(is_same(record.values.get(name), value) for name, value in values.items())


def _outcome_without_write(operation: Operation, current: Mapping[str, TargetRecord] | None) -> Outcome | None:
    """Return the outcome where nothing is to be sent: already there, gone, or changed since; else None."""
    if current is None or operation.action == "create":
        return None
    now = current.get(operation.record_id or "")
    if operation.action == "delete":
        return _removed(operation, now)
    if now is None:
        return Outcome(operation.op_id, "conflict", operation.record_id, message="the record is gone from the target")
    if holds(now, operation.after):
        return Outcome(operation.op_id, "unchanged", operation.record_id, now.version)
    if not holds(now, operation.before):
        return Outcome(operation.op_id, "conflict", operation.record_id, now.version, CHANGED)
    return None


def _removed(operation: Operation, now: TargetRecord | None) -> Outcome | None:
    if now is None:
        return Outcome(operation.op_id, "unchanged", operation.record_id, message="the record is gone already")
    if now.version != operation.version:
        return Outcome(operation.op_id, "conflict", operation.record_id, now.version, CHANGED)
    return None


def _existing_outcome(operation: Operation, twins: Mapping[str, Sequence[TargetRecord]]) -> Outcome | None:
    """Return the outcome of a create whose key exists: ours if it was sent before, else somebody else's."""
    existing = twins.get(operation.key or "", ())
    if not existing or operation.action != "create":
        return None
    if operation.attempt > 1 and len(existing) == 1:
        return applied_outcome(operation, existing[0])
    return Outcome(operation.op_id, "conflict", message="somebody created a record with this key since it was planned")


def _checked_outcome(outcome: Outcome, change: Change) -> Outcome:
    """Correct an outcome `applied` whose response names no new record, or shows the old values."""
    if outcome.status == "applied" and change.action == "create" and not outcome.record_id:
        return Outcome(outcome.op_id, "unknown", message="the target's response does not name the new record")
    if outcome.status != "applied" or outcome.values is None or change.action != "update":
        return outcome
    confirmed = {name: value for name, value in outcome.values.items() if name in change.after}
    ignored = [
        name
        for name, value in confirmed.items()
        if not is_same(value, change.after[name]) and is_same(value, change.before.get(name)) and _differs(change, name)
    ]
    if not ignored:
        return outcome
    reason = f"the target accepted the write but left unchanged: {', '.join(sorted(ignored))}"
    return Outcome(outcome.op_id, "rejected", outcome.record_id, outcome.version, reason, outcome.values)


def _differs(change: Change, name: str) -> bool:
    return not is_same(plain(change.before.get(name)), change.after[name])
