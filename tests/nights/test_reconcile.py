"""Fresh eyes find what reading by changes alone would never notice, and touch nothing."""

import os
import subprocess
import sys

import pytest

from engine.build.compare_full_read import Compared, reconcile
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.extract.run import extract
from sandbox.server import Sandbox

DAY = 86_400


def read(project: Project, connection: str, **options: object) -> None:
    for _ in extract(project, connection, "read", **options):
        pass


def compared(project: Project, connection: str) -> dict[str, Compared]:
    return {one.stream: one for one in reconcile(project, connection, "fresh")}


@pytest.mark.parametrize("connection", ["hubspot", "odoo", "zendesk"])
def test_what_was_just_read_is_equal(project: Project, sandbox: Sandbox, connection: str):
    sandbox.clock.advance(600)
    read(project, connection)
    found = compared(project, connection)
    assert found.keys() == {stream.name for stream in project.streams(connection)}
    assert [one for one in found.values() if not one.is_equal] == []
    assert sum(one.stored_rows for one in found.values()) > 50


def test_what_came_too_late_or_moved_no_stamp_is_named_and_a_full_reading_mends_it(project: Project, sandbox: Sandbox):
    sandbox.clock.advance(7200)
    read(project, "odoo")
    invoices = sandbox.odoo.tables["account.move"]
    number, silent = min(invoices), max(invoices)
    late = {name: value for name, value in invoices[number].items() if name not in ("id", "create_date", "write_date")}
    born = sandbox.late("odoo", "account.move", late, 7000)
    invoices[silent]["amount_total"] = 4711.0  # by SQL, as people do
    sandbox.clock.advance(DAY)
    read(project, "odoo")
    before = project.ledger.files.rows_since(0)

    found = compared(project, "odoo")["invoices"]

    assert (found.missing, found.differing, found.surplus) == (1, 1, 0)
    assert sorted(found.examples) == sorted([(str(born), "missing"), (str(silent), "differing: total_amount")])
    assert project.ledger.files.rows_since(0) == before
    read(project, "odoo", streams=["invoices"], full=True)
    assert compared(project, "odoo")["invoices"].is_equal


def test_what_changed_since_is_not_called_missing(project: Project, sandbox: Sandbox):
    sandbox.clock.advance(600)
    read(project, "odoo")
    sandbox.clock.advance(DAY)
    sandbox.edit("odoo", "res.partner", min(sandbox.odoo.tables["res.partner"]), {"city": "Elsewhere"})
    sandbox.clock.advance(600)
    found = compared(project, "odoo")["accounts"]
    assert (found.newer, found.is_equal) == (1, True)


def belvedere(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does: Dagster wants a process of its own."""
    home = {"BELVEDERE_HOME": str(project.home), "DAGSTER_HOME": str(project.home / "dagster")}
    command = [sys.executable, "-W", "ignore", "-m", "orchestration.cli.main", *words]
    return subprocess.run(command, env={**os.environ, **home}, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_says_what_is_apart_and_how_to_mend_it(project: Project, sandbox: Sandbox):
    sandbox.clock.advance(600)
    assert belvedere(project, "reconcile", "zendesk", "--stream", "accounts").returncode == 0
    sandbox.zendesk.tables["organizations"][min(sandbox.zendesk.tables["organizations"])]["name"] = "Changed in silence"
    sandbox.clock.advance(DAY)
    ended = belvedere(project, "reconcile", "zendesk", "--stream", "accounts")
    assert ended.returncode == 3
    assert "differing: name" in ended.stdout
    assert "belvedere extract zendesk --stream accounts --full" in ended.stdout
