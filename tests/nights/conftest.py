"""A whole night, run once for all the tests that look at it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pytest

from engine.build.context import TableResult
from engine.build.current_tables import Tables
from engine.build.run import build
from engine.config.project import Project
from engine.deliver.apply import ApplyResult, apply
from engine.deliver.plan import plan
from engine.deliver.plan_store import Plan
from engine.extract.result import StreamResult
from engine.extract.run import extract
from engine.publish.publish import Published, publish
from sandbox.server import Sandbox
from tests.conftest import TODAY, opened
from tests.nights.unhurried import unhurried


@dataclass
class Night:
    """Hold what one night did."""

    project: Project
    sandbox: Sandbox
    as_of: date
    read: dict[str, StreamResult] = field(default_factory=dict)
    built: dict[str, TableResult] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    applied: dict[str, ApplyResult] = field(default_factory=dict)
    published: Published | None = None

    @property
    def tables(self) -> Tables:
        return Tables(self.project)


def night(project: Project, sandbox: Sandbox, as_of: date, name: str) -> Night:
    """Run the three stages as the assets do, without Dagster."""
    done = Night(project, sandbox, as_of)
    for connection in project.connections:
        for result in extract(project, connection, name):
            done.read[f"{connection}/{result.stream}"] = result
    done.built = {result.table: result for result in build(project, as_of, name)}
    for delivery in project.deliveries:
        done.plans[delivery] = plan(project, delivery, name)
        done.applied[delivery] = apply(project, delivery, name)
    done.published = publish(project, "warehouse", name)
    return done


@pytest.fixture(scope="module")
def world(monkeysession: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a sandbox for a module."""
    with Sandbox(customers=80, seed=5, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        yield running


@pytest.fixture(scope="module")
def first(world: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Run the first night."""
    return night(opened(tmp_path_factory.mktemp("night")), world, TODAY, "first")


@pytest.fixture(scope="module")
def second(first: Night) -> Night:
    """Run the night after a day with a handful of changes."""
    first.sandbox.clock.advance(86400)
    first.sandbox.changes()
    first.sandbox.clock.advance(3600)
    first.sandbox.requests.clear()
    return night(first.project, first.sandbox, TODAY + timedelta(days=1), "second")


@pytest.fixture(scope="module")
def third(second: Night) -> tuple[Night, int]:
    """Run a night in which nothing has changed, and count what it wrote."""
    second.sandbox.clock.advance(3600)
    before = len(second.sandbox.writes)
    done = night(second.project, second.sandbox, second.as_of, "third")
    return done, len(second.sandbox.writes) - before


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def small_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a small sandbox of its own for each test: its clock stands still, and clients wait without losing time."""
    unhurried(monkeypatch)
    with Sandbox(customers=12, seed=5, today=TODAY) as running:
        running.clock.stop()
        monkeypatch.setenv("SANDBOX_URL", running.url)
        yield running


@pytest.fixture
def settled_sandbox(small_sandbox: Sandbox) -> Sandbox:
    """Run a small sandbox two hours later: no record is younger than a stream's lag or lookback."""
    small_sandbox.clock.advance(7200)
    return small_sandbox
