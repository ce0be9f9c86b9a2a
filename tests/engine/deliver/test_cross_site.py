"""What another web page can make Dagster do: it approves nothing and lifts no guard.

Dagster's GraphQL endpoint executes mutations sent by GET, whatever their Origin (measured on
1.13.27), so any page that a user's browser shows can launch runs.
"""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import dagster as dg
import pytest
import requests
import uvicorn
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_webserver.app import create_app_from_workspace_process_context

from engine.config.loader import ROOT

# Dagster reads a deprecated property of its own when it lists schedules.
pytestmark = pytest.mark.filterwarnings("ignore:.*environment_vars:DeprecationWarning")
JOB = "approve__scores_to_odoo"
DIGEST = "0123456789ab" * 5
LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on PythonError { message }
} }
"""
Launch = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Make an instance as the product has it, whose runs wait in the queue: there is no daemon."""
    home = tmp_path_factory.mktemp("cross-site")
    for name in ("odoo", "scores_to_odoo"):
        shutil.copytree(ROOT / "orchestration" / "defs" / name, home / "defs" / name)
    model = home / "defs" / "customer_model" / "defs.yaml"
    model.parent.mkdir()
    model.write_text("type: orchestration.components.CustomerModel\nattributes: {}\n", "utf-8")
    file = home / "defs" / "scores_to_odoo" / "defs.yaml"
    file.write_text(file.read_text("utf-8") + "  approve: manual\n", "utf-8")
    shutil.copy(ROOT / "dagster.yaml", home)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("BELVEDERE_DEFS", home / "defs"), ("BELVEDERE_HOME", home), ("DAGSTER_HOME", home)):
            patch.setenv(name, str(value))
        patch.setenv("SANDBOX_URL", "http://127.0.0.1:9")
        with dg.DagsterInstance.get() as opened:
            yield opened


@pytest.fixture(scope="module")
def launch(instance: dg.DagsterInstance) -> Iterator[Launch]:
    """Launch a job as a page elsewhere can: by GET, without reading anything first."""
    code = LoadableTargetOrigin(module_name="orchestration.definitions")
    target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(code, location_name="belvedere"))
    with WorkspaceProcessContext(instance, target) as process:
        app = create_app_from_workspace_process_context(process)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", lifespan="off"))
        listening = socket.create_server(("127.0.0.1", 0))
        thread = Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/graphql"

        def get(config: dict[str, Any], job: str = JOB) -> dict[str, Any]:
            selector = {"repositoryLocationName": "belvedere", "repositoryName": "__repository__", "jobName": job}
            params = {"selector": selector, "runConfigData": json.dumps(config)}
            sent = {"query": LAUNCH, "variables": json.dumps({"params": params})}
            foreign = {"Origin": "https://evil.example", "Host": "evil.example"}
            answer = requests.get(url, params=sent, headers=foreign, timeout=60)
            return answer.json()["data"]["launchRun"]

        yield get
        server.should_exit = True
        thread.join()


def approvals() -> dict[str, Any]:
    from engine.config.project import Project

    return dict(Project.load().ledger.approvals.by_digest())


def test_a_page_elsewhere_can_launch_runs(launch: Launch, instance: dg.DagsterInstance):
    """Show that the tests below refuse by our own doing; the proxy of docs/operations.md stops this."""
    answer = launch({}, job="deliver")
    assert answer["__typename"] == "LaunchRunSuccess"
    run = instance.get_run_by_id(answer["run"]["runId"])
    assert run is not None
    assert run.status is dg.DagsterRunStatus.QUEUED


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "Missing required config entries ['approved_by', 'digest']"),
        ({"approved_by": "eva"}, 'Missing required config entry "digest"'),
        ({"digest": DIGEST}, 'Missing required config entry "approved_by"'),
        ({"digest": None, "approved_by": "eva"}, "digest"),
        ({"digest": DIGEST, "approved_by": "eva", "allow": ["max_changes"]}, 'unexpected config entry "allow"'),
        ({"approved": True}, 'unexpected config entry "approved"'),
        ({"ops": {"delivered__scores_to_odoo": {"config": {"approved": True}}}}, 'unexpected config entry "ops"'),
    ],
)
def test_it_launches_no_approval_without_the_digest_and_lifts_no_guard(
    launch: Launch, config: dict[str, Any], problem: str
):
    answer = launch(config)
    assert answer["__typename"] == "RunConfigValidationInvalid"
    assert problem in " ".join(error["message"] for error in answer["errors"])
    assert not approvals()


@pytest.mark.parametrize("setting", [{"approved": True}, {"allow": ["max_changes"]}])
def test_no_other_job_takes_such_settings(launch: Launch, setting: dict[str, Any]):
    answer = launch({"ops": {"delivered__scores_to_odoo": {"config": setting}}}, job="deliver")
    assert answer["__typename"] == "RunConfigValidationInvalid"
    assert f'unexpected config entry "{next(iter(setting))}"' in answer["errors"][0]["message"]
