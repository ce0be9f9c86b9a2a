"""Some tables of a snapshot made again: which are made, as of which date, and what is stale after it."""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit.errors import SettingsError
from engine.build.current_tables import Tables
from engine.build.freshness import StaleTables, stale_tables
from engine.build.run import build, rebuild
from engine.build.tables import TABLES
from engine.config.customer_model import Override
from engine.config.project import Project
from engine.deliver.plan import plan
from engine.extract.run import extract
from engine.publish.publish import publish
from sandbox.server import Sandbox
from tests.conftest import TODAY, only, opened

UNIT = {*TABLES.conformed, "quarantine", "redirects", "reconciliation"}


def small(home: Path) -> Project:
    project = only(opened(home), hubspot=["accounts", "deals", "owners"], odoo=["accounts", "invoices"])
    for connection in project.connections.values():
        connection.max_quarantine_share = 1  # in so small a world one spoilt row is a large share
    return project


@pytest.fixture(scope="module")
def world(monkeysession: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(customers=20, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        yield running


@pytest.fixture(scope="module")
def built(world: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = small(tmp_path_factory.mktemp("built") / "home")
    for connection in project.connections:
        list(extract(project, connection, "first"))
    list(build(project, TODAY, "first"))
    project.ledger.engine.dispose()
    return project.home


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Project:
    return small(shutil.copytree(built, tmp_path / "home"))


def made(project: Project, *tables: str) -> list[str]:
    return [result.table for result in rebuild(project, tables, "again")]


def overridden(project: Project) -> None:
    """Change a setting that `retention` depends on."""
    customer = Tables(project).query("SELECT min(customer_id) AS id FROM retention")[0]["id"]
    override = Override(
        customer_id=customer, what="retention", value=1, reason="They left us.", author="Eva", created_on=TODAY
    )
    project.models["customer_model"] = project.model.model_copy(update={"overrides": [override]})


def test_one_table_is_made_again_from_the_others_of_its_snapshot(project: Project):
    overridden(project)
    before = {asset: project.ledger.files.for_asset(asset) for asset in TABLES.tables}
    assert made(project, "retention") == ["retention"]
    changed = {asset for asset in TABLES.tables if project.ledger.files.for_asset(asset) != before[asset]}
    assert changed == {"retention"}
    assert project.ledger.snapshots.current().as_of == TODAY
    assert Tables(project).query("SELECT min(value_effective) AS v FROM retention") == [{"v": 1.0}]


def test_what_is_downstream_of_a_changed_table_is_stale_until_it_is_made(project: Project):
    overridden(project)
    made(project, "retention")
    stale = stale_tables(project)
    assert {"key_accounts", "customer_360", "score_history", "reminders"} <= {*stale}
    assert not {"satisfaction", "customers", "retention", "handovers"} & {*stale}
    assert made(project, *(table for table in stale if table != "score_history"))[-1] == "reminders"
    assert stale_tables(project) == ()
    (row,) = Tables(project).query("SELECT count(*) AS n FROM customer_360 WHERE retention_score = 1")
    assert row["n"] == 1


def test_a_table_made_from_a_stale_one_is_stale_too(project: Project):
    overridden(project)
    made(project, "retention")
    made(project, "account_managers")
    assert "account_managers" in stale_tables(project)


def test_a_table_that_comes_out_the_same_makes_nothing_stale(project: Project):
    files = project.ledger.files.for_asset("customers")
    made(project, "customers")
    assert project.ledger.files.for_asset("customers") == files
    assert stale_tables(project) == ()


@pytest.mark.parametrize(
    "act",
    [
        lambda project: publish(project, "warehouse", "night"),
        lambda project: plan(project, "scores_to_hubspot", "night"),
    ],
)
def test_stale_tables_are_neither_published_nor_delivered(project: Project, act: Callable[[Project], object]):
    overridden(project)
    made(project, "retention")
    with pytest.raises(StaleTables) as error:
        act(project)
    assert str(error.value) == (
        "tables are older than what they are made of: account_managers, customer_360, key_account_criteria, "
        "key_account_sensitivity, key_accounts, regions, reminders, score_alerts, score_history. Nothing is published or delivered "
        "until they are made: run `belvedere build`, or `dagster asset materialize -m orchestration.definitions "
        "--select account_managers,customer_360,key_account_criteria,key_account_sensitivity,key_accounts,regions,"
        "reminders,score_alerts`"
    )
    made(project, *(table for table in stale_tables(project) if table != "score_history"))
    act(project)


def test_the_conform_unit_is_made_as_a_whole_from_the_newest_raw_rows(project: Project, world: Sandbox):
    (account,) = Tables(project).query("SELECT min(account_id) AS id FROM accounts WHERE connection = 'hubspot'")
    world.edit("hubspot", "companies", account["id"], {"city": "Newtown"})
    world.clock.advance(3600)
    list(extract(project, "hubspot", "second"))
    assert {*made(project, "accounts")} == UNIT
    assert {"crosswalk", "customers", "customer_360"} <= {*stale_tables(project)}
    assert not UNIT - {"reconciliation"} & {*stale_tables(project)}
    list(build(project, TODAY, "third"))
    assert stale_tables(project) == ()


def test_the_day_of_the_history_is_made_with_a_table_that_reads_it(project: Project):
    overridden(project)
    made(project, "retention")
    assert made(project, "customer_360") == ["score_history", "customer_360"]


def test_a_subset_takes_no_other_date(project: Project):
    with pytest.raises(SettingsError, match="are made as of 2026-10-20, the date of the others, not 2026-10-21"):
        list(rebuild(project, ["retention"], "other", TODAY + timedelta(days=1)))


def test_a_subset_of_nothing_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match="nothing was built yet"):
        list(rebuild(small(tmp_path), ["retention"], "first"))


def test_a_subset_that_fails_changes_nothing(project: Project, monkeypatch: pytest.MonkeyPatch):
    overridden(project)
    snapshot = project.ledger.snapshots.current()
    results = rebuild(project, ["retention", "key_accounts"], "killed")
    assert next(results).table == "retention"
    results.close()
    assert project.ledger.snapshots.current() == snapshot
    assert stale_tables(project) == ()
