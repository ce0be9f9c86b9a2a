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
from tests.engine.deliver.shelf import DeliverEnv, Keeping
from tests.engine.deliver.test_apply import NAME, OWNED, names, with_records
from tests.nights.death import Death

Made = Callable[..., DeliverEnv]


def to_create(house: DeliverEnv, name: str = "New") -> DeliverEnv:
    """Want a record for a customer that only the ERP knows."""
    house.tables(
        customers=[{"customer_id": "C1", "name": name}],
        accounts=[{"connection": "erp", "account_id": "9", "is_active": True}],
        crosswalk=[{"customer_id": "C1", "connection": "erp", "account_id": "9"}],
    )
    key, guards = {"field": "key", "from": "customer_id"}, {"max_creates": 9, "max_deletes": 9}
    house.deliver(match="upsert", key=key, fields=NAME, guards=guards)
    return house


def owned(house: DeliverEnv, city: str) -> DeliverEnv:
    """Let the ERP own a city that the CRM holds, too."""
    house.tables(
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
    house.deliver(fields=OWNED)
    return house


def owned_new(house: DeliverEnv, city: str) -> DeliverEnv:
    """Let the ERP own the city of a customer that the CRM does not hold yet."""
    house.tables(
        customers=[{"customer_id": "C1"}],
        accounts=[{"connection": "erp", "account_id": "9", "city": city, "is_active": True}],
        crosswalk=[{"customer_id": "C1", "connection": "erp", "account_id": "9"}],
    )
    house.deliver(match="upsert", key={"field": "key", "from": "customer_id"}, fields=OWNED)
    return house


def dies_before_writing(house: DeliverEnv, does: Callable[[], object]) -> None:
    """Let the process die when it has said what it is about to write, and has not."""
    with suppress(Death), pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.kind, "write", _dies)
        does()


def _dies(*_: object) -> None:
    raise Death


def dies_after_writing(house: DeliverEnv, does: Callable[[], object]) -> None:
    """Let the process die when the target has written, and nobody has heard of it."""
    house.shelf.faults = ["dead"]
    with suppress(Death):
        does()


def undone(house: DeliverEnv) -> Plan:
    """Plan to take the newest run back."""
    (plan,) = undo(house.project, house.project.ledger.operations.writing_runs()[0]["run_id"], "undo")
    return plan


def outcomes(house: DeliverEnv) -> list[str | None]:
    return [one.outcome for one in house.project.ledger.operations.query("d")]


class TestAfterACrash:
    def test_a_created_account_is_joined_to_its_customer_by_the_run_that_finds_it(self, house: DeliverEnv):
        dies_after_writing(house, to_create(house).night)
        house.night()
        (judged,) = house.project.ledger.judgements.in_force()
        assert (judged["left_account_id"], judged["right_account_id"]) == ("9", "n1")
        assert len(house.shelf.records) == 1

    def test_an_owners_next_change_is_no_conflict(self, house: DeliverEnv):
        house.shelf.put("1", city=None)
        dies_after_writing(house, owned(house, "Ulm").night)
        assert owned(house, "Bonn").night().counts == {"applied": 1}
        assert house.shelf.records["1"]["city"] == "Bonn"

    def test_what_was_undone_stays_undone(self, house: DeliverEnv):
        with_records(house, "1").night()
        plan = undone(house)
        dies_after_writing(house, lambda: house.apply(digest=plan.digest))
        assert house.night().counts == {}
        assert names(house) == {"1": "old"}

    def test_one_field_that_arrived_proves_the_others(self, house: DeliverEnv):
        with_records(house, "1")
        house.deliver(fields=NAME | {"city": {"value": "Ulm"}})
        dies_after_writing(house, house.night)
        house.shelf.put("1", name="mine")
        house.plan()
        assert outcomes(house) == ["applied"]

    def test_what_is_merely_seen_proves_no_form_of_a_value(self, house: DeliverEnv):
        dies_after_writing(house, to_create(house).night)
        house.shelf.put("n1", name="mine")
        house.night()
        read_back(house.project, "d")
        house.night()
        assert house.shelf.records == {"n1": {"key": "C1", "name": "New"}}

    def test_a_create_is_sent_again_as_it_was_where_the_target_knows_it_by_its_operation(self, made: Made):
        house = made(Keeping, unique=None, writing=Writing(idempotent=True))
        dies_after_writing(house, to_create(house).night)
        to_create(house, "Newer").night()
        house.night()
        assert house.shelf.records == {"n1": {"key": "C1", "name": "Newer"}}
        assert [action for action, _, _ in house.shelf.log] == ["create", "update"]


