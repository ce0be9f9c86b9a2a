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
from tests.engine.deliver.shelf import DeliverEnv, Finding, Keeping

Made = Callable[..., DeliverEnv]
NAME = {"name": {"from": "name"}}
OWNED = {"city": {"from": "city", "owner": "erp", "policy": "owner"}}


def with_records(house: DeliverEnv, *names: str, **values: Any) -> DeliverEnv:
    for name in names:
        house.shelf.put(name, name="old", **values)
    house.customers(*names)
    house.deliver(fields=NAME)
    return house


def names(house: DeliverEnv) -> dict[str, str]:
    return {record: values["name"] for record, values in house.shelf.records.items()}


def test_what_differs_is_written_and_a_quiet_night_writes_nothing(house: DeliverEnv):
    with_records(house, "1", "2", "3", "4")
    assert house.night().counts == {"applied": 4}
    assert names(house) == {number: f"name {number}" for number in "1234"}
    assert house.night().counts == {}
    assert len(house.shelf.log) == 4


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("fault", ["lost", "failed", "busy", "locked", "ignored"])
def test_nothing_is_lost_and_nothing_written_twice_whatever_goes_wrong(made: Made, fault: str, tells: bool):
    house = with_records(made(tells=tells), "1", "2", "3", "4", "5")
    house.shelf.faults = [fault, None, fault]
    for _ in range(4):
        house.night()
        if fault == "ignored" and not tells:
            from engine.deliver.verify import read_back

            read_back(house.project, "d")
    assert names(house) == {number: f"name {number}" for number in "12345"}
    assert len(house.shelf.log) == 5


def test_an_edit_between_plan_and_apply_survives(house: DeliverEnv):
    with_records(house, "1", "2")
    house.plan()
    house.shelf.put("1", name="mine")
    assert house.apply().counts == {"applied": 1, "conflict": 1}
    assert names(house) == {"1": "mine", "2": "name 2"}


def test_an_edit_between_look_and_write_survives_where_versions_are_compared(made: Made):
    house = with_records(made(writing=Writing(batch=3, versions=True)), "1", "2")
    house.plan()
    house.shelf.before_write = lambda: house.shelf.put("1", name="mine") if "write" not in house.shelf.calls else None
    assert house.apply().counts == {"applied": 1, "conflict": 1}
    assert names(house) == {"1": "mine", "2": "name 2"}


def test_a_field_that_is_ours_is_not_read_twice_in_one_run(house: DeliverEnv):
    with_records(house, "1", "2")
    house.night()
    assert house.shelf.calls == ["fetch", "write"]


def test_what_is_read_by_another_run_is_read_again(house: DeliverEnv):
    with_records(house, "1", "2")
    house.plan()
    house.apply()
    assert house.shelf.calls == ["fetch", "fetch", "write"]


def test_a_refused_record_comes_again_until_a_person_must_look(house: DeliverEnv):
    with_records(house, "1", "2")
    house.deliver(fields=NAME, attempts=2)
    house.shelf.refuses = {"1"}
    assert house.night().counts == {"applied": 1, "rejected": 1}
    assert house.night().counts == {"rejected": 1}
    plan = house.plan()
    assert (plan.fields, plan.review) == (0, 1)
    assert "refused it 2 times in a row" in plan.rows("review")[0]["reason"]


def test_one_bad_record_takes_no_other_with_it(house: DeliverEnv):
    with_records(house, "1", "2", "3")
    house.shelf.refuses = {"2"}
    house.night()
    assert names(house) == {"1": "name 1", "2": "old", "3": "name 3"}


def test_locks_leave_fewer_batches_under_way(made: Made):
    house = with_records(made(writing=Writing(batch=1, parallel=4)), *"12345678")
    house.shelf.faults = ["locked", "locked", "locked"]
    assert house.night().counts == {"applied": 8}
    assert len(house.shelf.log) == 8


def test_another_account_behind_the_connection_stops_everything(house: DeliverEnv):
    with_records(house, "1")
    house.night()
    house.shelf.account = "portal 2"
    house.customers("1", name="new")
    with pytest.raises(AccessError, match="was account portal 1 when it was first used, now it opens portal 2"):
        house.plan()
    house.project.ledger.pins.unpin("account:crm")
    assert house.night().counts == {"applied": 1}


