"""Texts of a source that try to steer the terminal, on every command that shows some."""

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.kit.errors import SettingsError
from engine.build.current_tables import Tables
from engine.build.run import build
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.extract.run import extract
from orchestration.assets.failures import failure
from orchestration.cli import run
from orchestration.cli.launch import RunResult
from orchestration.cli.main import main
from sandbox.server import Sandbox
from tests.conftest import TODAY, only, opened

Said = pytest.CaptureFixture[str]
HOSTILE = "Zork\x1b[2J\x1b]0;owned\x07 \u202egnp \u2066x [red]R[/red] [link=http://x]L[/link] :bomb:\nbelvedere: all is well\x9b1m"
SHOWN = (
    r"Zork\x1b[2J\x1b]0;owned\x07 <U+202E>gnp <U+2066>x [red]R[/red] [link=http://x]L[/link] :bomb:"
    r"\nbelvedere: all is well\x9b1m"
)
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def built(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Read accounts of such names, one of them broken, and fields with such labels; build."""
    with Sandbox(customers=20, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        project = only(opened(tmp_path_factory.mktemp("hostile")), hubspot=["accounts", "owners"])
        companies = running.hubspot.objects["companies"]
        spoilt = {row["id"] for row in running.world.dirty}
        first, other, broken = sorted(key for key in companies if key not in spoilt)[:3]
        for number in (first, other):
            running.edit("hubspot", "companies", number, {"name": HOSTILE})
        running.edit("hubspot", "companies", broken, {"name": HOSTILE, "domain": "no domain"})
        running.hubspot.properties.add("companies", {"name": "extra", "type": "string", "label": HOSTILE})
        list(extract(project, "hubspot", "first"))
    project.ledger.judgements.add(("hubspot", first), ("hubspot", other), "different", HOSTILE, HOSTILE)
    list(build(project, TODAY, "first"))
    return project


@pytest.fixture(autouse=True)
def at_home(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELVEDERE_HOME", str(built.home))


def printed(capsys: Said, *words: str) -> str:
    main([*words])
    captured = capsys.readouterr()
    output = captured.out + captured.err
    assert not RAW.search(output), words
    assert not [line for line in output.splitlines() if line.startswith("belvedere: all is well")]
    return "".join(re.sub(" *\n *", "", output)) if "list" in words else output


def test_customers(built: Project, capsys: Said):
    assert SHOWN in printed(capsys, "customer", "Zork").replace("\n", "")
    printed(capsys, "customer", HOSTILE)
    row = Tables(built).query("SELECT customer_id FROM customers WHERE name LIKE 'Zork%' LIMIT 1")[0]
    assert SHOWN in printed(capsys, "customer", row["customer_id"])
    assert "no customer matches" in printed(capsys, "customer", f"nobody {HOSTILE}")


@pytest.mark.parametrize("words", [["quarantine"], ["quarantine", "list"], ["quarantine", "show"]])
def test_quarantine(capsys: Said, words: list[str], monkeypatch: pytest.MonkeyPatch):
    printed(capsys, *words)
    monkeypatch.setattr(
        "engine.build.current_tables.Tables.query",
        lambda *_: [{"connection": "crm", "stream": "s", "record_id": HOSTILE, "reasons": HOSTILE, "n": 1}],
    )
    assert SHOWN[:30] in printed(capsys, *words)


def test_a_payload_in_quarantine(built: Project, capsys: Said):
    row = next(row for row in Tables(built).query("SELECT * FROM quarantine") if "Zork" in row["payload"])
    output = printed(capsys, "quarantine", "show", "--id", row["record_id"])
    assert "<U+202E>gnp" in output
    assert '\n  "id": ' in output


def test_judgements_and_suggestions(capsys: Said, monkeypatch: pytest.MonkeyPatch):
    assert "belvedere: all is well" in printed(capsys, "match", "list", "--judged")
    query = "SELECT 'a' AS \"left\", name AS left_name, city AS left_city, 'b' AS \"right\", name AS right_name, "
    monkeypatch.setattr(
        "orchestration.cli.match.SUGGESTIONS_SQL",
        query + "city AS right_city, 'domain' AS rule, 0.9 AS score FROM accounts WHERE name LIKE 'Zork%' LIMIT ?",
    )
    assert r"\x1b[2J" in printed(capsys, "match", "list")


def test_fields(capsys: Said):
    assert "[red]R[/red]" in printed(capsys, "fields", "list", "hubspot", "accounts")


def test_conflicts(capsys: Said, monkeypatch: pytest.MonkeyPatch):
    columns = ("conflict_id", "delivery", "record_id", "field", "held", "wanted", "reason")
    monkeypatch.setattr("engine.deliver.conflicts.conflicts", lambda *_, **__: [dict.fromkeys(columns, HOSTILE)])
    assert "<U+2066>" in printed(capsys, "conflicts", "list")


def test_plans(capsys: Said, monkeypatch: pytest.MonkeyPatch):
    value = '"' + HOSTILE.replace("\n", r"\n").replace("\x1b", r"\u001b").replace("\x07", r"\u0007") + '"'
    row = dict.fromkeys(("record_id", "field", "action", "owner", "reason", "key"), HOSTILE)
    plan = SimpleNamespace(
        delivery=HOSTILE,
        digest="abc",
        summary=lambda: HOSTILE,
        head=SimpleNamespace(status="open"),
        rows=lambda: [row | {"before": value, "after": value}],
    )
    monkeypatch.setattr("engine.deliver.plan_store.find", lambda *_: plan)
    assert SHOWN in printed(capsys, "plan", "--show", "abc")


def test_errors(capsys: Said, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise SettingsError(HOSTILE)

    monkeypatch.setattr("engine.config.project.Project.load", refuse)
    assert r"belvedere: Zork\x1b[2J" in printed(capsys, "state")


def test_failures_of_steps_and_checks(capsys: Said):
    assert failure(SettingsError(HOSTILE)).description == SHOWN
    run.print_delivery(RunResult("run", False, failures=[HOSTILE], checks=[("a", "b", False, HOSTILE)]))
    output = capsys.readouterr().err
    assert not RAW.search(output)
    assert "\nbelvedere: all" not in output


def test_an_error_that_nobody_expected():
    code = (
        "import sys; from orchestration.cli.main import main; import engine.config.project as p\n"
        f"def load(*_): raise ValueError({HOSTILE!r})\n"
        "p.Project.load = load; main(['state'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert r"ValueError: Zork\x1b[2J" in ended.stderr
    assert not RAW.search(ended.stderr)
