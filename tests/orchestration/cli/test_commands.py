"""The commands that look, on a project that has built once."""

import gc
import os
from pathlib import Path

import pytest

from engine.build.run import build
from engine.extract.run import extract
from engine.storage.gc_tuning import SELDOM
from orchestration.cli import run
from orchestration.cli.init import init_command as init
from orchestration.cli.launch import RunResult
from orchestration.cli.main import main
from sandbox.server import Sandbox
from tests.conftest import TODAY, opened


@pytest.fixture(scope="module")
def built(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read and build once."""
    with Sandbox(customers=30, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        project = opened(tmp_path_factory.mktemp("built"))
        for connection in project.connections:
            for _ in extract(project, connection, "first"):
                pass
        for _ in build(project, TODAY, "first"):
            pass
    return project.home


@pytest.fixture(autouse=True)
def at_home(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELVEDERE_HOME", str(built))
    monkeypatch.setenv("SANDBOX_URL", "http://127.0.0.1:9")


def first_customer(built: Path) -> dict[str, str]:
    from engine.build.current_tables import Tables
    from engine.config.project import Project

    return Tables(Project.load(home=built)).query(
        "SELECT * FROM customers WHERE accounts_count = 3 ORDER BY name LIMIT 1"
    )[0]


def test_a_customer_is_shown_by_id_or_name(built: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    customer = first_customer(built)
    assert main(["customer", customer["customer_id"], "--html", str(tmp_path / "page.html")]) == 0
    output = capsys.readouterr().out
    for word in (customer["name"], "retention", "satisfaction", "key account", "hubspot", "odoo", "zendesk"):
        assert word in output
    page = (tmp_path / "page.html").read_text()
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_several_customers_are_offered(capsys: pytest.CaptureFixture[str]):
    assert main(["customer", "a"]) == 2
    assert "customers match 'a'" in capsys.readouterr().out


def test_nobody_is_said_so(capsys: pytest.CaptureFixture[str]):
    assert main(["customer", "no such company anywhere"]) == 1
    assert "no customer matches" in capsys.readouterr().err


def test_quarantine_is_listed_and_shown(capsys: pytest.CaptureFixture[str]):
    assert main(["quarantine"]) == 0
    assert "due before it was issued" in capsys.readouterr().out
    assert main(["quarantine", "show", "odoo", "invoices"]) == 0
    assert "invoices" in capsys.readouterr().out


def test_state_is_shown_and_reset(capsys: pytest.CaptureFixture[str]):
    assert main(["state"]) == 0
    assert "2026-10-20" in capsys.readouterr().out
    assert main(["state", "reset", "zendesk", "ratings"]) == 0
    assert "1 streams of zendesk" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["extract", "reconcile"])
@pytest.mark.parametrize("where", [[], ["hubspot", "odoo"]])
def test_a_stream_that_is_none_is_told_and_nothing_is_read(
    capsys: pytest.CaptureFixture[str], command: str, where: list[str]
):
    assert main([command, *where, "--stream", "accuonts"]) == 1
    output = capsys.readouterr()
    assert "connections 'hubspot', 'odoo'" in output.err
    assert "no stream 'accuonts'; did you mean accounts or" in output.err
    assert output.out == ""


def test_a_sandbox_whose_port_is_taken_says_so(
    capsys: pytest.CaptureFixture[str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    assert main(["sandbox", "--port", str(sandbox.port), "--customers", "3"]) == 1
    assert (
        f"cannot listen on port {sandbox.port}: Address already in use. Set SANDBOX_URL to another port"
        in capsys.readouterr().err
    )


def test_a_note_is_told_once_of_all_streams_that_it_is_of(capsys: pytest.CaptureFixture[str]):
    metadata = {"dagster/row_count": 3, **dict.fromkeys(run.COUNTS, 0)}
    ran = RunResult(
        "run", True, metadata={f"raw/crm/{name}": metadata | {"notes": "the clock\nits rows"} for name in ("a", "b")}
    )
    ran.metadata["raw/erp/c"] = metadata
    run._print_extract(ran, {"crm": ["a", "b"], "erp": ["c"]})
    lines = [line for line in capsys.readouterr().out.splitlines() if ": " in line]
    assert lines == ["crm a, b: the clock", "crm a, b: its rows"]


@pytest.mark.parametrize(
    "command",
    [
        ["state", "reset", "zendesk", "raitngs"],
        ["fields", "accept", "hubspot", "accuonts"],
        ["quarantine", "show", "odoo", "invocies"],
    ],
)
def test_other_commands_know_a_stream_that_is_none_as_well(capsys: pytest.CaptureFixture[str], command: list[str]):
    assert main(command) == 1
    assert f"no stream '{command[3]}'" in capsys.readouterr().err


def test_init_writes_folders_by_asking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    import argparse

    from engine.config.project import Project

    answers = iter(
        ["crm", "hubspot", "crm", "erp", "odo", "odoo", "erp", "https://erp.example.com", "live", "me@example.com", ""]
    )
    assert init(argparse.Namespace(folder=tmp_path), ask=lambda _: next(answers)) == 0
    output = capsys.readouterr().out
    assert "CRM_TOKEN" in output
    assert "ERP_API_KEY" in output
    project = Project.load(defs=tmp_path, home=tmp_path / "home")
    assert set(project.connections) == {"crm", "erp"}
    assert project.connections["erp"].settings["database"] == "live"


def test_init_asks_for_an_oauth_client_of_zendesk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    import argparse

    from engine.config.project import Project

    answers = iter(["desk", "zendesk", "helpdesk", f"{sandbox.url}/zendesk", "belvedere", ""])
    assert init(argparse.Namespace(folder=tmp_path), ask=lambda _: next(answers)) == 0
    assert "Next: set DESK_CLIENT_SECRET in the environment, then run belvedere check" in capsys.readouterr().out
    monkeypatch.setenv("DESK_CLIENT_SECRET", "sandbox-zendesk-secret")
    connector = Project.load(defs=tmp_path, home=tmp_path / "home").open("desk")
    assert connector.check().notes == ()
    connector.close()


def test_a_backtest_is_run_and_shown(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    assert main(["backtest", "--show"]) == 1
    assert "there is no backtest yet" in capsys.readouterr().out
    assert main(["backtest", "--svg", str(tmp_path / "plot.svg")]) == 0
    assert "too few customers ordered again" in capsys.readouterr().out  # the village of this test has 30 customers
    assert not (tmp_path / "plot.svg").exists()
    assert main(["backtest", "--show"]) == 0


def test_the_collector_looks_seldom_while_a_command_runs(monkeypatch: pytest.MonkeyPatch):
    thresholds, before = list[tuple[int, int, int]](), gc.get_threshold()
    monkeypatch.setattr(
        "orchestration.cli.inspect.state_command", lambda args: thresholds.append(gc.get_threshold()) or 0
    )
    gc.set_threshold(700, 10, 10)
    try:
        assert main(["state", "show"]) == 0
        assert (thresholds, gc.get_threshold()) == ([SELDOM], (700, 10, 10))
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize(("configured", "threads"), [(None, "1"), ("4", "4")])
def test_numpy_starts_no_idle_threads_unless_asked_to(
    monkeypatch: pytest.MonkeyPatch, configured: str | None, threads: str
):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", configured or "")
    if configured is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert os.environ["OPENBLAS_NUM_THREADS"] == threads