def test_a_plan_is_neither_made_nor_applied_at_another_account(house: DeliverEnv):
    with_records(house, "1")
    house.night()
    house.customers("1", name="new")
    house.plan()
    known = house.project.ledger.plans.recent("d")
    house.shelf.account = "portal 2"
    house.shelf.calls.clear()
    for does in (house.plan, house.apply):
        with pytest.raises(AccessError, match="now it opens portal 2"):
            does()
    assert house.project.ledger.plans.recent("d") == known
    assert not house.shelf.calls


def test_where_nothing_was_written_nothing_is_asked_to_read_it_back(house: DeliverEnv):
    with_records(house, "1")
    house.night()
    read_back(house.project, "d")
    house.shelf.calls.clear()
    house.shelf.account = "portal 2"  # whoever asked would be refused
    assert read_back(house.project, "d").records == 0
    assert not house.shelf.calls


def test_a_guard_lets_nothing_through_and_opens_for_one_plan(house: DeliverEnv):
    with_records(house, "1", "2", "3")
    house.deliver(fields=NAME, guards={"max_changes": 2})
    plan = house.plan()
    with pytest.raises(
        SettingsError,
        match=r"3 records would change, max_changes allows 2\. If this is intended, let this one plan pass",
    ):
        house.apply()
    assert not house.shelf.log
    assert house.apply(digest=plan.digest[:12], allow=["max_changes"]).counts == {"applied": 3}


def test_a_plan_of_another_build_is_refused_and_made_anew(house: DeliverEnv):
    with_records(house, "1")
    old = house.plan()
    house.customers("1", name="newer")
    with pytest.raises(SettingsError, match="since it was made, the build or the settings changed"):
        house.apply(digest=old.digest)
    assert not house.shelf.log
    assert house.apply().counts == {"applied": 1}
    assert names(house) == {"1": "newer"}


def test_a_plan_of_other_settings_is_refused(house: DeliverEnv):
    with_records(house, "1")
    house.plan()
    house.deliver(fields={"city": {"from": "name"}})
    with pytest.raises(SettingsError, match="the build or the settings changed"):
        house.apply()


