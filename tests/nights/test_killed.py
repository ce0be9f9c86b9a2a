"""Runs that are killed from outside, and what the next run makes of it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from engine.build.run import build
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.deliver.apply import apply
from engine.deliver.plan import plan
from engine.extract.run import extract
from engine.storage.backend import backend
from sandbox.server import Sandbox
from tests.conftest import TODAY, only, opened

SCORES = ("scores_to_hubspot", "scores_to_odoo")
EXTRACT = """
import sys; from pathlib import Path; from tests.conftest import opened; from engine.extract.run import extract
for _ in extract(opened(Path(sys.argv[1])), sys.argv[2], "killed"): pass
"""
APPLY = """
import sys; from pathlib import Path; from tests.conftest import opened; from engine.deliver.apply import apply
apply(opened(Path(sys.argv[1])), sys.argv[2], "killed")
"""


def killed_when(code: str, home: Path, name: str, is_time: Callable[[], bool]) -> bool:
    """Run code in a process of its own and kill it at a moment; tells whether it was still alive."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, str(home), name], cwd=ROOT, env=dict(os.environ)
    )
    end = monotonic() + 60
    while not is_time() and process.poll() is None and monotonic() < end:
        sleep(0.002)
    was_alive = process.poll() is None
    process.kill()
    process.wait()
    return was_alive


def held(project: Project, connection: str) -> dict[tuple[str, str], tuple[bool, str]]:
    """Give what the lake holds of a connection: the newest payload of each record."""
    con = backend.connect(threads=1)
    found = {}
    for stream in project.streams(connection):
        asset = f"raw/{connection}/{stream.name}"
        if project.ledger.files.for_asset(asset):
            rows = project.lake.read(con, asset).select("_key", "_deleted", "_payload", "_cursor", "_extracted_at")
            for row in rows.order_by("_cursor", "_extracted_at").to_pyarrow().to_pylist():
                found[asset, row["_key"]] = (row["_deleted"], row["_payload"])
    return found


def landed(project: Project) -> dict[str, int]:
    return {asset: rows for asset, rows in project.ledger.files.rows_since(0).items() if asset.startswith("raw/")}


@pytest.mark.parametrize(("connection", "requests"), [("hubspot", 8), ("hubspot", 23), ("odoo", 11), ("zendesk", 5)])
def test_a_killed_extract_goes_on_where_it_was(sandbox: Sandbox, tmp_path: Path, connection: str, requests: int):
    calm = opened(tmp_path / "calm")
    for _ in extract(calm, connection, "calm"):
        pass
    sandbox.requests.clear()
    sandbox.faults.add(f"/{connection}", "latency", ms=15)
    project = opened(tmp_path / "killed")
    assert killed_when(EXTRACT, project.home, connection, lambda: sandbox.requests.total() >= requests)
    sandbox.faults.clear()

    results = list(extract(project, connection, "again"))

    assert {result.status for result in results} == {"done"}
    assert held(project, connection) == held(calm, connection)
    assert landed(project) == landed(calm)  # no page that had landed was read again
    project.lake.sweep()


