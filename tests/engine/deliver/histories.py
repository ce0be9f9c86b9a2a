"""A target, its people and Belvedere: histories of all three, made up by hypothesis, and judged after every step."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import update

from connectors.kit.base import Writing
from connectors.kit.errors import ConnectorError
from engine.deliver.conflicts import conflicts, decide
from engine.deliver.plan_store import WRITTEN
from engine.deliver.undo import undo
from engine.deliver.verify import read_back
from engine.storage import ledger_tables as t
from tests.engine.deliver.judge import Judge
from tests.engine.deliver.stub_target import DeliverEnv, SearchableConnector, StubConnector
from tests.nights.death import dies

OURS, THEIRS = ("o1", "o2", "o3"), ("p1", "p2")
TEXTS = ("name", "city", "phone")
KEYS = ("CA", "CB", "CC", "CD")
LINKED = {"rA": "CA", "rB": "CB"}
HOUR, MOMENT = timedelta(hours=1), timedelta(seconds=10)
FAULTS = ("lost", "failed", "later", "locked", "busy", "ignored", None)


@dataclass(frozen=True)
class Ways:
    """Say what a target can do."""

    stub: Mapping[str, Any] = field(default_factory=dict)
    kind: type[StubConnector] = SearchableConnector
    blind: bool = False


WAYS = {
    "unique": Ways(),
    "silent": Ways({"tells": False}),
    "versions": Ways({"writing": Writing(batch=3, versions=True)}),
    "idempotent": Ways({"unique": None, "writing": Writing(batch=3, idempotent=True)}),
    "unasked": Ways({"unique": None, "writing": Writing(batch=3, idempotent=True)}, StubConnector),
    "neither": Ways({"unique": None}, blind=True),
}

numbers = st.integers(0, 7)
keys = st.sampled_from(KEYS)
texts = st.sampled_from(TEXTS)
wanted_values = st.sampled_from(THEIRS) | st.none()
faults = st.lists(st.sampled_from(FAULTS), min_size=1, max_size=3)


class Deliveries(RuleBasedStateMachine):
    """Be a target, its people, and the nights of Belvedere."""

    def __init__(self, ways: Ways) -> None:
        super().__init__()
        self.ways, self.patch, self.folder = ways, pytest.MonkeyPatch(), TemporaryDirectory()
        self.env = DeliverEnv(Path(self.folder.name), self.patch, ways.kind, **ways.stub)
        self.stub, self.ledger = self.env.stub, self.env.project.ledger
        self.ours: dict[str, dict[str, Any]] = {key: {"name": "o1", "city": "o1", "phone": "o1"} for key in KEYS}
        self.policies = {"city": "fill_empty", "phone": "owner"}
        self.judge = Judge(self.env, versions=self.stub.writing.versions)
        self.stub.put("rA", name="p1", phone="p1")
        self.stub.put("rB", name="p1", city="p1")
        self._configure()
        self._build()

    @rule(key=keys, field=texts, value=st.sampled_from(OURS))
    def ours_changes(self, key: str, field: str, value: str) -> None:
        self._pass()
        self.ours[key][field] = value
        self._build()

    @rule(position=numbers, field=texts, value=wanted_values)
    def people_edit(self, position: int, field: str, value: str | None) -> None:
        self._edit(position, field, value)

    @rule(position=numbers)
    def people_delete(self, position: int) -> None:
        if (record := self._record(position)) and len(self.stub.records) > 1:
            self.judge.removed(record)
            self.stub.drop(record)

    @rule(key=keys, value=st.sampled_from(THEIRS))
    def people_create(self, key: str, value: str) -> None:
        if self.stub.unique is None or all(values.get("key") != key for values in self.stub.records.values()):
            record = f"p{len(self.stub.versions)}"
            self.stub.put(record, key=key, name=value, city=value, phone=value)
            self.judge.edited(record)
            self.judge.theirs.add(key)

    @rule(what=faults)
    def things_go_wrong(self, what: list[str | None]) -> None:
        self.stub.faults = list(what)

    @rule()
    def time_passes(self) -> None:
        self._pass()

    @rule()
    def plan(self) -> None:
        self._try(self._planned)

    @rule(position=st.none() | numbers)
    def apply(self, position: int | None) -> None:
        self._try(partial(self._applied, position))

    @rule()
    def night(self) -> None:
        self._try(self._night)

    @rule(after=st.integers(1, 6))
    def night_while_the_target_goes_away(self, after: int) -> None:
        self.stub.deaf_after = after
        self._try(self._night)
        self.stub.deaf_after = None

    @rule(at=st.integers(1, 60), after=st.booleans(), again=st.booleans())
    def die_in_a_night(self, at: int, after: bool, again: bool) -> None:
        self._die(self._night, at, after)
        if again:
            self._try(partial(self._applied, None))

    @rule(at=st.integers(1, 40), after=st.booleans(), position=st.none() | numbers)
    def die_in_an_apply(self, at: int, after: bool, position: int | None) -> None:
        self._die(partial(self._applied, position), at, after)

    @rule(at=st.integers(1, 15), after=st.booleans())
    def die_reading_back(self, at: int, after: bool) -> None:
        self._die(self._read_back, at, after)

    @rule(position=numbers, field=texts, value=st.sampled_from(THEIRS), write=st.integers(0, 2), again=st.booleans())
    def night_while_people_edit(self, position: int, field: str, value: str, write: int, again: bool) -> None:
        at = sum(call == "write" for call in self.stub.calls) + write

        def edit() -> None:
            if sum(call == "write" for call in self.stub.calls) == at and (record := self._record(position)):
                self._edit(position, field, value)
                self.judge.raced.add((record, len(self.stub.calls) + 1))

        self.stub.before_write = edit
        self._try(partial(self._applied, None) if again else self._night)
        self.stub.before_write = lambda: None

    @rule()
    def read_back(self) -> None:
        self._try(self._read_back)

    @rule(position=numbers, is_applied=st.booleans())
    def undo(self, position: int, is_applied: bool) -> None:
        self._try(partial(self._undone, position, is_applied))

    @rule(position=numbers, at=st.integers(1, 40), after=st.booleans())
    def die_in_an_undo(self, position: int, at: int, after: bool) -> None:
        self._die(partial(self._undone, position, True), at, after)

    @rule(position=numbers, verdict=st.sampled_from(["keep_ours", "keep_target"]))
    def decide(self, position: int, verdict: Any) -> None:
        if listed := conflicts(self.env.project):
            decide(self.env.project, listed[position % len(listed)]["conflict_id"], verdict, "Ann", "asked")

    @rule(policy=st.sampled_from(["fill_empty", "overwrite"]))
    def settings_change(self, policy: str) -> None:
        self.policies["city"] = policy
        self._configure()

    @invariant()
    def nothing_is_doubled_made_up_or_run_over(self) -> None:
        self.judge.look()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._end()
        finally:
            self.patch.undo()
            self.ledger.engine.dispose()
            self.folder.cleanup()

    def _end(self) -> None:
        """Let all faults end: three nights are enough, and one more writes nothing."""
        self.stub.faults.clear()
        self._pass()
        self._build()
        for _ in range(3):
            self._night()
            self._read_back()
            self._pass()
            self._build()
            self.judge.look()
        written, plan = len(self.stub.sends), self._planned()
        self._applied(None)
        assert (plan.rows(*WRITTEN), len(self.stub.sends) - written) == ([], 0)
        self.judge.end(plan, self.ours, self.policies, LINKED)

    def _configure(self) -> None:
        self.env.deliver(
            match="upsert",
            key={"field": "key", "from": "customer_id"},
            fields={
                "name": {"from": "name"},
                "city": {"from": "city", "policy": self.policies["city"]},
                "phone": {"from": "phone", "owner": "erp", "policy": "owner"},
            },
            guards={"max_creates": 99, "max_deletes": 99, "max_blanks": 99},
            attempts=99,
            allow_blind_creates=self.ways.blind,
        )

    def _build(self) -> None:
        """Build the tables as an extract of this moment would have them."""
        self._pass()
        joined = {
            row["right_account_id"]: "C" + row["left_account_id"][1:] for row in self.ledger.judgements.in_force()
        }
        linked = {record: key for record, key in (LINKED | joined).items() if record in self.stub.records}
        owned = [{"connection": "erp", "account_id": f"E{key[1:]}", "is_active": True} for key in KEYS]
        phones = [row | {"phone": self.ours["C" + row["account_id"][1:]]["phone"]} for row in owned]
        theirs = [{"connection": "crm", "account_id": record, "is_active": True} for record in linked]
        cross = [{"customer_id": "C" + row["account_id"][1:]} | row for row in owned]
        self.env.tables(
            customers=[{"customer_id": key, **self.ours[key]} for key in KEYS],
            accounts=phones + theirs,
            crosswalk=cross + [{"customer_id": linked[row["account_id"]]} | row for row in theirs],
        )

    def _pass(self) -> None:
        """Let an hour pass: what was on its way is there."""
        self.stub.arrive()
        self.judge.passed.append(len(self.stub.calls))
        self._older(HOUR)

    def _older(self, span: timedelta) -> None:
        """Put the target's clock on, and make all older that was written down."""
        o = t.operations
        self.stub.ahead += span
        with self.ledger.engine.begin() as opened:
            for row in opened.execute(o.select()).mappings().all():
                older = {name: row[name] and row[name] - span for name in ("intended_at", "settled_at")}
                opened.execute(update(o).where(o.c.op_id == row["op_id"]).values(older))

    def _planned(self) -> Any:
        plan = self.env.plan()
        assert {
            row["field"]: row["policy"] for row in plan.rows(*WRITTEN) if row["field"] in self.policies
        }.items() <= (self.policies.items())
        return plan

    def _applied(self, position: int | None) -> None:
        plans = self.ledger.plans.recent("d")
        self.env.apply(digest=None if position is None or not plans else plans[position % len(plans)].digest)

    def _night(self) -> None:
        self.env.night()

    def _read_back(self) -> None:
        read_back(self.env.project, "d")

    def _undone(self, position: int, is_applied: bool) -> None:
        if runs := self.ledger.operations.writing_runs():
            self.env.runs += 1
            run = runs[position % len(runs)]["run_id"]
            for plan in undo(self.env.project, run, f"run-{self.env.runs}"):
                if is_applied:
                    self.env.apply(digest=plan.digest)

    def _try(self, does: Callable[[], object]) -> None:
        with suppress(ConnectorError):
            does()

    def _die(self, does: Callable[[], object], at: int, after: bool) -> None:
        steps = [(self.env.kind, name) for name in ("check", "fetch", "write", "find") if hasattr(self.env.kind, name)]
        dies(self.env.project, partial(self._try, does), at, after=after, steps=steps)

    def _record(self, position: int) -> str | None:
        records = sorted(self.stub.records)
        return records[position % len(records)] if records else None

    def _edit(self, position: int, field: str, value: str | None) -> None:
        if record := self._record(position):
            self._older(MOMENT)
            self.judge.edited(record)
            self.stub.put(record, **{field: value})
            self._older(MOMENT)
