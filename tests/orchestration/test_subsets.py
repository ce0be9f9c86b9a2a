"""Some tables made from Dagster's command line, as docs/operations.md says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from engine.build.freshness import stale_tables
from engine.build.run import build
from engine.build.tables import TABLES
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.extract.run import extract
from orchestration.assets.keys import STAGE
from sandbox.server import Sandbox
from tests.conftest import TODAY

BIN = Path(sys.executable).parent
DEFS = {
    "hubspot": "Connection\nattributes:\n  connector: hubspot\n  role: crm\n  streams: [accounts, deals, owners]\n"
    "  max_quarantine_share: 1\n  settings: {base_url: '{{ env.SANDBOX_URL }}/hubspot', "
    "token: '{{ env.HUBSPOT_TOKEN }}', portal_id: 12345678}\n",
    "customer_model": "CustomerModel\nattributes: {}\n",
    "warehouse": "Warehouse\n",
}


@pytest.fixture(scope="module")
def home(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Build the tables of a small project of one connection."""
    home = tmp_path_factory.mktemp("subsets")
    for name, text in DEFS.items():
        (home / "defs" / name).mkdir(parents=True)
        (home / "defs" / name / "defs.yaml").write_text(f"type: orchestration.components.{text}")
    with Sandbox(customers=20, seed=3, today=TODAY) as running:
        for name, value in (
            ("SANDBOX_URL", running.url),
            ("BELVEDERE_DEFS", str(home / "defs")),
            ("BELVEDERE_HOME", str(home)),
            ("DAGSTER_HOME", str(home / "dagster")),
        ):
            monkeysession.setenv(name, value)
        (home / "dagster").mkdir()
        (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        project = Project.load()
        list(extract(project, "hubspot", "first"))
        list(build(project, TODAY, "first"))
        yield home
    for name in ("BELVEDERE_DEFS", "DAGSTER_HOME"):
        monkeysession.delenv(name)


def materialize(selection: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Type `dagster asset materialize`."""
    command = [BIN / "dagster", "asset", "materialize", "-m", "orchestration.definitions", "--select", selection]
    return subprocess.run([*command, *more], cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)


def reprice(home: Path) -> None:
    """Change a setting that `key_accounts` and what follows depend on."""
    model = (
        "type: orchestration.components.CustomerModel\nattributes:\n  key_accounts: {min_total: 1, min_coverage: 0}\n"
    )
    (home / "defs" / "customer_model" / "defs.yaml").write_text(model)


def test_one_table_and_then_what_is_downstream(home: Path):
    reprice(home)
    ended = materialize("key_accounts")
    assert ended.returncode == 0, ended.stderr[-3000:]
    stale = stale_tables(Project.load())
    assert {"customer_360", "score_history"} <= {*stale}
    assert "nothing is published or delivered until these are made too: " in ended.stderr

    refused = materialize("warehouse")
    assert refused.returncode == 1
    assert "Nothing is published or delivered until they are made: run `belvedere build`, or `dagster" in refused.stderr

    ended = materialize(f'key:"key_accounts"+ and tag:"{STAGE}"="build"')
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert stale_tables(Project.load()) == ()

    ended = materialize("warehouse")
    assert ended.returncode == 0, ended.stderr[-3000:]
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("customer_360"))
        days = instance.get_materialized_partitions(dg.AssetKey("score_history"))
    assert event
    assert event.asset_materialization.metadata["seconds"].value > 0
    assert days == {TODAY.isoformat()}


def test_the_conform_unit_shows_every_table_that_it_made(home: Path):
    ended = materialize("deals")
    assert ended.returncode == 0, ended.stderr[-3000:]
    with dg.DagsterInstance.get() as instance:
        shown = {key.to_user_string() for key in instance.all_asset_keys()}
    assert {*TABLES.in_unit("conform")} <= shown


def test_another_date_is_refused(home: Path):
    ended = materialize("customers", "--config-json", '{"ops": {"build_tables": {"config": {"as_of": "2026-01-01"}}}}')
    assert ended.returncode == 1
    assert "some tables are made as of 2026-10-20, the date of the others, not 2026-01-01" in ended.stderr