@pytest.fixture(scope="module")
def planned(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read, build and plan once; each trial begins with a copy of it and a sandbox as it was."""
    with Sandbox(customers=30, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        whole = opened(tmp_path_factory.mktemp("planned") / "home")
        project = only(whole, hubspot=["accounts", "deals", "owners"], odoo=["accounts", "invoices"])
        for connection in project.connections:
            for _ in extract(project, connection, "first"):
                pass
        for _ in build(project, TODAY, "first"):
            pass
        for delivery in SCORES:
            assert plan(project, delivery, "first").fields
    return project.home


def scores(sandbox: Sandbox) -> dict[str, Any]:
    companies = {
        number: {name: value for name, value in row["properties"].items() if name.startswith("belvedere_")}
        for number, row in sandbox.hubspot.objects["companies"].items()
    }
    partners = {
        number: {name: value for name, value in row.items() if name.startswith("x_belvedere_")}
        for number, row in sandbox.odoo.tables["res.partner"].items()
    }
    return {"hubspot": companies, "odoo": partners}


@pytest.fixture(scope="module")
def undisturbed(
    planned: Path, monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    home = shutil.copytree(planned, tmp_path_factory.mktemp("calm") / "home")
    with Sandbox(customers=30, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        project = opened(home)
        for delivery in SCORES:
            apply(project, delivery, "calm")
        return scores(running)


@pytest.mark.parametrize("writes", [0, 1, 7, 20])
def test_a_killed_apply_loses_nothing_and_doubles_nothing(
    planned: Path, undisturbed: dict[str, Any], sandbox: Sandbox, tmp_path: Path, writes: int
):
    home = shutil.copytree(planned, tmp_path / "home")
    sandbox.faults.add("/odoo", "latency", ms=10)
    assert killed_when(APPLY, home, "scores_to_odoo", lambda: len(sandbox.writes) > writes)
    sandbox.faults.clear()
    project = opened(home)
    for delivery in SCORES:
        result = apply(project, delivery, "again")
        assert set(result.counts) <= {"applied"}
    assert scores(sandbox) == undisturbed
    assert not [write for write in sandbox.writes if write["no_change"]]
    assert len({(write["system"], write["id"]) for write in sandbox.writes}) == len(sandbox.writes)
    assert not [delivery for delivery in SCORES if plan(project, delivery, "after").fields]


def test_lost_answers_are_asked_for_and_not_sent_again(
    planned: Path, undisturbed: dict[str, Any], sandbox: Sandbox, tmp_path: Path
):
    project = opened(shutil.copytree(planned, tmp_path / "home"))
    sandbox.faults.add("/hubspot/crm/v3/objects/companies/batch/update", "lost_answer")
    applied = apply(project, "scores_to_hubspot", "lost")
    sandbox.faults.clear()
    assert applied.counts["applied"] == len(sandbox.writes) > 20
    assert scores(sandbox)["hubspot"] == undisturbed["hubspot"]
    assert not [write for write in sandbox.writes if write["no_change"]]


def test_what_a_person_edits_between_plan_and_apply_survives(planned: Path, sandbox: Sandbox, tmp_path: Path):
    project = opened(shutil.copytree(planned, tmp_path / "home"))
    row = plan(project, "scores_to_hubspot", "now").rows("update")[0]
    sandbox.edit("hubspot", "companies", row["record_id"], {row["field"]: "mine"})
    applied = apply(project, "scores_to_hubspot", "now")
    assert applied.counts["conflict"] == 1
    assert sandbox.hubspot.objects["companies"][row["record_id"]]["properties"][row["field"]] == "mine"
    assert not [write for write in sandbox.writes if write["id"] == row["record_id"]]


def test_a_target_that_fails_now_is_finished_later(
    planned: Path, undisturbed: dict[str, Any], sandbox: Sandbox, tmp_path: Path
):
    project = opened(shutil.copytree(planned, tmp_path / "home"))
    sandbox.faults.add("/odoo/jsonrpc", "error", after=3, status=503)
    broken = apply(project, "scores_to_odoo", "broken")
    assert broken.error
    sandbox.faults.clear()
    apply(project, "scores_to_odoo", "later")
    assert scores(sandbox)["odoo"] == undisturbed["odoo"]
    assert not [write for write in sandbox.writes if write["no_change"]]


def test_another_account_behind_the_same_name_is_refused(planned: Path, sandbox: Sandbox, tmp_path: Path):
    project = opened(shutil.copytree(planned, tmp_path / "home"))
    project.connections["odoo"].settings["database"] = "production"
    with pytest.raises(Exception, match=r"refused|account"):
        apply(project, "scores_to_odoo", "wrong")
    assert not sandbox.writes
