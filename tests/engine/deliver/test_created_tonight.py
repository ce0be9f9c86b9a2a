"""What a delivery creates gets, in the same run, what later deliveries owe to it; and nothing is created twice."""

import dagster as dg
import pytest

from connectors.kit.errors import SettingsError
from engine.deliver.plan_store import find
from engine.deliver.undo import undo
from orchestration.assets.deliver import approval_job, delivery_assets
from tests.engine.deliver.stub_target import DeliverEnv

CREATES = {"match": "upsert", "key": {"field": "key", "from": "customer_id"}, "fields": {"name": {"from": "name"}}}
SCORES = {"fields": {"score": {"from": "employees"}}}


@pytest.fixture
def pair(env: DeliverEnv, monkeypatch: pytest.MonkeyPatch) -> DeliverEnv:
    """Make a env with one customer that the CRM does not have; by name, the delivery that creates it comes last."""
    env.tables(customers=[{"customer_id": "C1", "name": "one", "employees": 7}])
    env.deliver("z_creates", **CREATES)
    env.deliver("a_scores", **SCORES)
    monkeypatch.setattr("orchestration.assets.deliver.Project.load", lambda: env.project)
    return env


def ran(env: DeliverEnv, approved: str | None = None) -> dg.ExecuteInProcessResult:
    """Run all deliveries, or the job that approves the newest plan of one by its digest."""
    definitions = dg.Definitions.merge(*(delivery_assets(name) for name in env.project.deliveries))
    with dg.DagsterInstance.ephemeral() as instance:
        if approved:
            plan = find(env.project, approved)
            return definitions.resolve_job_def(approval_job(approved)).execute_in_process(
                run_config={"digest": plan.digest, "approved_by": "Eva"}, instance=instance, raise_on_error=False
            )
        return dg.materialize([*definitions.assets], instance=instance, raise_on_error=False)  # type: ignore[arg-type, list-item]


def done(env: DeliverEnv) -> list[tuple[str, dict[str, object]]]:
    return [(write.action, dict(write.after)) for write in env.stub.completed_writes]


CREATED, SCORED = ("create", {"name": "one", "key": "C1"}), ("update", {"score": 7})


def test_a_new_record_gets_its_scores_in_the_same_run_and_the_next_run_writes_nothing(pair: DeliverEnv):
    assert ran(pair).success
    assert done(pair) == [CREATED, SCORED]
    assert ran(pair).success
    assert done(pair) == [CREATED, SCORED]


def test_what_is_written_to_a_new_record_is_in_a_plan_that_was_saved(pair: DeliverEnv):
    ran(pair)
    (record,) = pair.stub.records
    digest = next(saved.digest for saved in pair.project.ledger.plans.recent("a_scores") if saved.changes)
    (row,) = find(pair.project, digest).rows()
    assert (row["record_id"], row["customer_id"], row["after"]) == (record, "C1", "7")


def test_a_guard_that_stops_the_creates_stops_no_scores_of_others(pair: DeliverEnv):
    pair.stub.put("2", name="two")
    rows = {"connection": "crm", "account_id": "2"}
    pair.tables(
        customers=[{"customer_id": "C1", "name": "one", "employees": 7}, {"customer_id": "C2", "employees": 9}],
        accounts=[{**rows, "is_active": True}],
        crosswalk=[{**rows, "customer_id": "C2"}],
    )
    pair.deliver("z_creates", **CREATES, guards={"max_creates": 0})
    assert not ran(pair).success
    assert done(pair) == [("update", {"score": 9})]


def test_an_approval_of_creates_delivers_what_is_owed_to_them(pair: DeliverEnv):
    pair.deliver("z_creates", **CREATES, approve="manual")
    ran(pair)
    assert done(pair) == []
    assert ran(pair, "z_creates").success
    assert done(pair) == [CREATED, SCORED]
    ran(pair)
    assert done(pair) == [CREATED, SCORED]


def test_a_delivery_that_waits_for_approval_has_the_new_record_in_its_plan(pair: DeliverEnv):
    pair.deliver("a_scores", **SCORES, approve="manual")
    ran(pair)
    assert done(pair) == [CREATED]
    assert ran(pair, "a_scores").success
    assert done(pair) == [CREATED, SCORED]


def test_two_deliveries_that_create_in_one_target_create_a_customer_once(pair: DeliverEnv):
    other = CREATES | {"key": {"field": "phone", "from": "customer_id"}, "allow_blind_creates": True}
    pair.deliver("a_scores", **other | {"fields": {"city": {"value": "Ulm"}}})
    ran(pair)
    ran(pair)
    assert [action for action, _ in done(pair)] == ["create", "update"]
    assert len(pair.stub.records) == 1


def test_a_plan_that_waits_creates_nobody_whom_another_delivery_created_meanwhile(pair: DeliverEnv):
    other = CREATES | {"key": {"field": "phone", "from": "customer_id"}, "allow_blind_creates": True}
    pair.deliver("b_creates", **other)
    waits = pair.plan("b_creates")
    pair.night("z_creates")
    with pytest.raises(SettingsError, match="another delivery created records in its target"):
        pair.apply("b_creates", digest=waits.digest)
    pair.apply("b_creates")
    assert [action for action, _ in done(pair)] == ["create"]


def test_a_record_that_the_build_knows_belongs_to_whom_the_build_says(pair: DeliverEnv):
    pair.night("z_creates")
    (record,) = pair.stub.records
    account = {"connection": "crm", "account_id": record}
    pair.tables(
        customers=[{"customer_id": "C1", "employees": 7}, {"customer_id": "C9", "employees": 9}],
        accounts=[{**account, "is_active": True}],
        crosswalk=[{**account, "customer_id": "C9"}],
    )
    pair.night("a_scores")
    assert done(pair)[1:] == [("update", {"score": 9})]


def test_a_record_that_was_taken_back_is_owed_nothing(pair: DeliverEnv):
    pair.night("z_creates")
    run = pair.project.ledger.operations.query("z_creates")[0].run_id
    (plan,) = undo(pair.project, run, "undo", ["z_creates"])
    pair.apply("z_creates", digest=plan.digest, allow=["max_deletes"])
    assert pair.stub.records == {}
    assert pair.plan("a_scores").rows() == []