class TestCreates:
    config = {"match": "upsert", "key": {"field": "key", "from": "customer_id"}, "fields": NAME}

    def customer(self, house: DeliverEnv, **config: Any) -> DeliverEnv:
        house.tables(
            customers=[{"customer_id": "C1", "name": "New"}],
            accounts=[{"connection": "erp", "account_id": "9", "is_active": True}],
            crosswalk=[{"customer_id": "C1", "connection": "erp", "account_id": "9"}],
        )
        house.deliver(**(self.config | config))
        return house

    def test_a_record_is_created_once_and_joined_to_its_customer(self, house: DeliverEnv):
        self.customer(house)
        assert house.night().counts == {"applied": 1}
        assert house.night().counts == {}
        assert [action for action, _, _ in house.shelf.log] == ["create"]
        (judged,) = house.project.ledger.judgements.in_force()
        assert (judged["left_account_id"], judged["right_account_id"], judged["verdict"]) == ("9", "n1", "same")

    @pytest.mark.parametrize("fault", ["lost", "failed", "later"])
    @pytest.mark.parametrize("ways", [{"unique": "key"}, {"unique": None, "writing": Writing(idempotent=True)}])
    def test_a_lost_answer_makes_no_second_record(self, made: Made, fault: str, ways: dict[str, Any]):
        house = self.customer(made(**ways))
        house.shelf.faults = [fault]
        house.night()
        house.shelf.arrive()
        house.night()
        assert [values["key"] for values in house.shelf.records.values()] == ["C1"]

    def test_without_a_key_that_the_target_knows_creates_are_refused(self, made: Made):
        house = self.customer(made(unique=None))
        with pytest.raises(SettingsError, match="a lost response could lead to a duplicate"):
            house.plan()

    @pytest.mark.parametrize("fault", ["lost", "failed", "later"])
    def test_a_blind_create_is_sent_again_only_after_it_must_have_settled(self, made: Made, fault: str):
        house = self.customer(made(unique=None), allow_blind_creates=True)
        house.shelf.faults = [fault]
        house.night()
        assert house.shelf.calls.count("write") == 1
        plan = house.plan()
        assert (plan.creates, plan.review) == (0, 0 if fault == "lost" else 1)
        house.shelf.arrive()
        house.shelf.writing = Writing(write_timeout=timedelta(0))
        house.night()
        house.night()
        assert [values["key"] for values in house.shelf.records.values()] == ["C1"]

    def test_where_nobody_can_be_asked_a_person_must_look(self, made: Made):
        house = self.customer(made(Keeping, unique=None), allow_blind_creates=True)
        house.shelf.faults = ["lost"]
        house.night()
        house.shelf.writing = Writing(write_timeout=timedelta(0))
        house.night()
        assert house.plan().review == 1
        assert len(house.shelf.records) == 1

    def test_a_record_with_the_key_is_taken_for_what_it_is(self, house: DeliverEnv):
        self.customer(house)
        house.shelf.put("7", key="C1", name="old")
        assert house.night().counts == {"applied": 1}
        assert house.shelf.records == {"7": {"key": "C1", "name": "New"}}

    def test_two_records_with_the_key_are_for_a_person(self, house: DeliverEnv):
        self.customer(house)
        house.shelf.put("7", key="C1")
        house.shelf.put("8", key="C1")
        assert "2 records of the target have the key 'C1'" in house.plan().rows("review")[0]["reason"]

    def test_what_people_removed_is_not_created_again(self, house: DeliverEnv):
        self.customer(house)
        house.night()
        house.shelf.drop("n1")
        assert house.night().counts == {}
        assert not house.shelf.records

    def test_only_what_may_be_is_created(self, house: DeliverEnv):
        self.customer(house, create_where="deals_won > 0")
        assert house.plan().creates == 0

    def test_nothing_is_created_without_what_it_needs(self, house: DeliverEnv):
        fields = NAME | {"city": {"from": "city", "required": True}}
        self.customer(house, fields=fields)
        assert house.plan().creates == 0

    def test_the_new_record_is_written_back_the_same_night(self, house: DeliverEnv):
        house.tables(
            customers=[{"customer_id": "C1", "name": "New"}],
            accounts=[{"connection": "crm", "account_id": "1", "is_active": True}],
            crosswalk=[{"customer_id": "C1", "connection": "crm", "account_id": "1"}],
        )
        house.shelf.put("1")
        house.deliver(**self.config, target={"connection": "erp"})
        house.deliver("links", after=["d"], fields={"owner_ref": {"from": "account_id", "owner": "erp"}})
        house.night()
        house.night("links")
        assert house.shelf.records["1"] == {"owner_ref": "n2"}

    def test_parents_come_before_children(self, house: DeliverEnv):
        house.tables(
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
        house.deliver(
            **(self.config | {"fields": NAME | {"parent": {"from": "parent_id", "owner": "erp", "refers": True}}})
        )
        assert house.night().counts == {"applied": 2}
        assert [(record, after["name"], after.get("parent")) for _, record, after in house.shelf.log] == [
            ("n1", "Parent", None),
            ("n2", "Child", "n1"),
        ]
        assert house.night().counts == {}


class TestTasks:
    def remind(self, house: DeliverEnv, *keys: str) -> None:
        house.tables(customers=[{"customer_id": key, "name": f"call {key}"} for key in keys])
        house.deliver(
            target={"connection": "crm", "stream": "tasks"},
            match="create_only",
            key={"field": "key", "from": "customer_id"},
            fields=NAME,
            gone={"done": True},
        )

    def test_a_task_is_made_once_and_closed_when_it_is_no_longer_due(self, house: DeliverEnv):
        self.remind(house, "A", "B")
        assert house.night().counts == {"applied": 2}
        assert house.night().counts == {}
        self.remind(house, "B")
        assert house.night().counts == {"applied": 1}
        assert {values["key"]: values.get("done") for values in house.shelf.records.values()} == {"A": True, "B": None}
        assert house.night().counts == {}
        house.shelf.calls.clear()
        house.night()
        assert not house.shelf.calls  # what is closed is not asked for any more

    def test_what_people_did_with_a_task_stays(self, house: DeliverEnv):
        self.remind(house, "A", "B")
        house.night()
        house.shelf.put("n1", done=True, name="called")
        house.shelf.drop("n2")
        assert house.night().counts == {}
        self.remind(house)
        assert house.night().counts == {}
        assert house.shelf.records == {"n1": {"key": "A", "name": "called", "done": True}}


def test_two_runs_at_once_are_one_too_many(house: DeliverEnv):
    from engine.storage.lease import LeaseTaken, lease

    with_records(house, "1")
    with lease(house.project.ledger, "delivery:d", "other"), pytest.raises(LeaseTaken, match="run other"):
        house.plan()
    assert not house.shelf.log


def test_a_target_that_keeps_a_form_of_its_own_is_written_once(house: DeliverEnv):
    house.shelf.forms = {"name": str.upper}
    with_records(house, "1")
    assert house.night().counts == {"applied": 1}
    assert house.night().counts == {}


def test_a_form_of_its_own_shows_when_it_is_read_back(made: Made):
    from engine.deliver.verify import read_back

    house = made(tells=False)
    house.shelf.forms = {"name": str.upper}
    with_records(house, "1")
    house.night()
    assert read_back(house.project, "d").differences == ()
    assert house.night().counts == {}


def test_a_yes_without_a_deed_is_seen_when_it_is_read_back(made: Made):
    from engine.deliver.verify import read_back

    house = with_records(made(tells=False), "1")
    house.shelf.faults = ["ignored"]
    assert house.night().counts == {"applied": 1}
    again = read_back(house.project, "d")
    assert again.differences == ("crm accounts 1: name was not written, although the target confirmed it",)
    assert house.night().counts == {"applied": 1}
    assert read_back(house.project, "d").differences == ()


def test_what_was_sent_just_now_is_read_back_when_the_lag_is_over(made: Made):
    from engine.deliver.verify import read_back

    house = with_records(made(writing=Writing(batch=3, lag=timedelta(hours=1))), "1")
    house.night()
    assert read_back(house.project, "d").records == 0
    house.shelf.writing = Writing()
    assert read_back(house.project, "d").records == 1
    assert read_back(house.project, "d").records == 0


def test_the_owner_is_asked_and_not_the_survivor(house: DeliverEnv):
    house.tables(
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
    house.shelf.put("1", city=None)
    house.deliver(fields=OWNED)
    house.night()
    assert house.shelf.records["1"]["city"] == "Ulm"


@pytest.mark.parametrize("kind", [Finding, Keeping])
def test_an_owned_field_is_read_again_before_it_is_written(made: Made, kind: type[Keeping]):
    house = made(kind)
    self = test_the_owner_is_asked_and_not_the_survivor
    self(house)
    assert house.shelf.calls == ["fetch", "fetch", "write"]


def test_what_was_not_in_the_sample_is_not_looked_for_later(house: DeliverEnv):
    with_records(house, "1", "2", "3")
    house.deliver(fields=NAME, read_back=2)
    house.night()
    assert read_back(house.project, "d").records == 2
    for name in ("1", "2", "3"):
        house.shelf.drop(name)
    assert read_back(house.project, "d").records == 0


def test_a_plan_is_loaded_without_threads_that_could_outlive_the_interpreter(house: DeliverEnv):
    """Arrow's own readers let go of Python's memory late: half of all `belvedere plan` ended by SIGABRT."""
    with_records(house, *map(str, range(50)))
    head = house.plan().head
    code = (
        "import os, sys; from pathlib import Path; from engine.config.project import Project; "
        "from engine.deliver.plan_store import find; "
        "project = Project(Path(), Path(sys.argv[1])); before = len(os.listdir('/proc/self/task')); "
        "find(project, sys.argv[2]); "
        "sys.exit(len(os.listdir('/proc/self/task')) - before)"
    )
    subprocess.run([sys.executable, "-c", code, house.home, head.digest], check=True)
