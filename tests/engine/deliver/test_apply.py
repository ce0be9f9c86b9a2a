"""What is planned is written once, where the target still holds what was planned upon, and its outcome is known."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connectors.kit.base import Writing
from connectors.kit.errors import AccessError, SettingsError
from engine.deliver.verify import read_back
from tests.engine.deliver.stub_target import DeliverEnv, SearchableConnector, StubConnector

MakeEnv = Callable[..., DeliverEnv]
NAME = {"name": {"from": "name"}}
OWNED = {"city": {"from": "city", "owner": "erp", "policy": "owner"}}


def with_records(env: DeliverEnv, *names: str, **values: Any) -> DeliverEnv:
    for name in names:
        env.stub.put(name, name="old", **values)
    env.customers(*names)
    env.deliver(fields=NAME)
    return env


def names(env: DeliverEnv) -> dict[str, str]:
    return {record: values["name"] for record, values in env.stub.records.items()}


def test_what_differs_is_written_and_a_quiet_night_writes_nothing(env: DeliverEnv):
    with_records(env, "1", "2", "3", "4")
    assert env.night().counts == {"applied": 4}
    assert names(env) == {number: f"name {number}" for number in "1234"}
    assert env.night().counts == {}
    assert len(env.stub.log) == 4


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("fault", ["lost", "failed", "busy", "locked", "ignored"])
def test_nothing_is_lost_and_nothing_written_twice_whatever_goes_wrong(make_env: MakeEnv, fault: str, tells: bool):
    env = with_records(make_env(tells=tells), "1", "2", "3", "4", "5")
    env.stub.faults = [fault, None, fault]
    for _ in range(4):
        env.night()
        if fault == "ignored" and not tells:
            from engine.deliver.verify import read_back

            read_back(env.project, "d")
    assert names(env) == {number: f"name {number}" for number in "12345"}
    assert len(env.stub.log) == 5


def test_an_edit_between_plan_and_apply_survives(env: DeliverEnv):
    with_records(env, "1", "2")
    env.plan()
    env.stub.put("1", name="mine")
    assert env.apply().counts == {"applied": 1, "conflict": 1}
    assert names(env) == {"1": "mine", "2": "name 2"}


def test_an_edit_between_look_and_write_survives_where_versions_are_compared(make_env: MakeEnv):
    env = with_records(make_env(writing=Writing(batch=3, versions=True)), "1", "2")
    env.plan()
    env.stub.before_write = lambda: env.stub.put("1", name="mine") if "write" not in env.stub.calls else None
    assert env.apply().counts == {"applied": 1, "conflict": 1}
    assert names(env) == {"1": "mine", "2": "name 2"}


def test_a_field_that_is_ours_is_not_read_twice_in_one_run(env: DeliverEnv):
    with_records(env, "1", "2")
    env.night()
    assert env.stub.calls == ["fetch", "write"]


def test_what_is_read_by_another_run_is_read_again(env: DeliverEnv):
    with_records(env, "1", "2")
    env.plan()
    env.apply()
    assert env.stub.calls == ["fetch", "fetch", "write"]


def test_a_refused_record_comes_again_until_a_person_must_look(env: DeliverEnv):
    with_records(env, "1", "2")
    env.deliver(fields=NAME, attempts=2)
    env.stub.refuses = {"1"}
    assert env.night().counts == {"applied": 1, "rejected": 1}
    assert env.night().counts == {"rejected": 1}
    plan = env.plan()
    assert (plan.fields, plan.review) == (0, 1)
    assert "refused it 2 times in a row" in plan.rows("review")[0]["reason"]


def test_one_bad_record_takes_no_other_with_it(env: DeliverEnv):
    with_records(env, "1", "2", "3")
    env.stub.refuses = {"2"}
    env.night()
    assert names(env) == {"1": "name 1", "2": "old", "3": "name 3"}


def test_locks_leave_fewer_batches_under_way(make_env: MakeEnv):
    env = with_records(make_env(writing=Writing(batch=1, parallel=4)), *"12345678")
    env.stub.faults = ["locked", "locked", "locked"]
    assert env.night().counts == {"applied": 8}
    assert len(env.stub.log) == 8


def test_another_account_behind_the_connection_stops_everything(env: DeliverEnv):
    with_records(env, "1")
    env.night()
    env.stub.account = "portal 2"
    env.customers("1", name="new")
    with pytest.raises(AccessError, match="was account portal 1 when it was first used, now it opens portal 2"):
        env.plan()
    env.project.ledger.pins.unpin("account:crm")
    assert env.night().counts == {"applied": 1}


def test_a_plan_is_neither_made_nor_applied_at_another_account(env: DeliverEnv):
    with_records(env, "1")
    env.night()
    env.customers("1", name="new")
    env.plan()
    plans = env.project.ledger.plans.recent("d")
    env.stub.account = "portal 2"
    env.stub.calls.clear()
    for does in (env.plan, env.apply):
        with pytest.raises(AccessError, match="now it opens portal 2"):
            does()
    assert env.project.ledger.plans.recent("d") == plans
    assert not env.stub.calls


def test_where_nothing_was_written_nothing_is_asked_to_read_it_back(env: DeliverEnv):
    with_records(env, "1")
    env.night()
    read_back(env.project, "d")
    env.stub.calls.clear()
    env.stub.account = "portal 2"  # whoever asked would be refused
    assert read_back(env.project, "d").records == 0
    assert not env.stub.calls


def test_a_guard_lets_nothing_through_and_opens_for_one_plan(env: DeliverEnv):
    with_records(env, "1", "2", "3")
    env.deliver(fields=NAME, guards={"max_changes": 2})
    plan = env.plan()
    with pytest.raises(
        SettingsError,
        match=r"3 records would change, max_changes allows 2\. If this is intended, let this one plan pass",
    ):
        env.apply()
    assert not env.stub.log
    assert env.apply(digest=plan.digest[:12], allow=["max_changes"]).counts == {"applied": 3}


def test_a_plan_of_another_build_is_refused_and_made_anew(env: DeliverEnv):
    with_records(env, "1")
    old = env.plan()
    env.customers("1", name="newer")
    with pytest.raises(SettingsError, match="since it was made, the build or the settings changed"):
        env.apply(digest=old.digest)
    assert not env.stub.log
    assert env.apply().counts == {"applied": 1}
    assert names(env) == {"1": "newer"}


def test_a_plan_of_other_settings_is_refused(env: DeliverEnv):
    with_records(env, "1")
    env.plan()
    env.deliver(fields={"city": {"from": "name"}})
    with pytest.raises(SettingsError, match="the build or the settings changed"):
        env.apply()


class TestCreates:
    config = {"match": "upsert", "key": {"field": "key", "from": "customer_id"}, "fields": NAME}

    def customer(self, env: DeliverEnv, **config: Any) -> DeliverEnv:
        env.tables(
            customers=[{"customer_id": "C1", "name": "New"}],
            accounts=[{"connection": "erp", "account_id": "9", "is_active": True}],
            crosswalk=[{"customer_id": "C1", "connection": "erp", "account_id": "9"}],
        )
        env.deliver(**(self.config | config))
        return env

    def test_a_record_is_created_once_and_joined_to_its_customer(self, env: DeliverEnv):
        self.customer(env)
        assert env.night().counts == {"applied": 1}
        assert env.night().counts == {}
        assert [action for action, _, _ in env.stub.log] == ["create"]
        (judged,) = env.project.ledger.judgements.in_force()
        assert (judged["left_account_id"], judged["right_account_id"], judged["verdict"]) == ("9", "n1", "same")

    @pytest.mark.parametrize("fault", ["lost", "failed", "later"])
    @pytest.mark.parametrize("ways", [{"unique": "key"}, {"unique": None, "writing": Writing(idempotent=True)}])
    def test_a_lost_answer_makes_no_second_record(self, make_env: MakeEnv, fault: str, ways: dict[str, Any]):
        env = self.customer(make_env(**ways))
        env.stub.faults = [fault]
        env.night()
        env.stub.arrive()
        env.night()
        assert [values["key"] for values in env.stub.records.values()] == ["C1"]

    def test_without_a_key_that_the_target_knows_creates_are_refused(self, make_env: MakeEnv):
        env = self.customer(make_env(unique=None))
        with pytest.raises(SettingsError, match="a lost response could lead to a duplicate"):
            env.plan()

    @pytest.mark.parametrize("fault", ["lost", "failed", "later"])
    def test_a_blind_create_is_sent_again_only_after_it_must_have_settled(self, make_env: MakeEnv, fault: str):
        env = self.customer(make_env(unique=None), allow_blind_creates=True)
        env.stub.faults = [fault]
        env.night()
        assert env.stub.calls.count("write") == 1
        plan = env.plan()
        assert (plan.creates, plan.review) == (0, 0 if fault == "lost" else 1)
        env.stub.arrive()
        env.stub.writing = Writing(write_timeout=timedelta(0))
        env.night()
        env.night()
        assert [values["key"] for values in env.stub.records.values()] == ["C1"]

    def test_where_nobody_can_be_asked_a_person_must_look(self, make_env: MakeEnv):
        env = self.customer(make_env(StubConnector, unique=None), allow_blind_creates=True)
        env.stub.faults = ["lost"]
        env.night()
        env.stub.writing = Writing(write_timeout=timedelta(0))
        env.night()
        assert env.plan().review == 1
        assert len(env.stub.records) == 1

    def test_a_record_with_the_key_is_taken_for_what_it_is(self, env: DeliverEnv):
        self.customer(env)
        env.stub.put("7", key="C1", name="old")
        assert env.night().counts == {"applied": 1}
        assert env.stub.records == {"7": {"key": "C1", "name": "New"}}

    def test_two_records_with_the_key_are_for_a_person(self, env: DeliverEnv):
        self.customer(env)
        env.stub.put("7", key="C1")
        env.stub.put("8", key="C1")
        assert "2 records of the target have the key 'C1'" in env.plan().rows("review")[0]["reason"]

    def test_what_people_removed_is_not_created_again(self, env: DeliverEnv):
        self.customer(env)
        env.night()
        env.stub.drop("n1")
        assert env.night().counts == {}
        assert not env.stub.records

    def test_only_what_may_be_is_created(self, env: DeliverEnv):
        self.customer(env, create_where="deals_won > 0")
        assert env.plan().creates == 0

    def test_nothing_is_created_without_what_it_needs(self, env: DeliverEnv):
        fields = NAME | {"city": {"from": "city", "required": True}}
        self.customer(env, fields=fields)
        assert env.plan().creates == 0

    def test_the_new_record_is_written_back_the_same_night(self, env: DeliverEnv):
        env.tables(
            customers=[{"customer_id": "C1", "name": "New"}],
            accounts=[{"connection": "crm", "account_id": "1", "is_active": True}],
            crosswalk=[{"customer_id": "C1", "connection": "crm", "account_id": "1"}],
        )
        env.stub.put("1")
        env.deliver(**self.config, target={"connection": "erp"})
        env.deliver("links", after=["d"], fields={"owner_ref": {"from": "account_id", "owner": "erp"}})
        env.night()
        env.night("links")
        assert env.stub.records["1"] == {"owner_ref": "n2"}

    def test_parents_come_before_children(self, env: DeliverEnv):
        env.tables(
            customers=[{"customer_id": "A", "name": "Child"}, {"customer_id": "Z", "name": "Parent"}],
            accounts=[
                {"connection": "erp", "account_id": "1", "parent_id": "2", "is_active": True},
                {"connection": "erp", "account_id": "2", "is_active": True},
            ],
            crosswalk=[
                {"customer_id": "A", "connection": "erp", "account_id": "1"},
                {"customer_id": "Z", "connection": "erp", "account_id": "2"},
            ],
        )
        env.deliver(
            **(self.config | {"fields": NAME | {"parent": {"from": "parent_id", "owner": "erp", "refers": True}}})
        )
        assert env.night().counts == {"applied": 2}
        assert [(record, after["name"], after.get("parent")) for _, record, after in env.stub.log] == [
            ("n1", "Parent", None),
            ("n2", "Child", "n1"),
        ]
        assert env.night().counts == {}


class TestTasks:
    def remind(self, env: DeliverEnv, *keys: str) -> None:
        env.tables(customers=[{"customer_id": key, "name": f"call {key}"} for key in keys])
        env.deliver(
            target={"connection": "crm", "stream": "tasks"},
            match="create_only",
            key={"field": "key", "from": "customer_id"},
            fields=NAME,
            gone={"done": True},
        )

    def test_a_task_is_made_once_and_closed_when_it_is_no_longer_due(self, env: DeliverEnv):
        self.remind(env, "A", "B")
        assert env.night().counts == {"applied": 2}
        assert env.night().counts == {}
        self.remind(env, "B")
        assert env.night().counts == {"applied": 1}
        assert {values["key"]: values.get("done") for values in env.stub.records.values()} == {"A": True, "B": None}
        assert env.night().counts == {}
        env.stub.calls.clear()
        env.night()
        assert not env.stub.calls  # what is closed is not asked for any more

    def test_what_people_did_with_a_task_stays(self, env: DeliverEnv):
        self.remind(env, "A", "B")
        env.night()
        env.stub.put("n1", done=True, name="called")
        env.stub.drop("n2")
        assert env.night().counts == {}
        self.remind(env)
        assert env.night().counts == {}
        assert env.stub.records == {"n1": {"key": "A", "name": "called", "done": True}}


def test_two_runs_at_once_are_one_too_many(env: DeliverEnv):
    from engine.storage.lease import LeaseTaken, lease

    with_records(env, "1")
    with lease(env.project.ledger, "delivery:d", "other"), pytest.raises(LeaseTaken, match="run other"):
        env.plan()
    assert not env.stub.log


def test_a_target_that_keeps_a_form_of_its_own_is_written_once(env: DeliverEnv):
    env.stub.forms = {"name": str.upper}
    with_records(env, "1")
    assert env.night().counts == {"applied": 1}
    assert env.night().counts == {}


def test_a_form_of_its_own_shows_when_it_is_read_back(make_env: MakeEnv):
    from engine.deliver.verify import read_back

    env = make_env(tells=False)
    env.stub.forms = {"name": str.upper}
    with_records(env, "1")
    env.night()
    assert read_back(env.project, "d").differences == ()
    assert env.night().counts == {}


def test_a_yes_that_did_nothing_is_seen_when_it_is_read_back(make_env: MakeEnv):
    from engine.deliver.verify import read_back

    env = with_records(make_env(tells=False), "1")
    env.stub.faults = ["ignored"]
    assert env.night().counts == {"applied": 1}
    again = read_back(env.project, "d")
    assert again.differences == ("crm accounts 1: name was not written, although the target confirmed it",)
    assert env.night().counts == {"applied": 1}
    assert read_back(env.project, "d").differences == ()


def test_what_was_sent_just_now_is_read_back_when_the_lag_is_over(make_env: MakeEnv):
    from engine.deliver.verify import read_back

    env = with_records(make_env(writing=Writing(batch=3, lag=timedelta(hours=1))), "1")
    env.night()
    assert read_back(env.project, "d").records == 0
    env.stub.writing = Writing()
    assert read_back(env.project, "d").records == 1
    assert read_back(env.project, "d").records == 0


def test_the_owner_is_asked_and_not_the_survivor(env: DeliverEnv):
    env.tables(
        customers=[{"customer_id": "C1", "name": "N", "city": "what survived"}],
        accounts=[
            {"connection": "erp", "account_id": "9", "city": "Ulm", "is_active": True},
            {"connection": "crm", "account_id": "1", "is_active": True},
        ],
        crosswalk=[
            {"customer_id": "C1", "connection": "erp", "account_id": "9"},
            {"customer_id": "C1", "connection": "crm", "account_id": "1"},
        ],
    )
    env.stub.put("1", city=None)
    env.deliver(fields=OWNED)
    env.night()
    assert env.stub.records["1"]["city"] == "Ulm"


@pytest.mark.parametrize("kind", [SearchableConnector, StubConnector])
def test_an_owned_field_is_read_again_before_it_is_written(make_env: MakeEnv, kind: type[StubConnector]):
    env = make_env(kind)
    self = test_the_owner_is_asked_and_not_the_survivor
    self(env)
    assert env.stub.calls == ["fetch", "fetch", "write"]


def test_what_was_not_in_the_sample_is_not_looked_for_later(env: DeliverEnv):
    with_records(env, "1", "2", "3")
    env.deliver(fields=NAME, read_back=2)
    env.night()
    assert read_back(env.project, "d").records == 2
    for name in ("1", "2", "3"):
        env.stub.drop(name)
    assert read_back(env.project, "d").records == 0


def test_a_plan_is_loaded_without_threads_that_could_outlive_the_interpreter(env: DeliverEnv):
    """Arrow's own readers let go of Python's memory late: half of all `belvedere plan` ended by SIGABRT."""
    with_records(env, *map(str, range(50)))
    head = env.plan().head
    code = (
        "import os, sys; from pathlib import Path; from engine.config.project import Project; "
        "from engine.deliver.plan_store import find; "
        "project = Project(Path(), Path(sys.argv[1])); before = len(os.listdir('/proc/self/task')); "
        "find(project, sys.argv[2]); "
        "sys.exit(len(os.listdir('/proc/self/task')) - before)"
    )
    subprocess.run([sys.executable, "-c", code, env.home, head.digest], check=True)
