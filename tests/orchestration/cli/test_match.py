"""`belvedere match`, on a project that has built once."""

import pytest

from engine.build.current_tables import Tables
from engine.build.run import build
from engine.config.project import Project
from engine.extract.run import extract
from orchestration.cli.main import main
from sandbox.server import Sandbox
from tests.conftest import TODAY, only, opened

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def built(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Read one system, say of two of its accounts that they are the same customer, and build."""
    with Sandbox(customers=20, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        project = only(opened(tmp_path_factory.mktemp("match")), hubspot=["accounts"])
        list(extract(project, "hubspot", "first"))
        spoilt = {row["id"] for row in running.world.dirty}
        companies = running.hubspot.objects["companies"]
        first, other = sorted(key for key in companies if key not in spoilt and not companies[key].get("archived"))[:2]
    project.ledger.judgements.add(("hubspot", first), ("hubspot", other), "same", "bob", "one house")
    list(build(project, TODAY, "first"))
    return project


@pytest.fixture(autouse=True)
def at_home(built: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELVEDERE_HOME", str(built.home))


def accounts(project: Project) -> list[str]:
    rows = Tables(project).query("SELECT account_id FROM crosswalk WHERE rule <> 'redirect' ORDER BY rule DESC, 1")
    return [f"hubspot/{row['account_id']}" for row in rows]


def test_a_judgement_joins_in_the_build(built: Project):
    rows = Tables(built).query("SELECT customer_id, base_id FROM crosswalk WHERE rule = 'judgement'")
    assert len(rows) == 2
    assert len({row["customer_id"] for row in rows}) == 1
    assert len({row["base_id"] for row in rows}) == 2


def say(*words: str) -> int:
    return main(["match", *words, "--by", "ada", "--why", "seen on the invoice"])


def test_what_is_said_is_in_force_until_it_is_forgotten(built: Project, capsys: Said):
    *_, account, other = accounts(built)
    assert say("different", account, other) == 0
    assert "counts from the next build on" in capsys.readouterr().out
    assert say("different", other, account) == 0
    assert "recorded already" in capsys.readouterr().out
    assert main(["match", "list", "--judged"]) == 0
    output = capsys.readouterr().out
    assert [word in output for word in (account, "different", other, "ada", "seen on the invoice", "bob")] == [True] * 6
    assert say("forget", other, account) == 0
    assert "withdrawn" in capsys.readouterr().out
    assert say("forget", other, account) == 0
    assert "no judgement about these two" in capsys.readouterr().out
    assert [row["by"] for row in built.ledger.judgements.in_force()] == ["bob"]


def test_suggestions_are_listed_with_names(built: Project, capsys: Said, monkeypatch: pytest.MonkeyPatch):
    assert main(["match"]) == 0
    monkeypatch.setattr("orchestration.cli.match.SUGGESTIONS_SQL", _suggestion("hubspot/1", "hubspot/2"))
    assert main(["match", "list"]) == 0
    output = capsys.readouterr().out
    assert [word in output for word in ("hubspot/1", "hubspot/2", "Acme, Berlin", "domain", "0.9200")] == [True] * 5


def _suggestion(account: str, right: str) -> str:
    return (
        f"SELECT '{account}' AS \"left\", 'Acme' AS left_name, 'Berlin' AS left_city, '{right}' AS \"right\", "
        "'Acme' AS right_name, NULL AS right_city, 'domain' AS rule, 0.92 AS score LIMIT ?"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["same", "hubspot", "odoo/1"], "CONNECTION/ACCOUNT_ID"),
        (["same", "hubspt/1", "odoo/1"], "did you mean"),
        (["same", "hubspot/404404", "odoo/1"], "no account '404404'"),
    ],
)
def test_what_is_not_there_cannot_be_judged(capsys: Said, words: list[str], expected: str):
    assert say(*words) == 1
    assert expected in capsys.readouterr().err


def test_an_account_is_not_judged_against_itself(built: Project, capsys: Said):
    account, *_ = accounts(built)
    assert say("same", account, account) == 1
    assert "itself" in capsys.readouterr().err


def test_a_judgement_needs_a_reason(built: Project, capsys: Said):
    account, other, *_ = accounts(built)
    with pytest.raises(SystemExit) as refused:
        main(["match", "same", account, other])
    assert refused.value.code == 2
