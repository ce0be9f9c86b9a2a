"""A source that was restored from a backup is noticed in the next night, where its newest records can be asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.conftest import TODAY
from tests.nights.seen import differences, read, seen, without_absorbed
from tests.nights.unhurried import small, unhurried

DAY = 86_400
KINDS = {"hubspot": "companies", "odoo": "res.partner", "zendesk": "organizations"}


@pytest.fixture
def company(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a small sandbox of its own for each test."""
    unhurried(monkeypatch)
    with Sandbox(customers=12, seed=5, today=TODAY) as running:
        running.clock.stop()
        running.clock.advance(7200)
        monkeypatch.setenv("SANDBOX_URL", running.url)
        yield running


@pytest.mark.parametrize("system", KINDS)
def test_a_restore_begins_a_full_refresh_in_the_next_night(company: Sandbox, tmp_path: Path, system: str):
    project = small(tmp_path / "home")
    read(project, system, "first", streams=["accounts"])
    backup = company.backup(system)
    company.clock.advance(DAY)
    rows = company.hubspot.objects if system == "hubspot" else getattr(company, system).tables
    for number in sorted(rows[KINDS[system]])[:8]:  # Odoo's partners are persons, too
        company.edit(system, KINDS[system], number, {"name": "edited after the backup"})
    company.clock.advance(DAY)
    assert read(project, system, "second", streams=["accounts"])["accounts"].changed > 0

    company.restore(system, backup)
    company.clock.advance(DAY)
    result = read(project, system, "third", streams=["accounts"])["accounts"]

    assert result.status == "done"
    assert result.notes[0].startswith("the source went back to earlier versions of records")
    fresh = small(tmp_path / "fresh")
    read(fresh, system, "fresh", streams=["accounts"])
    views = [without_absorbed(one, system, seen(one, system, ["accounts"])) for one in (project, fresh)]
    assert differences(*views) == []
    company.clock.advance(DAY)
    again = read(project, system, "fourth", streams=["accounts"])["accounts"]
    assert (again.landed, again.notes) == (0, [])
