"""A delivery that waits for a person's yes, in a run of Dagster."""

import dagster as dg
import pytest

from orchestration.assets.deliver import delivered_key, delivery_assets
from tests.orchestration.deliver.shelf import House

NAME = {"name": {"from": "name"}}


@pytest.fixture
def manual(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Make a house whose delivery is approved by hand, with two records to change."""
    for number in "12":
        house.shelf.put(number, name="old")
    house.customers("1", "2")
    house.deliver(fields=NAME, approve="manual")
    monkeypatch.setattr("orchestration.assets.deliver.Project.load", lambda: house.project)
    return house


def ran(house: House, job: str | None = None) -> dg.ExecuteInProcessResult:
    made = delivery_assets("d")
    with dg.DagsterInstance.ephemeral() as instance:
        if job:
            return made.resolve_job_def(job).execute_in_process(instance=instance)
        return dg.materialize([*made.assets], instance=instance)  # type: ignore[arg-type, list-item]


def summary(result: dg.ExecuteInProcessResult) -> object:
    (made,) = result.asset_materializations_for_node("delivered__d")
    return made.metadata["summary"].value


def test_a_run_plans_and_writes_nothing_and_says_how_to_go_on(manual: House):
    result = ran(manual)
    assert result.success
    assert not manual.shelf.log
    digest = manual.project.ledger.plans("d")[0].digest[:12]
    assert summary(result) == f"2 records wait for approval: belvedere apply {digest}, or the job approve__d"


def test_a_click_lets_the_newest_plan_through(manual: House):
    ran(manual)
    result = ran(manual, "approve__d")
    assert summary(result) == "2 applied"
    assert {values["name"] for values in manual.shelf.records.values()} == {"name 1", "name 2"}


def test_where_nothing_is_to_be_written_nothing_waits(manual: House):
    ran(manual)
    ran(manual, "approve__d")
    assert summary(ran(manual)) == "nothing to write"


def test_the_checks_of_a_run_that_waits_are_told(manual: House):
    checks = {one.check_name: one.passed for one in ran(manual).get_asset_check_evaluations()}
    assert checks == {"guards": True, "conflicts": True, "all_applied": True, "read_back": True}
    assert delivered_key("d").to_user_string() == "delivered/d"


def test_what_was_approved_already_does_not_wait_again(manual: House):
    ran(manual)
    ran(manual, "approve__d")
    _, delivered = delivery_assets("d").assets  # the plan is left out of this run
    with dg.DagsterInstance.ephemeral() as instance:
        assert summary(dg.materialize([delivered], instance=instance)) == "nothing to write"  # type: ignore[arg-type, list-item]
