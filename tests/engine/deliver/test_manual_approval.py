"""A delivery that waits for a person's yes, in a run of Dagster."""

import re
from collections.abc import Callable

import dagster as dg
import pytest

from engine.config.project import Project
from engine.deliver.audit_log import delivered_rows
from orchestration.assets.deliver import delivery_assets
from orchestration.assets.keys import delivered_key
from orchestration.cli.main import main
from tests.engine.deliver.stub_target import DeliverEnv

Say = Callable[..., str]
NAME = {"name": {"from": "name"}}


@pytest.fixture
def manual(env: DeliverEnv, monkeypatch: pytest.MonkeyPatch) -> DeliverEnv:
    """Make an environment whose delivery is approved by hand, with two records to change."""
    for number in "12":
        env.stub.put(number, name="old")
    env.customers("1", "2")
    env.deliver(fields=NAME, approve="manual")
    monkeypatch.setattr("orchestration.assets.deliver.Project.load", lambda: env.project)
    return env


def ran(env: DeliverEnv) -> dg.ExecuteInProcessResult:
    definitions = delivery_assets("d")
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize([*definitions.assets], instance=instance)  # type: ignore[arg-type, list-item]


def approved(env: DeliverEnv, **config: object) -> dg.ExecuteInProcessResult:
    """Run the approval job, for the newest plan and by eva unless the config says otherwise."""
    settings = {"digest": env.project.ledger.plans.recent("d")[0].digest, "approved_by": "eva"} | config
    with dg.DagsterInstance.ephemeral() as instance:
        job = delivery_assets("d").resolve_job_def("approve__d")
        return job.execute_in_process(run_config=settings, instance=instance, raise_on_error=False)


