"""Send operations in batches, several at once; each batch is intended before it goes and settled when it is answered."""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from connectors.kit.base import Change, Outcome, TargetRecord
from connectors.kit.errors import ConnectorError
from connectors.kit.write import chunks
from engine.deliver.outcomes import OutcomeRecorder, Settled, seen
from engine.deliver.target import Target
from engine.deliver.target_state import found
from engine.storage.write_operations import Operation
from transforms.delivery.value_equality import is_same, plain

CHANGED = "somebody changed it since it was planned"
UNSENT = "it was not sent"
LOCKED_TRIES = 4  # a record that others keep locked is left to a later run
Batch = list[Operation]


@dataclass
class Sender:
    """Send to one target; `looks` says that what is about to change is read again first, `finds` the same of creates.

    Some batches are intended ahead, so that no connection waits for the ledger. Locks mean that we are too many at
    once: after an answer that tells of some, half as many batches are under way, and none ahead.
    """

    target: Target
    concluding: OutcomeRecorder
    looks: bool
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
        """Send all; raises the first ConnectorError once what is under way is settled: the rest stays unsent."""
        sent = [one for one in operations if one.after or one.action == "delete"]
        self._waiting = [list(some) for some in chunks(sent, self.target.writing.batch)]
        self._allowed = self._allowed or self.target.writing.parallel
        is_new = any(one.action == "create" for one in sent)
        self._is_askable = not is_new or self.target.creates_once(self.key)  # what a crash leaves unsent can be settled
        with ThreadPoolExecutor(self.target.writing.parallel) as pool:
            while self._running or self._answered or (self._waiting and not self.error):
                batches = self._next()
                self.concluding.settle(self._answered, [one for batch in batches for one in batch])
                self._answered = []
                self._running |= {pool.submit(self._written, batch): batch for batch in batches}
                for done in wait(self._running, return_when=FIRST_COMPLETED).done:
                    self._take(self._running.pop(done, []), done)
        if self.error:
            raise self.error

    def _next(self) -> list[Batch]:
        """Choose what is intended now."""
        if self.error:
            return []
        ahead = bool(self._running) and self._allowed == self.target.writing.parallel and self._is_askable
        room = max(0, self._allowed * (1 + ahead) - len(self._running))
        batches, self._waiting = self._waiting[:room], self._waiting[room:]
        return batches

    def _take(self, batch: Batch, done: Future[list[Outcome]]) -> None:
        """Take the answer to a batch; what was locked is sent again, up to a limit."""
        if done.cancelled():
            return
        try:
            outcomes = done.result()
        except ConnectorError as error:  # nobody can say what was sent of it: it is asked for
            self.error = error
            self._call_off()
            return
        by_id = {one.op_id: one for one in batch}
        self._answered += [(by_id[outcome.op_id], outcome) for outcome in outcomes]
        locked = {one.op_id for one in outcomes if one.is_locked and one.status == "retry"}
        if locked:
            self._allowed = max(1, self._allowed // 2)
            self._tries |= {op_id: self._tries.get(op_id, 0) + 1 for op_id in locked}
            again = [one for one in batch if one.op_id in locked and self._tries[one.op_id] < LOCKED_TRIES]
            self._waiting += [again] if again else []

    def _call_off(self) -> None:
        """Take back what was intended ahead and not begun."""
        for future in [one for one in self._running if one.cancel()]:
            batch = self._running.pop(future)
            self._answered += [(one, Outcome(one.op_id, "retry", one.record_id, message=UNSENT)) for one in batch]

    def _written(self, batch: Sequence[Operation]) -> list[Outcome]:
        """Write a batch; where there is nothing to send, the outcome is known without."""
        held, twins = self._looked_at(batch), self._twins(batch)
        known = [outcome for one in batch if (outcome := _known(one, held) or _taken(one, twins))]
        answered = {outcome.op_id for outcome in known}
        changes = [self._change(one, held) for one in batch if one.op_id not in answered]
        by_id = {change.op_id: change for change in changes}
        outcomes = self.target.writes.write(self.target.stream, changes) if changes else []
        return known + [_done(outcome, by_id[outcome.op_id]) for outcome in outcomes if outcome.op_id in by_id]

    def _looked_at(self, batch: Sequence[Operation]) -> Mapping[str, TargetRecord] | None:
        ids = [one.record_id for one in batch if one.record_id and one.action != "create"]
        if not self.looks or not ids:
            return None
        fields = sorted({name for one in batch for name in one.after})
        return self.target.reads.fetch(self.target.stream, ids, fields)

    def _twins(self, batch: Sequence[Operation]) -> Mapping[str, Sequence[TargetRecord]]:
        """Find what others created meanwhile under the key of a new record."""
        new = [one for one in batch if one.action == "create" and one.key]
        if not (self.finds and self.key and new):
            return {}
        fields = sorted({name for one in new for name in one.after})
        return found(self.target, self.key, [str(one.key) for one in new], fields)

    def _change(self, one: Operation, held: Mapping[str, TargetRecord] | None) -> Change:
        seen = held.get(one.record_id or "") if held else None
        version = seen.version if seen else one.version
        key = self.key if one.action == "create" else None
        return Change(one.op_id, one.record_id, one.after, one.before, version, one.action, key)  # type: ignore[arg-type]


def holds(held: TargetRecord, values: Mapping[str, object]) -> bool:
    """Tell whether a record holds values."""
    return all(is_same(held.values.get(name), value) for name, value in values.items())


def _known(operation: Operation, held: Mapping[str, TargetRecord] | None) -> Outcome | None:
    """Answer an outcome where there is nothing to send: it is there already, or the target holds something new."""
    if held is None or operation.action == "create":
        return None
    now = held.get(operation.record_id or "")
    if operation.action == "delete":
        return _removed(operation, now)
    if now is None:
        return Outcome(operation.op_id, "conflict", operation.record_id, message="the record is gone")
    if holds(now, operation.after):
        return Outcome(operation.op_id, "unchanged", operation.record_id, now.version)
    if not holds(now, operation.before):
        return Outcome(operation.op_id, "conflict", operation.record_id, now.version, CHANGED)
    return None


def _removed(operation: Operation, now: TargetRecord | None) -> Outcome | None:
    if now is None:
        return Outcome(operation.op_id, "unchanged", operation.record_id, message="it is gone already")
    if now.version != operation.version:
        return Outcome(operation.op_id, "conflict", operation.record_id, now.version, CHANGED)
    return None


def _taken(operation: Operation, twins: Mapping[str, Sequence[TargetRecord]]) -> Outcome | None:
    """Leave alone what is there under the key of a new record: ours, where it was sent before, else somebody's."""
    there = twins.get(operation.key or "", ())
    if not there or operation.action != "create":
        return None
    if operation.attempt > 1 and len(there) == 1:
        return seen(operation, there[0])
    return Outcome(operation.op_id, "conflict", message="somebody created it since it was planned")


def _done(outcome: Outcome, change: Change) -> Outcome:
    """Take no yes for an answer that shows that nothing was done, or does not name what was created."""
    if outcome.status == "applied" and change.action == "create" and not outcome.record_id:
        return Outcome(outcome.op_id, "unknown", message="the answer does not name the new record")
    if outcome.status != "applied" or outcome.values is None or change.action != "update":
        return outcome
    told = {name: value for name, value in outcome.values.items() if name in change.after}
    ignored = [
        name
        for name, value in told.items()
        if not is_same(value, change.after[name]) and is_same(value, change.before.get(name)) and _differs(change, name)
    ]
    if not ignored:
        return outcome
    why = f"the target said yes and left {', '.join(sorted(ignored))} as it was"
    return Outcome(outcome.op_id, "rejected", outcome.record_id, outcome.version, why, outcome.values)


def _differs(change: Change, name: str) -> bool:
    return not is_same(plain(change.before.get(name)), change.after[name])
