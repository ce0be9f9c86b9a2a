"""What must hold whatever happens: nothing doubled, made up, run over or kept quiet, and in the end all is done."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from engine.deliver.plan_store import HELD_BACK, WRITTEN, Plan, load
from engine.storage.stores.write_operations import DONE, Operation
from tests.engine.deliver.stub_target import CompletedWrite, DeliverEnv
from transforms.delivery.field_diff import as_json
from transforms.delivery.value_equality import is_same

OPEN = (None, "unknown")
UNHEARD = ("lost", "failed", "later")
Rows = dict[str, dict[str, Any]]


class Judge:
    """Compare what was done at the target with what was planned, written down and decided.

    Left out, because nobody can know better: what arrives late over what people did meanwhile, and, where the target
    compares no versions, what people do between the last look and the write itself (`raced`: record and call).
    """

    def __init__(self, env: DeliverEnv, *, versions: bool) -> None:
        self.env, self.stub, self.ledger = env, env.stub, env.project.ledger
        self.versions, self.judged = versions, 0
        self.raced: set[tuple[str, int]] = set()
        self.passed: list[int] = []  # after how many calls time passed
        self.theirs: set[str] = set()  # keys of records that people created
        self.vanished: set[str] = set()  # records that people removed before anybody knew that they were created
        self._edits: list[tuple[str, int]] = []
        self._plans: dict[str, Plan] = {}

    def edited(self, record: str) -> None:
        """Note that people did something to a record."""
        self._edits.append((record, len(self.stub.calls)))

    def removed(self, record: str) -> None:
        """Note that people remove a record."""
        self.edited(record)
        ours = {operation.record_id for operation in self.ledger.operations.query("d") if operation.outcome in DONE}
        if record not in ours:
            self.vanished.add(record)

    def look(self) -> None:
        """Judge what was done since the last look."""
        operations = {operation.op_id: operation for operation in self.ledger.operations.query("d")}
        for write in self.stub.completed_writes[self.judged :]:
            assert write.op_id in operations, f"never intended: {write}"
            self._judge(write, operations[write.op_id])
        self.judged = len(self.stub.completed_writes)
        created = [
            write
            for write in self.stub.completed_writes
            if write.action == "create" and write.record not in self.vanished
        ]
        created_keys = Counter(write.after["key"] for write in created)
        assert [key for key, times in created_keys.items() if times > 1] == [], "created twice"
        self._patient()
        self._honest(operations)

    def _judge(self, write: CompletedWrite, operation: Operation) -> None:
        rows = self._rows(operation)
        is_raced = (write.record, write.call) in self.raced and (not self.versions or write.action == "upsert")
        if write.action == "delete":
            assert {row["action"] for row in rows.values()} == {"delete"}
            is_theirs = any(str(target_value).startswith("p") for target_value in write.before.values())
            assert write.is_late or is_raced or not is_theirs, f"removed what people edited: {write}"
            return
        assert {name: row["after"] for name, row in rows.items()} == {
            name: as_json(value) for name, value in write.after.items()
        }, f"not as planned: {write}"
        for name, row in rows.items() if not (write.is_late or is_raced) else ():
            target_value = write.before.get(name)
            if row["policy"] != "overwrite" and write.action == "update":
                assert is_same(target_value, _value(row["before"])), f"{name} held something else than planned: {write}"
            if row["policy"] != "overwrite" and str(target_value).startswith("p") and write.action != "create":
                plan = self._plan(operation.digest)
                assert (
                    plan.undoes or self._decided(write.record, name, target_value, write.after[name]) == "keep_ours"
                ), f"{name}, which people filled, is run over: {write}"

    def _patient(self) -> None:
        """See that no create was sent a second time while the first could still arrive unnoticed."""
        if self.stub.unique or self.stub.writing.idempotent:
            return
        sent: dict[str, tuple[int, str | None]] = {}
        for call, fault, changes in self.stub.sends:
            for key in [str(earlier.after["key"]) for earlier in changes if earlier.action == "create"]:
                before, wrong = sent.get(key, (0, None))
                waited = any(before <= passed < call for passed in self.passed)
                assert waited or wrong not in UNHEARD, f"{key} was sent again blindly"
                sent[key] = call, fault

    def _honest(self, operations: Mapping[str, Operation]) -> None:
        """See that the audit log tells what was done at the target, as far as it can be known by now."""
        for write in self.stub.completed_writes:
            operation = operations[write.op_id]
            is_told = operation.outcome in (*DONE, *OPEN) or self._meddled(write) or write.is_late
            assert is_told, f"done, and told as {operation.outcome} ({operation.message}): {write}"

    def end(self, plan: Plan, ours: Mapping[str, Rows], policies: Mapping[str, str], linked: Mapping[str, str]) -> None:
        """Judge what the target holds when all is quiet."""
        operations = self.ledger.operations.query("d")
        assert [
            operation for operation in operations if operation.outcome == "applied" and self._is_made_up(operation)
        ] == []
        in_review = {row["key"] or row["record_id"] for row in plan.rows("review")}
        still_open = [
            operation for operation in operations if operation.outcome in OPEN and operation.key not in in_review
        ]
        assert still_open == [], "nobody was told that its outcome is not known"
        listed = {(row["record_id"], row["field"]) for row in plan.rows(*HELD_BACK)}
        joined = {row["right_account_id"] for row in self.ledger.judgements.in_force()}
        born = {
            operation.key: operation.record_id
            for operation in operations
            if operation.action == "create" and operation.outcome in DONE
        }
        assert {*born.values()} <= joined, "created and not joined to its customer"
        for key, wanted in ours.items():
            records = [record for record, owner in linked.items() if owner == key and record in self.stub.records]
            records = records or [record for record, values in self.stub.records.items() if values.get("key") == key]
            if not records:
                assert key in born or key in in_review, f"{key} was never created"
            elif len(records) == 1 and key not in in_review and born.get(key, records[0]) in self.stub.records:
                self._same(records[0], wanted, policies, listed)

    def _same(self, record: str, wanted: Rows, policies: Mapping[str, str], listed: set[tuple[Any, str]]) -> None:
        for name, value in wanted.items():
            target_value, policy = self.stub.records[record].get(name), policies.get(name, "overwrite")
            is_kept = self._decided(record, name, target_value, value) == "keep_target"
            is_theirs = (
                policy != "overwrite"
                and target_value is not None
                and (policy == "fill_empty" or (record, name) in listed)
            )
            if policy == "owner" and target_value not in ("p1", "p2"):
                is_theirs = (record, name) in listed and self._left_by_people(record)
            assert is_same(target_value, value) or is_kept or is_theirs, (
                f"{record} {name}: {target_value!r}, wanted {value!r}"
            )

    def _is_made_up(self, operation: Operation) -> bool:
        """Tell whether nobody did what is told as done: not it, not its like that came late, and not people."""
        done = any(
            write.op_id == operation.op_id or (write.record, write.after) == (operation.record_id, operation.after)
            for write in self.stub.completed_writes
        )
        return (
            not done
            and operation.key not in self.theirs
            and operation.record_id not in {record for record, _ in self._edits}
        )

    def _left_by_people(self, record: str) -> bool:
        """Tell whether people, an undo or a late arrival had a hand in what a record holds."""
        mine = [write for write in self.stub.completed_writes if write.record == record]
        undone = any(write.is_late or self._plan_of(write).undoes for write in mine)
        return undone or any(edited == record for edited, _ in self._edits)

    def _decided(self, record: str, name: str, target_value: Any, wanted: Any) -> str | None:
        decisions = self.ledger.synced_values.history("d").decided.get((record, name), ())
        return next((decision.verdict for decision in decisions if decision.is_about(target_value, wanted)), None)

    def _meddled(self, write: CompletedWrite) -> bool:
        """Tell whether people edited the record after the write, so that it may not be seen any more."""
        return any(record == write.record and call >= write.call for record, call in self._edits)

    def _rows(self, operation: Operation) -> dict[str, dict[str, Any]]:
        name = operation.key if operation.action == "create" else operation.record_id
        return {
            row["field"]: row
            for row in self._plan(operation.digest).rows(*WRITTEN)
            if name == (row["key"] if row["action"] == "create" else row["record_id"])
        }

    def _plan_of(self, write: CompletedWrite) -> Plan:
        (match,) = [operation for operation in self.ledger.operations.query("d") if operation.op_id == write.op_id]
        return self._plan(match.digest)

    def _plan(self, digest: str) -> Plan:
        if digest not in self._plans:
            head = self.ledger.plans.find(digest)
            assert head
            self._plans[digest] = load(self.env.project, head)
        return self._plans[digest]


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