class TestWhatArrivesLate:
    """It was asked for and not there; then it came, and the next plan finds nothing left to do."""

    def test_a_record_is_known_to_be_created_and_joined(self, house: DeliverEnv):
        self._late(to_create(house))
        to_create(house).night()
        assert house.project.ledger.operations.created_by_key("d") == {"C1": ("n1", "C1")}
        assert [one["right_account_id"] for one in house.project.ledger.judgements.in_force()] == ["n1"]

    def test_a_change_is_known_to_be_done(self, house: DeliverEnv):
        self._late(with_records(house, "1"))
        house.night()
        assert outcomes(house) == ["applied"]

    def test_an_older_create_says_nothing_of_what_a_newer_one_wanted(self, house: DeliverEnv):
        house = owned_new(house, "Ulm")
        house.shelf.faults = ["later"] * ROUNDS
        house.night()
        dies_before_writing(house, owned_new(house, "Bonn").night)
        house.shelf.arrive()
        house.night()
        assert house.shelf.records["n1"]["city"] == "Bonn"

    def test_what_was_never_sent_is_not_taken_for_what_others_created(self, made: Made):
        house = made(unique=None, writing=Writing(batch=1, parallel=1, idempotent=True))
        house.shelf.faults = ["locked"] * 99
        to_create(house).night()
        house.shelf.faults.clear()
        house.shelf.put("7", key="C1", name="mine")
        house.plan()
        assert house.project.ledger.operations.created_by_key("d") == {}

    @staticmethod
    def _late(house: DeliverEnv) -> None:
        """Write again and again, ask too early each time, and let it arrive when nobody asks any more."""
        house.shelf.faults = ["later"] * ROUNDS
        house.night()
        house.shelf.arrive()
        assert outcomes(house) == ["retry"]


class TestWhatOthersDidMeanwhile:
    def test_a_record_that_somebody_created_is_not_written_over(self, house: DeliverEnv):
        to_create(house).plan()
        house.shelf.put("7", key="C1", name="mine")
        assert house.apply().counts == {"conflict": 1}
        assert house.shelf.records == {"7": {"key": "C1", "name": "mine"}}

    def test_where_nothing_is_unique_no_second_record_comes_beside_it(self, made: Made):
        house = to_create(made(unique=None, writing=Writing(idempotent=True)))
        house.plan()
        house.shelf.put("7", key="C1", name="mine")
        house.apply()
        assert [*house.shelf.records] == ["7"]

    def test_what_was_created_is_not_removed_when_somebody_changed_it(self, house: DeliverEnv):
        to_create(house).night()
        house.shelf.put("n1", name="mine")
        (row,) = undone(house).rows()
        assert (row["action"], row["reason"]) == ("conflict", "somebody changed it since the run; it stays")

    def test_nor_when_it_was_changed_since_that_was_planned(self, house: DeliverEnv):
        to_create(house).night()
        plan = undone(house)
        house.shelf.put("n1", phone="mine")
        assert house.apply(digest=plan.digest).counts == {"conflict": 1}
        assert [*house.shelf.records] == ["n1"]


class TestReadBack:
    def test_only_the_newest_write_of_a_record_is_judged(self, made: Made):
        house = with_records(made(tells=False), "1")
        house.deliver(fields=NAME, read_back=1)
        house.night()
        house.apply(digest=undone(house).digest)
        assert (read_back(house.project, "d").records, read_back(house.project, "d").records) == (1, 0)
        assert outcomes(house) == ["applied", "applied"]

    def test_no_record_is_judged_while_its_newest_write_is_open(self, made: Made):
        house = with_records(made(tells=False), "1")
        house.night()
        plan = undone(house)
        dies_after_writing(house, lambda: house.apply(digest=plan.digest))
        assert read_back(house.project, "d").records == 0

    def test_a_removal_without_a_deed_is_seen(self, house: DeliverEnv):
        to_create(house).night()
        plan = undone(house)
        house.shelf.faults = ["ignored"]
        assert house.apply(digest=plan.digest).counts == {"applied": 1}
        assert read_back(house.project, "d").differences == (
            "crm accounts n1: was not deleted, although the target confirmed it",
        )


def test_what_was_intended_ahead_and_not_begun_is_not_in_doubt(made: Made):
    house = with_records(made(writing=Writing(batch=1, parallel=1)), *"12345")
    house.shelf.faults = [None, "busy"]
    assert house.night().error
    assert len(house.project.ledger.operations.unsettled("d")) == 1
    house.apply()
    assert names(house) == {number: f"name {number}" for number in "12345"}
    assert len(house.shelf.log) == 5


def test_a_yes_that_names_no_new_record_is_asked_for(house: DeliverEnv):
    writes: Any = house.kind.write
    house.kind.write = lambda *asked: [replace(one, record_id=None) for one in writes(*asked)]  # type: ignore[method-assign]
    to_create(house).night()
    assert house.project.ledger.operations.created_by_key("d") == {"C1": ("n1", "C1")}
