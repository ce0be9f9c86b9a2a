"""A source that was restored from a backup is noticed in the next night, where its newest records can be asked for."""

from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.nights.seen import differences, read, seen, without_absorbed
from tests.nights.unhurried import small

DAY = 86_400
KINDS = {"hubspot": "companies", "odoo": "res.partner", "zendesk": "organizations"}


@pytest.mark.parametrize("system", KINDS)
def test_a_restore_begins_a_full_refresh_in_the_next_night(settled_sandbox: Sandbox, tmp_path: Path, system: str):
    project = small(tmp_path / "home")
    read(project, system, "first", streams=["accounts"])
    backup = settled_sandbox.backup(system)
    settled_sandbox.clock.advance(DAY)
    rows = settled_sandbox.hubspot.objects if system == "hubspot" else getattr(settled_sandbox, system).tables
    for number in sorted(rows[KINDS[system]])[:8]:  # Odoo's partners are persons, too
        settled_sandbox.edit(system, KINDS[system], number, {"name": "edited after the backup"})
    settled_sandbox.clock.advance(DAY)
    assert read(project, system, "second", streams=["accounts"])["accounts"].changed > 0

    settled_sandbox.restore(system, backup)
    settled_sandbox.clock.advance(DAY)
    result = read(project, system, "third", streams=["accounts"])["accounts"]

    assert result.status == "done"
    assert result.notes[0].startswith("the source went back to earlier versions of records")
    fresh = small(tmp_path / "fresh")
    read(fresh, system, "fresh", streams=["accounts"])
    views = [without_absorbed(one, system, seen(one, system, ["accounts"])) for one in (project, fresh)]
    assert differences(*views) == []
    settled_sandbox.clock.advance(DAY)
    again = read(project, system, "fourth", streams=["accounts"])["accounts"]
    assert (again.landed, again.notes) == (0, [])