def failed(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [candidate for candidate in result.all_events if candidate.is_step_failure]
    return str(event.step_failure_data.user_failure_data.description)


def summary(result: dg.ExecuteInProcessResult) -> object:
    (materialization,) = result.asset_materializations_for_node("delivered__d")
    return materialization.metadata["summary"].value


def test_a_run_plans_and_writes_nothing_and_says_how_to_go_on(manual: DeliverEnv):
    result = ran(manual)
    assert result.success
    assert not manual.stub.log
    digest = manual.project.ledger.plans.recent("d")[0].digest[:12]
    wanted = f"2 records wait for approval: belvedere apply {digest}, or the job approve__d with this digest"
    assert summary(result) == wanted


def test_an_approval_by_digest_lets_that_plan_through_and_is_recorded(manual: DeliverEnv):
    ran(manual)
    result = approved(manual)
    assert summary(result) == "2 applied"
    assert {values["name"] for values in manual.stub.records.values()} == {"name 1", "name 2"}
    (operation, _) = manual.project.ledger.operations.query("d")
    (row,) = delivered_rows(operation, manual.project.ledger.approvals.by_digest())
    assert (row["approved_by"], row["approved_via"]) == ("eva", f"Dagster run {result.run_id}")


@pytest.mark.parametrize("missing", ["digest", "approved_by"])
def test_an_approval_without_a_digest_or_a_name_is_no_run_at_all(manual: DeliverEnv, missing: str):
    ran(manual)
    with dg.DagsterInstance.ephemeral() as instance:
        job = delivery_assets("d").resolve_job_def("approve__d")
        config = {"digest": manual.project.ledger.plans.recent("d")[0].digest, "approved_by": "eva"}
        del config[missing]
        with pytest.raises(dg.DagsterInvalidConfigError, match=f"Missing required config entry \\W?{missing}"):
            job.execute_in_process(run_config=config, instance=instance)
    assert not manual.stub.log


@pytest.mark.parametrize("extra", [{"allow": ["max_changes"]}, {"approved": True}])
def test_no_run_config_lifts_a_guard(manual: DeliverEnv, extra: dict[str, object]):
    ran(manual)
    with pytest.raises(dg.DagsterInvalidConfigError, match=f"Received unexpected config entry \\W?{next(iter(extra))}"):
        approved(manual, **extra)
    _, delivered = delivery_assets("d").assets
    config = {"ops": {"delivered__d": {"config": extra}}}
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.materialize([delivered], run_config=config)  # type: ignore[arg-type, list-item]
    assert not manual.stub.log


@pytest.mark.parametrize("digest", ["newest", "d", "", "%", "0123"])
def test_only_a_digest_names_the_plan_that_is_approved(manual: DeliverEnv, digest: str):
    ran(manual)
    assert "a plan is approved by at least 12 characters of its digest" in failed(approved(manual, digest=digest))
    assert not manual.stub.log
    assert not manual.project.ledger.approvals.by_digest()


def test_a_digest_of_another_delivery_approves_nothing(manual: DeliverEnv):
    manual.deliver("other", fields=NAME, approve="manual")
    manual.project.deliveries["other"].fields["name"].tolerance = 1.0  # other settings, another digest
    ran(manual)
    other = manual.plan("other")
    assert "belongs to delivery 'other', not to 'd'" in failed(approved(manual, digest=other.digest))
    assert not manual.stub.log


def test_a_digest_alone_is_no_approval(manual: DeliverEnv):
    plan = manual.plan()
    _, delivered = delivery_assets("d").assets
    config = {"ops": {"delivered__d": {"config": {"digest": plan.digest}}}}
    result = dg.materialize([delivered], run_config=config, raise_on_error=False)  # type: ignore[arg-type, list-item]
    assert "was not approved, so nothing was written" in failed(result)
    assert not manual.stub.log


def test_an_approval_in_dagster_passes_no_guard(manual: DeliverEnv):
    manual.deliver(fields=NAME, approve="manual", guards={"max_changes": 1})
    manual.plan()
    assert "2 records would change, max_changes allows 1" in failed(approved(manual))
    assert not manual.stub.log


def test_where_nothing_is_to_be_written_nothing_waits(manual: DeliverEnv):
    ran(manual)
    approved(manual)
    assert summary(ran(manual)) == "nothing to write"


def test_the_checks_of_a_run_that_waits_are_told(manual: DeliverEnv):
    checks = {evaluation.check_name: evaluation.passed for evaluation in ran(manual).get_asset_check_evaluations()}
    assert checks == {"guards": True, "conflicts": True, "all_applied": True, "read_back": True}
    assert delivered_key("d").to_user_string() == "delivered/d"


def test_what_was_approved_already_does_not_wait_again(manual: DeliverEnv):
    ran(manual)
    approved(manual)
    _, delivered = delivery_assets("d").assets  # the plan is left out of this run
    with dg.DagsterInstance.ephemeral() as instance:
        assert summary(dg.materialize([delivered], instance=instance)) == "nothing to write"  # type: ignore[arg-type, list-item]


class TestAtTheShell:
    @pytest.fixture
    def say(self, manual: DeliverEnv, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
        """Run a command and give what it printed."""
        monkeypatch.setattr(Project, "load", lambda *_: manual.project)
        monkeypatch.setattr("orchestration.cli.launch.defs", delivery_job)
        monkeypatch.setenv("DAGSTER_HOME", str(manual.home / "dagster"))
        monkeypatch.setattr("getpass.getuser", lambda: "belvedere")

        def run(*words: str, code: int = 0) -> str:
            monkeypatch.setattr("sys.argv", ["belvedere", *words])
            assert main(words) == code
            captured = capsys.readouterr()
            return re.sub(r"\s+", " ", captured.out + captured.err)

        return run

    def test_a_name_approves_nothing_and_names_the_digest(self, manual: DeliverEnv, say: Say):
        digest = manual.plan().digest[:12]
        output = say("apply", "d", code=1)
        assert "a plan is approved, and a guard lifted, by the plan's digest, not by the delivery's name" in output
        assert f"Look at it: belvedere plan --show {digest}; approve and write it: belvedere apply {digest}" in output
        assert not manual.stub.log

    def test_a_guard_is_not_lifted_by_name_either(self, manual: DeliverEnv, say: Say):
        manual.deliver(fields=NAME, guards={"max_changes": 1})
        manual.plan()
        assert "by the plan's digest" in say("apply", "d", "--allow", "max_changes", code=1)
        assert not manual.stub.log

    def test_a_digest_writes_and_says_who_approved(self, manual: DeliverEnv, say: Say):
        manual.deliver(fields=NAME, approve="manual", guards={"max_changes": 1})
        digest = manual.plan().digest[:12]
        assert "2 records would change, max_changes allows 1" in say("apply", digest, code=1)
        assert "2 applied" in say("apply", digest, "--allow", "max_changes", "--by", "eva")
        assert "approved by belvedere, command line (belvedere)" in say("plan", "--list")
        output = say("plan", "--show", digest)
        assert "approved by eva, command line (belvedere)" in output
        assert "allowed max_changes" in output

    def test_a_delivery_without_approval_is_applied_by_name_and_names_the_digest(self, manual: DeliverEnv, say: Say):
        manual.deliver(fields=NAME)
        digest = manual.plan().digest[:12]
        output = say("apply", "d")
        assert f"d: 2 fields of 2 records to write; digest {digest}" in output
        assert "2 applied" in output


def delivery_job() -> dg.Definitions:
    job = dg.define_asset_job("deliver", selection="*", executor_def=dg.in_process_executor)
    return dg.Definitions.merge(delivery_assets("d"), dg.Definitions(jobs=[job]))
