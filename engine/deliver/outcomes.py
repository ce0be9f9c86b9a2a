"""Records outcomes and what follows from them; what follows is stored first, so that a crash loses neither."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from connectors.kit.base import Outcome, TargetRecord
from engine.config.project import Project
from engine.deliver.target import Target
from engine.storage.stores.write_operations import DONE, Operation
from transforms.delivery.field_diff import Decision, SyncedValue, SyncHistory
from transforms.delivery.value_equality import is_same

Settled = tuple[Operation, Outcome]
BY_US = "belvedere"
SEEN_AT_TARGET = "seen at the target"


@dataclass
class OutcomeRecorder:
    """Stores the outcomes of a delivery, and what the next night must know of them.

    A crash between the two leaves the operation open: the next run asks for its outcome and records it again. So all
    that is stored here must bear being stored twice.
    """

    project: Project
    name: str
    target: Target
    _undone: dict[str, str | None] = field(default_factory=dict)

    def settle(self, settled: Iterable[Settled], following: Sequence[Operation] = ()) -> None:
        """Store outcomes (answered by the target, or seen there) and the intents of what is sent next."""
        pairs = list(settled)
        done = [pair for pair in pairs if pair[1].status in DONE and _record(pair)]
        self.project.ledger.synced_values.save(
            self.name, (entry for pair in done for entry in self._synced_values(pair))
        )
        self._keep_undone([pair for pair in done if self._undoes(pair)])
        self._join_created_accounts([pair for pair in done if pair[0].action == "create"])
        self.project.ledger.operations.record((outcome for _, outcome in pairs), following)

    def _synced_values(self, pair: Settled) -> Iterator[tuple[str, str, SyncedValue]]:
        """Yield values both sides now agree on: of owned fields, and of those the target stores in its own format."""
        operation, outcome = pair
        confirmed = outcome.values or {}
        names = [] if self._undoes(pair) else confirmed if outcome.message == SEEN_AT_TARGET else operation.after
        for name in names:
            value = operation.after[name]
            target_value = confirmed.get(name, value)
            if name in self._owned or not is_same(target_value, value):
                yield _record(pair), name, SyncedValue(value, target_value)

    @cached_property
    def _owned(self) -> set[str]:
        fields = self.project.delivery(self.name).fields
        return {name for name, setting in fields.items() if setting.policy == "owner"}

    def _undoes(self, pair: Settled) -> str | None:
        """Return the run that an operation reverses, if it does."""
        digest = pair[0].digest
        if digest not in self._undone:
            head = self.project.ledger.plans.find(digest)
            self._undone[digest] = head.summary.get("undoes") if head else None
        return self._undone[digest]

    def _keep_undone(self, done: list[Settled]) -> None:
        """Decide for the restored values, so that the next night does not write the undone ones again.

        The decision holds until something else is wanted there.
        """
        past = self.project.ledger.synced_values.history(self.name) if done else SyncHistory()
        for pair in done:
            by = f"undo of run {self._undoes(pair)}"
            for name, before in pair[0].before.items():
                location = (_record(pair), name)
                agreed = past.agreed.get(location)
                wanted = agreed.ours if agreed and is_same(agreed.target_value, before) else before
                decision = Decision(wanted, "keep_target", by)
                if decision not in past.decided.get(location, ()):
                    self.project.ledger.synced_values.decide(self.name, location, decision, "reversed")

    def _join_created_accounts(self, created: list[Settled]) -> None:
        """Record a judgement that a created account belongs to its customer, so that it always joins it."""
        if self.target.stream.table != "accounts" or not created:
            return
        joined = {
            (row["right_connection"], row["right_account_id"])
            for row in self.project.ledger.judgements.in_force()
            if row["by"] == BY_US
        }
        for pair in created:
            right = (pair[0].connection, _record(pair))
            if (first_account := self._first_accounts.get(pair[0].customer_id)) and right not in joined:
                reason = f"created from it by delivery {self.name}"
                self.project.ledger.judgements.add(first_account, right, "same", BY_US, reason)

    @cached_property
    def _first_accounts(self) -> Mapping[str, tuple[str, str]]:
        """The first account of each customer, by connection and id."""
        from engine.build.current_tables import Tables

        rows = Tables(self.project, {"crosswalk"}).query(
            "SELECT customer_id, connection, account_id FROM crosswalk ORDER BY ALL"
        )
        return {row["customer_id"]: (row["connection"], row["account_id"]) for row in reversed(rows)}


def _record(pair: Settled) -> str:
    return str(pair[1].record_id or pair[0].record_id or "")


def applied_outcome(operation: Operation, twin: TargetRecord) -> Outcome:
    """Return the outcome of a write that the target shows, confirming only the values it still holds.

    Other values may have been changed by people since, and prove nothing.
    """
    values = {name: value for name, value in twin.values.items() if name in operation.after}
    still = {name: value for name, value in values.items() if is_same(value, operation.after[name])}
    return Outcome(operation.op_id, "applied", twin.record_id, twin.version, SEEN_AT_TARGET, still)
