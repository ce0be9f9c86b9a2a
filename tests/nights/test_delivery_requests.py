"""What a night asks of its target: no more than it must. Requests are counted, never timed (benchmarks/deliver.py)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config.connection import ConnectionConfig
from engine.config.delivery import DeliveryConfig
from engine.config.project import Project
from engine.deliver.apply import apply
from engine.deliver.plan import plan
from engine.extract.run import extract
from sandbox.server import Sandbox
from tests.conftest import TODAY
from tests.engine.deliver.build_tables import skip_fsync, write_build

FIELD = "belvedere_retention_score"
ASIDE = ("/account-info/", "/properties/")
MANY = 270
Deliver = Callable[[dict[str, int], str], dict[str, int]]


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch):
    """Run a CRM with 270 companies."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    with Sandbox(customers=20, seed=3, today=TODAY) as sandbox:
        sandbox.hubspot.objects["companies"].clear()
        for number in range(MANY):
            sandbox.create("hubspot", "companies", {"name": f"Company {number}"})
        yield sandbox


@pytest.fixture
def project(crm: Sandbox, tmp_path: Path) -> Project:
    """Deliver a score to all of them."""
    settings = {
        "base_url": f"{crm.url}/hubspot",
        "token": "sandbox-hubspot-token",
        "requests_per_10_seconds": 10_000,
        "searches_per_second": 10_000,
    }
    connection = ConnectionConfig(connector="hubspot", role="crm", settings=settings, streams=["accounts"])
    project = Project(tmp_path / "defs", tmp_path, connections={"crm": connection})
    given = {"table": "customers", "target": {"connection": "crm"}, "fields": {FIELD: {"from": "employees"}}}
    project.deliveries["scores"] = DeliveryConfig.model_validate(given)
    skip_fsync(project.ledger)
    return project


@pytest.fixture
def deliver(crm: Sandbox, project: Project) -> Deliver:
    """Build with these scores, plan and apply; tells the requests by path."""

    def run(scores: dict[str, int], name: str) -> dict[str, int]:
        tables = {
            "customers": [{"customer_id": f"C{one}", "employees": score} for one, score in scores.items()],
            "accounts": [{"connection": "crm", "account_id": one} for one in scores],
            "crosswalk": [{"connection": "crm", "account_id": one, "customer_id": f"C{one}"} for one in scores],
        }
        write_build(project, name, tables)
        crm.requests.clear()
        plan(project, "scores", name)
        apply(project, "scores", name)
        asked = {path: count for (_, path), count in crm.requests.items() if not any(part in path for part in ASIDE)}
        return {path.rpartition("/v3/")[2]: count for path, count in asked.items()}

    return run


@pytest.fixture
def scores(crm: Sandbox, deliver: Deliver) -> dict[str, int]:
    """Give every company a score, and change one."""
    given = dict.fromkeys(crm.hubspot.objects["companies"], 50)
    deliver(given, "first")
    return given | {next(iter(given)): 51}


READ, WRITE = "objects/companies/batch/read", "objects/companies/batch/update"


def test_one_change_of_270_takes_four_requests_where_the_target_must_be_read(deliver: Deliver, scores: dict[str, int]):
    assert deliver(scores, "second") == {READ: 3, WRITE: 1}


def test_one_change_of_270_takes_two_where_the_target_was_extracted_this_night(
    project: Project, deliver: Deliver, scores: dict[str, int]
):
    assert [result.status for result in extract(project, "crm", "night")] == ["done"]
    assert deliver(scores, "second") == {READ: 1, WRITE: 1}


def test_a_quiet_night_reads_and_writes_nothing_more(project: Project, deliver: Deliver, scores: dict[str, int]):
    deliver(scores, "second")
    assert deliver(scores, "third") == {READ: 3}
    assert [result.status for result in extract(project, "crm", "night")] == ["done"]
    assert deliver(scores, "fourth") == {}


def test_all_changes_take_as_few_requests_as_batches_allow(deliver: Deliver, scores: dict[str, int]):
    assert deliver({one: score + 1 for one, score in scores.items()}, "second") == {READ: 3, WRITE: 3}
