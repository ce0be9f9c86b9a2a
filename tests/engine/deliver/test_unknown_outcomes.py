"""What a crash, a lost answer or other people leave behind is found out, and all that follows from it is drawn."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from connectors.kit.base import Writing
from engine.deliver.apply import ROUNDS
from engine.deliver.plan_store import Plan
from engine.deliver.undo import undo
from engine.deliver.verify import read_back
from tests.engine.deliver.stub_target import DeliverEnv, StubConnector
from tests.engine.deliver.test_apply import NAME, OWNED, names, with_records
from tests.nights.death import Death

MakeEnv = Callable[..., DeliverEnv]


def to_create(env: DeliverEnv, name: str = "New") -> DeliverEnv:
    """Want a record for a customer that only the ERP knows."""
    env.tables(
        customers=[{"customer_id": "C1", "name": name}],
        accounts=[{"connection": "erp", "account_id": "9", "is_active": True}],
        crosswalk=[{"customer_id": "C1", "connection": "erp", "account_id": "9"}],
    )
    key, guards = {"field": "key", "from": "customer_id"}, {"max_creates": 9, "max_deletes": 9}
    env.deliver(match="upsert", key=key, fields=NAME, guards=guards)
    return env


def owned(env: DeliverEnv, city: str) -> DeliverEnv:
    """Let the ERP own a city that the CRM holds, too."""
    env.tables(
        customers=[{"customer_id": "C1"}],
        accounts=[
            {"connection": "erp", "account_id": "9", "city": city, "is_active": True},
            {"connection": "crm", "account_id": "1", "is_active": True},
        ],
        crosswalk=[
            {"customer_id": "C1", "connection": "erp", "account_id": "9"},
            {"customer_id": "C1", "connection": "crm", "account_id": "1"},
        ],
    )
    env.deliver(fields=OWNED)
    return env


def owned_new(env: DeliverEnv, city: str) -> DeliverEnv:
    """Let the ERP own the city of a customer that the CRM does not hold yet."""
    env.tables(
        customers=[{"customer_id": "C1"}],
        accounts=[{"connection": "erp", "account_id": "9", "city": city, "is_active": True}],
        crosswalk=[{"customer_id": "C1", "connection": "erp", "account_id": "9"}],
    )
    env.deliver(match="upsert", key={"field": "key", "from": "customer_id"}, fields=OWNED)
    return env


def dies_before_writing(env: DeliverEnv, does: Callable[[], object]) -> None:
    """Let the process die when it has said what it is about to write, and has not."""
    with suppress(Death), pytest.MonkeyPatch.context() as patch:
        patch.setattr(env.kind, "write", _dies)
        does()


def _dies(*_: object) -> None:
    raise Death


def dies_after_writing(env: DeliverEnv, does: Callable[[], object]) -> None:
    """Let the process die when the target has written, and nobody has heard of it."""
    env.stub.faults = ["dead"]
    with suppress(Death):
        does()


def undone(env: DeliverEnv) -> Plan:
    """Plan to take the newest run back."""
    (plan,) = undo(env.project, env.project.ledger.operations.writing_runs()[0]["run_id"], "undo")
    return plan


def outcomes(env: DeliverEnv) -> list[str | None]:
    return [operation.outcome for operation in env.project.ledger.operations.query("d")]


class TestAfterACrash:
    def test_a_created_account_is_joined_to_its_customer_by_the_run_that_finds_it(self, env: DeliverEnv):
        dies_after_writing(env, to_create(env).night)
        env.night()
        (judged,) = env.project.ledger.judgements.in_force()
        assert (judged["left_account_id"], judged["right_account_id"]) == ("9", "n1")
        assert len(env.stub.records) == 1

    def test_an_owners_next_change_is_no_conflict(self, env: DeliverEnv):
        env.stub.put("1", city=None)
        dies_after_writing(env, owned(env, "Ulm").night)
        assert owned(env, "Bonn").night().counts == {"applied": 1}
        assert env.stub.records["1"]["city"] == "Bonn"

    def test_what_was_undone_stays_undone(self, env: DeliverEnv):
        with_records(env, "1").night()
        plan = undone(env)
        dies_after_writing(env, lambda: env.apply(digest=plan.digest))
        assert env.night().counts == {}
        assert names(env) == {"1": "old"}

    def test_one_field_that_arrived_proves_the_others(self, env: DeliverEnv):
        with_records(env, "1")
        env.deliver(fields=NAME | {"city": {"value": "Ulm"}})
        dies_after_writing(env, env.night)
        env.stub.put("1", name="mine")
        env.plan()
        assert outcomes(env) == ["applied"]

    def test_what_is_merely_seen_proves_no_form_of_a_value(self, env: DeliverEnv):
        dies_after_writing(env, to_create(env).night)
        env.stub.put("n1", name="mine")
        env.night()
        read_back(env.project, "d")
        env.night()
        assert env.stub.records == {"n1": {"key": "C1", "name": "New"}}

    def test_a_create_is_sent_again_as_it_was_where_the_target_knows_it_by_its_operation(self, make_env: MakeEnv):
        env = make_env(StubConnector, unique=None, writing=Writing(idempotent=True))
        dies_after_writing(env, to_create(env).night)
        to_create(env, "Newer").night()
        env.night()
        assert env.stub.records == {"n1": {"key": "C1", "name": "Newer"}}
        assert [action for action, _, _ in env.stub.log] == ["create", "update"]


class TestWhatArrivesLate:
    """It was asked for and not there; then it came, and the next plan finds nothing left to do."""

    def test_a_record_is_known_to_be_created_and_joined(self, env: DeliverEnv):
        self._late(to_create(env))
        to_create(env).night()
        assert env.project.ledger.operations.created_by_key("d") == {"C1": ("n1", "C1")}
        assert [judgement["right_account_id"] for judgement in env.project.ledger.judgements.in_force()] == ["n1"]

    def test_a_change_is_known_to_be_done(self, env: DeliverEnv):
        self._late(with_records(env, "1"))
        env.night()
        assert outcomes(env) == ["applied"]

    def test_an_older_create_says_nothing_of_what_a_newer_one_wanted(self, env: DeliverEnv):
        env = owned_new(env, "Ulm")
        env.stub.faults = ["later"] * ROUNDS
        env.night()
        dies_before_writing(env, owned_new(env, "Bonn").night)
        env.stub.arrive()
        env.night()
        assert env.stub.records["n1"]["city"] == "Bonn"

    def test_what_was_never_sent_is_not_taken_for_what_others_created(self, make_env: MakeEnv):
        env = make_env(unique=None, writing=Writing(batch=1, parallel=1, idempotent=True))
        env.stub.faults = ["locked"] * 99
        to_create(env).night()
        env.stub.faults.clear()
        env.stub.put("7", key="C1", name="mine")
        env.plan()
        assert env.project.ledger.operations.created_by_key("d") == {}

    @staticmethod
    def _late(env: DeliverEnv) -> None:
        """Write again and again, ask too early each time, and let it arrive when nobody asks any more."""
        env.stub.faults = ["later"] * ROUNDS
        env.night()
        env.stub.arrive()
        assert outcomes(env) == ["retry"]


class TestWhatOthersDidMeanwhile:
    def test_a_record_that_somebody_created_is_not_written_over(self, env: DeliverEnv):
        to_create(env).plan()
        env.stub.put("7", key="C1", name="mine")
        assert env.apply().counts == {"conflict": 1}
        assert env.stub.records == {"7": {"key": "C1", "name": "mine"}}

    def test_where_nothing_is_unique_no_second_record_comes_beside_it(self, make_env: MakeEnv):
        env = to_create(make_env(unique=None, writing=Writing(idempotent=True)))
        env.plan()
        env.stub.put("7", key="C1", name="mine")
        env.apply()
        assert [*env.stub.records] == ["7"]

    def test_what_was_created_is_not_removed_when_somebody_changed_it(self, env: DeliverEnv):
        to_create(env).night()
        env.stub.put("n1", name="mine")
        (row,) = undone(env).rows()
        assert (row["action"], row["reason"]) == ("conflict", "somebody changed it since the run; it stays")

    def test_nor_when_it_was_changed_since_that_was_planned(self, env: DeliverEnv):
        to_create(env).night()
        plan = undone(env)
        env.stub.put("n1", phone="mine")
        assert env.apply(digest=plan.digest).counts == {"conflict": 1}
        assert [*env.stub.records] == ["n1"]


class TestReadBack:
    def test_only_the_newest_write_of_a_record_is_judged(self, make_env: MakeEnv):
        env = with_records(make_env(tells=False), "1")
        env.deliver(fields=NAME, read_back=1)
        env.night()
        env.apply(digest=undone(env).digest)
        assert (read_back(env.project, "d").records, read_back(env.project, "d").records) == (1, 0)
        assert outcomes(env) == ["applied", "applied"]

    def test_no_record_is_judged_while_its_newest_write_is_open(self, make_env: MakeEnv):
        env = with_records(make_env(tells=False), "1")
        env.night()
        plan = undone(env)
        dies_after_writing(env, lambda: env.apply(digest=plan.digest))
        assert read_back(env.project, "d").records == 0

    def test_a_removal_that_did_nothing_is_seen(self, env: DeliverEnv):
        to_create(env).night()
        plan = undone(env)
        env.stub.faults = ["ignored"]
        assert env.apply(digest=plan.digest).counts == {"applied": 1}
        assert read_back(env.project, "d").differences == (
            "crm accounts n1: was not deleted, although the target confirmed it",
        )


def test_what_was_intended_ahead_and_not_begun_is_not_in_doubt(make_env: MakeEnv):
    env = with_records(make_env(writing=Writing(batch=1, parallel=1)), *"12345")
    env.stub.faults = [None, "busy"]
    assert env.night().error
    assert len(env.project.ledger.operations.unsettled("d")) == 1
    env.apply()
    assert names(env) == {number: f"name {number}" for number in "12345"}
    assert len(env.stub.log) == 5


def test_a_yes_that_names_no_new_record_is_asked_for(env: DeliverEnv):
    writes: Any = env.kind.write
    env.kind.write = lambda *arguments: [replace(outcome, record_id=None) for outcome in writes(*arguments)]  # type: ignore[method-assign]
    to_create(env).night()
    assert env.project.ledger.operations.created_by_key("d") == {"C1": ("n1", "C1")}
