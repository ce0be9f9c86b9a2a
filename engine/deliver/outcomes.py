"""What follows from a write that is done: kept before its outcome is, so that no crash can come between the two."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from connectors.kit.base import Outcome, TargetRecord
from engine.config.project import Project
from engine.deliver.target import Target
from engine.storage.write_operations import DONE, Operation
from transforms.delivery.field_diff import Decided, SyncedValue, SyncHistory
from transforms.delivery.value_equality import is_same

Settled = tuple[Operation, Outcome]
BY_US = "belvedere"
SEEN = "seen at the target"


@dataclass
class OutcomeRecorder:
    """Write outcomes down, and all that the next night must know of them.

    First what follows, then the outcome: who dies in between leaves an operation that is open, which is asked for and
    concluded once more. So each conclusion may be drawn twice.
    """

    project: Project
    name: str
    target: Target
    _undone: dict[str, str | None] = field(default_factory=dict)

    def settle(self, settled: Iterable[Settled], following: Sequence[Operation] = ()) -> None:
        """Write down what the target answered, or what was seen there; and what is about to be sent next."""
        pairs = list(settled)
        done = [pair for pair in pairs if pair[1].status in DONE and _record(pair)]
        self.project.ledger.synced_values.save(self.name, (one for pair in done for one in self._agreed(pair)))
        self._hold_what_was_undone([pair for pair in done if self._undoes(pair)])
        self._join([pair for pair in done if pair[0].action == "create"])
        self.project.ledger.operations.record((outcome for _, outcome in pairs), following)

    def _agreed(self, pair: Settled) -> Iterator[tuple[str, str, SyncedValue]]:
        """Keep owned fields, and values that the target keeps in a form of its own."""
        operation, outcome = pair
        told = outcome.values or {}
        names = [] if self._undoes(pair) else told if outcome.message == SEEN else operation.after
        for name in names:
            value = operation.after[name]
            held = told.get(name, value)
            if name in self._owned or not is_same(held, value):
                yield _record(pair), name, SyncedValue(value, held)

    @cached_property
    def _owned(self) -> set[str]:
        fields = self.project.delivery(self.name).fields
        return {name for name, given in fields.items() if given.policy == "owner"}

    def _undoes(self, pair: Settled) -> str | None:
        """Name the run that an operation takes back."""
        digest = pair[0].digest
        if digest not in self._undone:
            head = self.project.ledger.plans.find(digest)
            self._undone[digest] = head.summary.get("undoes") if head else None
        return self._undone[digest]

    def _hold_what_was_undone(self, done: list[Settled]) -> None:
        """Let the next night not do again what was taken back: until something else is wanted there."""
        past = self.project.ledger.synced_values.history(self.name) if done else SyncHistory()
        for pair in done:
            by = f"undo of run {self._undoes(pair)}"
            for name, found in pair[0].before.items():
                place = (_record(pair), name)
                agreed = past.agreed.get(place)
                wanted = agreed.ours if agreed and is_same(agreed.held, found) else found
                made = Decided(wanted, "keep_target", by)
                if made not in past.decided.get(place, ()):
                    self.project.ledger.synced_values.decide(self.name, place, made, "taken back")

    def _join(self, created: list[Settled]) -> None:
        """Judge a created account to be the customer's it was created for, so that it joins it for ever."""
        if self.target.stream.table != "accounts" or not created:
            return
        known = {
            (row["right_connection"], row["right_account_id"])
            for row in self.project.ledger.judgements.in_force()
            if row["by"] == BY_US
        }
        for pair in created:
            right = (pair[0].connection, _record(pair))
            if (left := self._first.get(pair[0].customer_id)) and right not in known:
                why = f"created from it by delivery {self.name}"
                self.project.ledger.judgements.add(left, right, "same", BY_US, why)

    @cached_property
    def _first(self) -> Mapping[str, tuple[str, str]]:
        """Tell the first account of each customer."""
        from engine.build.current_tables import Tables

        rows = Tables(self.project, {"crosswalk"}).query(
            "SELECT customer_id, connection, account_id FROM crosswalk ORDER BY ALL"
        )
        return {row["customer_id"]: (row["connection"], row["account_id"]) for row in reversed(rows)}


def _record(pair: Settled) -> str:
    return str(pair[1].record_id or pair[0].record_id or "")


def seen(operation: Operation, twin: TargetRecord) -> Outcome:
    """Say that a write is there, and what the record still holds of it: the rest may be of others, and proves nothing."""
    held = {name: value for name, value in twin.values.items() if name in operation.after}
    still = {name: value for name, value in held.items() if is_same(value, operation.after[name])}
    return Outcome(operation.op_id, "applied", twin.record_id, twin.version, SEEN, still)
