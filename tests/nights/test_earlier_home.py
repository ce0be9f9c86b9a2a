"""Homes that the version before left behind go on with their next night.

`homes/version_0_1.tar.xz` holds five small homes, written by the code of that version against the same sandbox: after a
whole night, in the middle of a slice, in the middle of a full refresh, with deletions that the delete guard held back, and
with plans that wait to be applied.
"""

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.kit.errors import SettingsError
from engine.build.run import build
from engine.config.project import Project
from engine.deliver.apply import apply
from engine.deliver.plan import plan
from engine.extract.run import extract
from engine.storage.stores.sync_state import full_refresh_of
from sandbox.server import Sandbox
from tests.conftest import TODAY, only
from tests.nights.seen import differences, seen, without_absorbed
from tests.nights.unhurried import small, unhurried

HOMES = Path(__file__).parent / "homes"
STREAMS = {
    "hubspot": ["accounts", "contacts", "deals", "owners"],
    "odoo": ["accounts", "invoices", "owners"],
    "zendesk": ["tickets"],
}
SCORES = ("scores_to_hubspot", "scores_to_odoo")
DAY = 86_400


@pytest.fixture
def company(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run the sandbox that the homes were filled from."""
    unhurried(monkeypatch)
    with Sandbox(customers=20, seed=3, today=TODAY) as running:
        monkeypatch.setenv("SANDBOX_URL", running.url)
        yield running


@pytest.fixture
def earlier(company: Sandbox, tmp_path: Path) -> Callable[[str], Project]:
    """Unpack one of the homes and open it."""

    def unpack(kind: str) -> Project:
        with tarfile.open(HOMES / "version_0_1.tar.xz") as archive:
            archive.extractall(tmp_path, [one for one in archive if one.name.split("/")[0] == kind], filter="data")
        return configured(tmp_path / kind)

    return unpack


def configured(home: Path) -> Project:
    project = only(small(home), **STREAMS)
    for connection in project.connections.values():
        connection.max_quarantine_share = 1.0
    rates = {"rates": str(HOMES / "rates.csv"), "max_rate_age_days": 4000}
    project.models["customer_model"] = project.model.model_copy(update=rates)
    return project


def read(project: Project, run: str) -> dict[str, str]:
    return {
        f"{connection}/{result.stream}": result.status
        for connection in project.connections
        for result in extract(project, connection, run)
    }


def landed(project: Project) -> dict[str, int]:
    return {asset: rows for asset, rows in project.ledger.files.rows_since(0).items() if asset.startswith("raw/")}


def assert_equal_to_a_fresh_home(project: Project, home: Path) -> None:
    fresh = configured(home)
    assert set(read(fresh, "fresh").values()) == {"done"}
    for connection in project.connections:
        stored = [without_absorbed(one, connection, seen(one, connection)) for one in (project, fresh)]
        assert not differences(*stored)


def test_a_quiet_night_after_a_whole_one_lands_no_row_again(earlier: Callable[[str], Project], company: Sandbox):
    project = earlier("idle")
    rows = landed(project)
    company.clock.advance(DAY)

    assert set(read(project, "second").values()) == {"done"}

    assert landed(project) == rows
    tables = {result.table: result for result in build(project, TODAY, "second")}
    assert tables["customers"].rows > 0


@pytest.mark.parametrize("kind", ["mid_slice", "mid_refresh"])
def test_an_open_slice_is_read_to_its_end(
    earlier: Callable[[str], Project], company: Sandbox, tmp_path: Path, kind: str
):
    project = earlier(kind)
    company.clock.advance(DAY)

    assert set(read(project, "second").values()) == {"done"}
    assert set(read(project, "third").values()) == {"done"}

    assert_equal_to_a_fresh_home(project, tmp_path / "fresh")


def test_an_open_full_refresh_is_begun_again_and_ends(
    earlier: Callable[[str], Project], company: Sandbox, tmp_path: Path
):
    project, connection, stream = earlier("mid_refresh"), "hubspot", "deals"
    sync = project.ledger.sync
    (begun,) = sync.open_slices(connection, full_refresh_of(stream))
    assert begun.mark == project.ledger.files.newest_id()
    assert sync.open_slices(connection, stream) == sync.intervals(connection, stream) == []
    rows = landed(project)
    company.clock.advance(DAY)
    gone = min(key for key, row in company.hubspot.objects[stream].items() if not row["archived"])
    company.hubspot.delete(stream, gone)

    result = next(one for one in extract(project, connection, "second") if one.stream == stream)

    alive = [row for row in company.hubspot.objects[stream].values() if not row["archived"]]
    assert (result.status, result.read) == ("done", len(alive))
    assert sync.open_slices(connection, full_refresh_of(stream)) == []
    assert landed(project)[f"raw/{connection}/{stream}"] > rows[f"raw/{connection}/{stream}"]


def test_deletions_held_back_by_the_delete_guard_can_be_let_through(
    earlier: Callable[[str], Project], company: Sandbox, tmp_path: Path
):
    project = earlier("pending_tombstones")
    company.clock.advance(DAY)
    for deal in sorted(key for key, row in company.hubspot.objects["deals"].items() if not row["archived"])[:8]:
        company.hubspot.delete("deals", deal)
    for move in sorted(company.odoo.tables["account.move"])[::2]:
        company.delete("odoo", "account.move", move)
    for connection in project.connections.values():
        connection.max_delete_pct = 100

    assert set(read(project, "second").values()) == {"done"}

    assert_equal_to_a_fresh_home(project, tmp_path / "fresh")


def test_a_plan_that_waits_is_refused_and_made_again(earlier: Callable[[str], Project], company: Sandbox):
    """Its digest cannot be computed again, so nothing proves it."""
    project = earlier("approved_plan")
    for delivery in SCORES:
        waiting, written = project.ledger.plans.newest(delivery), len(company.writes)
        with pytest.raises(SettingsError, match="an earlier version of Belvedere saved it"):
            apply(project, delivery, "second")
        assert len(company.writes) == written

        made = plan(project, delivery, "second")
        assert made.changes == waiting.changes
        assert apply(project, delivery, "second").counts["applied"] == made.changes
        assert plan(project, delivery, "third").changes == 0
