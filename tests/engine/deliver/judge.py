"""What must hold whatever happens: nothing doubled, made up, run over or kept quiet, and in the end all is done."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from engine.deliver.plan_store import HELD_BACK, WRITTEN, Plan, load
from engine.storage.write_operations import DONE, Operation
from tests.engine.deliver.shelf import Deed, DeliverEnv
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

    def __init__(self, house: DeliverEnv, *, versions: bool) -> None:
        self.house, self.shelf, self.ledger = house, house.shelf, house.project.ledger
        self.versions, self.judged = versions, 0
        self.raced: set[tuple[str, int]] = set()
        self.passed: list[int] = []  # after how many calls time passed
        self.theirs: set[str] = set()  # keys of records that people created
        self.vanished: set[str] = set()  # records that people removed before anybody knew that they were created
        self._edits: list[tuple[str, int]] = []
        self._plans: dict[str, Plan] = {}

    def edited(self, record: str) -> None:
        """Note that people did something to a record."""
        self._edits.append((record, len(self.shelf.calls)))

    def removed(self, record: str) -> None:
        """Note that people remove a record."""
        self.edited(record)
        known = {one.record_id for one in self.ledger.operations.query("d") if one.outcome in DONE}
        if record not in known:
            self.vanished.add(record)

    def look(self) -> None:
        """Judge what was done since the last look."""
        operations = {one.op_id: one for one in self.ledger.operations.query("d")}
        for deed in self.shelf.deeds[self.judged :]:
            assert deed.op_id in operations, f"never intended: {deed}"
            self._judge(deed, operations[deed.op_id])
        self.judged = len(self.shelf.deeds)
        created = [deed for deed in self.shelf.deeds if deed.action == "create" and deed.record not in self.vanished]
        made = Counter(deed.after["key"] for deed in created)
        assert [key for key, times in made.items() if times > 1] == [], "created twice"
        self._patient()
        self._honest(operations)

    def _judge(self, deed: Deed, operation: Operation) -> None:
        rows = self._rows(operation)
        is_raced = (deed.record, deed.call) in self.raced and (not self.versions or deed.action == "upsert")
        if deed.action == "delete":
            assert {row["action"] for row in rows.values()} == {"delete"}
            is_theirs = any(str(held).startswith("p") for held in deed.held.values())
            assert deed.is_late or is_raced or not is_theirs, f"removed what people edited: {deed}"
            return
        assert {name: row["after"] for name, row in rows.items()} == {
            name: as_json(value) for name, value in deed.after.items()
        }, f"not as planned: {deed}"
        for name, row in rows.items() if not (deed.is_late or is_raced) else ():
            held = deed.held.get(name)
            if row["policy"] != "overwrite" and deed.action == "update":
                assert is_same(held, _value(row["before"])), f"{name} held something else than planned: {deed}"
            if row["policy"] != "overwrite" and str(held).startswith("p") and deed.action != "create":
                plan = self._plan(operation.digest)
                assert plan.undoes or self._decided(deed.record, name, held, deed.after[name]) == "keep_ours", (
                    f"{name}, which people filled, is run over: {deed}"
                )

    def _patient(self) -> None:
        """See that no create was sent a second time while the first could still arrive unnoticed."""
        if self.shelf.unique or self.shelf.writing.idempotent:
            return
        sent: dict[str, tuple[int, str | None]] = {}
        for call, fault, changes in self.shelf.sends:
            for key in [str(one.after["key"]) for one in changes if one.action == "create"]:
                before, wrong = sent.get(key, (0, None))
                waited = any(before <= passed < call for passed in self.passed)
                assert waited or wrong not in UNHEARD, f"{key} was sent again blindly"
                sent[key] = call, fault

    def _honest(self, operations: Mapping[str, Operation]) -> None:
        """See that the audit log tells what was done at the target, as far as it can be known by now."""
        for deed in self.shelf.deeds:
            one = operations[deed.op_id]
            is_told = one.outcome in (*DONE, *OPEN) or self._meddled(deed) or deed.is_late
            assert is_told, f"done, and told as {one.outcome} ({one.message}): {deed}"

    def end(self, plan: Plan, ours: Mapping[str, Rows], policies: Mapping[str, str], linked: Mapping[str, str]) -> None:
        """Judge what the target holds when all is quiet."""
        operations = self.ledger.operations.query("d")
        assert [one for one in operations if one.outcome == "applied" and self._is_made_up(one)] == []
        asked = {row["key"] or row["record_id"] for row in plan.rows("review")}
        left = [one for one in operations if one.outcome in OPEN and one.key not in asked]
        assert left == [], "nobody was told that its outcome is not known"
        listed = {(row["record_id"], row["field"]) for row in plan.rows(*HELD_BACK)}
        joined = {row["right_account_id"] for row in self.ledger.judgements.in_force()}
        born = {one.key: one.record_id for one in operations if one.action == "create" and one.outcome in DONE}
        assert {*born.values()} <= joined, "created and not joined to its customer"
        for key, wanted in ours.items():
            records = [record for record, owner in linked.items() if owner == key and record in self.shelf.records]
            records = records or [one for one, held in self.shelf.records.items() if held.get("key") == key]
            if not records:
                assert key in born or key in asked, f"{key} was never created"
            elif len(records) == 1 and key not in asked and born.get(key, records[0]) in self.shelf.records:
                self._same(records[0], wanted, policies, listed)

    def _same(self, record: str, wanted: Rows, policies: Mapping[str, str], listed: set[tuple[Any, str]]) -> None:
        for name, value in wanted.items():
            held, policy = self.shelf.records[record].get(name), policies.get(name, "overwrite")
            is_kept = self._decided(record, name, held, value) == "keep_target"
            is_theirs = (
                policy != "overwrite" and held is not None and (policy == "fill_empty" or (record, name) in listed)
            )
            if policy == "owner" and held not in ("p1", "p2"):
                is_theirs = (record, name) in listed and self._left_by_people(record)
            assert is_same(held, value) or is_kept or is_theirs, f"{record} {name}: {held!r}, wanted {value!r}"

    def _is_made_up(self, one: Operation) -> bool:
        """Tell whether nobody did what is told as done: not it, not its like that came late, and not people."""
        done = any(
            deed.op_id == one.op_id or (deed.record, deed.after) == (one.record_id, one.after)
            for deed in self.shelf.deeds
        )
        return not done and one.key not in self.theirs and one.record_id not in {record for record, _ in self._edits}

    def _left_by_people(self, record: str) -> bool:
        """Tell whether people, an undo or a late arrival had a hand in what a record holds."""
        mine = [deed for deed in self.shelf.deeds if deed.record == record]
        undone = any(deed.is_late or self._plan_of(deed).undoes for deed in mine)
        return undone or any(one == record for one, _ in self._edits)

    def _decided(self, record: str, name: str, held: Any, wanted: Any) -> str | None:
        made = self.ledger.synced_values.history("d").decided.get((record, name), ())
        return next((one.verdict for one in made if one.is_about(held, wanted)), None)

    def _meddled(self, deed: Deed) -> bool:
        """Tell whether people edited the record after the deed, so that it may not be seen any more."""
        return any(record == deed.record and call >= deed.call for record, call in self._edits)

    def _rows(self, operation: Operation) -> dict[str, dict[str, Any]]:
        name = operation.key if operation.action == "create" else operation.record_id
        return {
            row["field"]: row
            for row in self._plan(operation.digest).rows(*WRITTEN)
            if name == (row["key"] if row["action"] == "create" else row["record_id"])
        }

    def _plan_of(self, deed: Deed) -> Plan:
        (found,) = [one for one in self.ledger.operations.query("d") if one.op_id == deed.op_id]
        return self._plan(found.digest)

    def _plan(self, digest: str) -> Plan:
        if digest not in self._plans:
            head = self.ledger.plans.find(digest)
            assert head
            self._plans[digest] = load(self.house.project, head)
        return self._plans[digest]


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
