"""What follows what: which runs the sensors start, and which checks stop delivery."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.events import JobFailureData, RunFailureReason

from engine.build.context import TableResult
from engine.build.tables import TABLES
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.storage.lease import lease
from orchestration.assets import build as build_assets_module
from orchestration.cli import run as sync
from orchestration.cli.exits import Exit
from orchestration.dead_runs import BY_HAND, LEASE
from orchestration.jobs import EARLIER_STAGE, STAGE
from orchestration.jobs import stages as jobs


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("BELVEDERE_HOME", str(tmp_path))
    return Project.load(home=tmp_path)


def ended(instance: dg.DagsterInstance, job: str, how: str) -> dg.DagsterRun:
    """Record a run that a schedule or a person in the UI started."""
    run = instance.create_run_for_job(dg.job(name=job)(lambda: None))
    if how == "canceled":
        instance.report_run_canceled(run)
    elif how == "interrupted":
        why = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
        instance.report_run_failed(run, job_failure_data=why)
    elif how == "failed":
        instance.report_run_failed(run)
    else:
        done = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job_name=job)
        instance.report_dagster_event(done, run.run_id)
    return run


def followed(instance: dg.DagsterInstance, sensor: str) -> tuple[list[str | None], str | None]:
    """Evaluate a sensor from the beginning of time: keys of the runs that it starts, and why it starts none."""
    found = next(one for one in jobs().sensors if one.name == sensor)
    context = dg.build_sensor_context(instance, cursor="2000-01-01T00:00:00+00:00", definitions=jobs_alone())
    with context:
        data = found.evaluate_tick(context)
    return [request.run_key for request in data.run_requests], data.skip_message


def jobs_alone() -> dg.Definitions:
    """Stand in for the code location: the sensors ask nothing of it."""
    return dg.Definitions(jobs=[dg.job(name=name)(lambda: None) for name in ("build", "deliver")])


@pytest.mark.parametrize(("how", "is_followed"), [("done", True), ("failed", True), ("canceled", False)])
def test_a_build_follows_an_extract_that_ended_but_none_that_was_canceled(
    instance: dg.DagsterInstance, how: str, is_followed: bool
):
    run = ended(instance, "extract", how)
    assert followed(instance, "build_after_extract")[0] == [run.run_id] * is_followed


def test_no_build_follows_an_extract_whose_process_was_stopped(instance: dg.DagsterInstance):
    ended(instance, "extract", "interrupted")
    assert followed(instance, "build_after_extract")[0] == []


@pytest.mark.parametrize("status", ["done", "failed"])
def test_nothing_is_delivered_after_a_required_connection_failed(
    instance: dg.DagsterInstance, project: Project, status: str
):
    for name in project.connections:
        noted = status if name == "odoo" else "failed" if name == "zendesk" else "done"  # zendesk is not required
        project.ledger.runs.record("night", f"extract:{name}", {"status": noted})
    run = ended(instance, "build", "done")
    keys, skipped = followed(instance, "deliver_after_build")
    if status == "done":
        assert keys == [run.run_id]
    else:
        assert (keys, skipped) == ([], "nothing is delivered: required connection odoo could not be read")


def test_the_run_of_a_killed_command_is_marked_and_that_of_a_living_one_is_not(
    instance: dg.DagsterInstance, project: Project
):
    job = dg.job(name="extract")(lambda: None)
    with lease(project.ledger, "command:alive", "extract"):
        tags = {BY_HAND: "true"}
        alive = instance.create_run_for_job(job, tags=tags | {LEASE: "command:alive"})
        dead = instance.create_run_for_job(job, tags=tags | {LEASE: "command:dead"})
        _, skipped = followed(instance, "killed_commands")
        assert skipped == f"runs of killed commands: {dead.run_id}"
        statuses = [instance.get_run_by_id(run.run_id).status.value for run in (alive, dead)]
        assert statuses == ["NOT_STARTED", "FAILURE"]
    assert followed(instance, "build_after_extract")[0] == []


def built(monkeypatch: pytest.MonkeyPatch, project: Project, broken: str | None, **notes: object) -> bool:
    """Run the build's step on made-up results; tells whether its run succeeded."""

    def results(*_: object) -> Iterator[TableResult]:
        for table in TABLES.tables:
            bad = {"no name": 3} if table == broken else {}
            yield TableResult(table, 1, 0.0, bad, notes if table == "reconciliation" else {})

    monkeypatch.setattr(build_assets_module, "build", results)
    monkeypatch.setattr(build_assets_module, "table_metadata", lambda *_: defaultdict(dict))
    with dg.DagsterInstance.ephemeral() as opened:
        made = dg.materialize([*build_assets_module.build_assets().assets], instance=opened, raise_on_error=False)
        return made.success


@pytest.mark.parametrize(
    ("broken", "gaps", "lost", "succeeds"),
    [
        (None, [], 0, True),
        ("customers", [], 0, False),
        (None, ["odoo deals (all): landed 3, but accepted + quarantined 2"], 1, False),
        (None, ["zendesk tickets (all): it was not read to its end"], 0, True),  # it is not required
    ],
)
def test_a_build_fails_by_a_check_of_severity_error(
    monkeypatch: pytest.MonkeyPatch, project: Project, broken: str | None, gaps: list[str], lost: int, succeeds: bool
):
    assert built(monkeypatch, project, broken, gaps=gaps, lost=lost) == succeeds


@pytest.mark.parametrize("missing", [Exit.DONE, Exit.PARTS_MISSING])
def test_sync_delivers_nothing_after_a_build_that_failed(
    monkeypatch: pytest.MonkeyPatch, project: Project, capsys: pytest.CaptureFixture[str], missing: Exit
):
    monkeypatch.setattr(sync, "extract", lambda: missing)
    monkeypatch.setattr(sync, "build", lambda as_of: Exit.FAILED)
    monkeypatch.setattr(sync, "deliver", lambda: pytest.fail("it delivered"))
    assert sync.night() is Exit.FAILED
    assert "nothing was delivered: the build or a check" in capsys.readouterr().err


def test_the_runs_of_a_stage_can_be_limited_by_its_tag_and_by_that_of_version_0_1():
    limits = yaml.safe_load((ROOT / "dagster.yaml").read_text())["concurrency"]["runs"]["tag_concurrency_limits"]
    assert [limit["key"] for limit in limits] == [STAGE]
    tags = {job.name: (job.tags or {}) for job in jobs().jobs}
    for stage in ("extract", "build", "deliver"):
        assert (tags[stage][STAGE], tags[stage][EARLIER_STAGE]) == (stage, stage)
