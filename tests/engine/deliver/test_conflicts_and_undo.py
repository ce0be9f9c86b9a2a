"""What people decide holds, what a run wrote can be taken back; both from the shell."""

import re
from collections.abc import Callable

import pytest

from connectors.kit.errors import SettingsError
from engine.config.project import Project
from engine.deliver.conflicts import conflicts, decide
from engine.deliver.undo import undo
from orchestration.cli.main import main
from tests.engine.deliver.stub_target import DeliverEnv

Say = Callable[..., str]


@pytest.fixture
def contested(env: DeliverEnv) -> DeliverEnv:
    """Let the CRM hold another city than the ERP, to which the field belongs."""
    env.tables(
        customers=[{"customer_id": "C1", "name": "N"}],
        accounts=[
            {"connection": "erp", "account_id": "9", "city": "Ulm", "is_active": True},
            {"connection": "crm", "account_id": "1", "is_active": True},
        ],
        crosswalk=[
            {"customer_id": "C1", "connection": "erp", "account_id": "9"},
            {"customer_id": "C1", "connection": "crm", "account_id": "1"},
        ],
    )
    env.stub.put("1", city="Bonn")
    env.deliver(fields={"city": {"from": "city", "owner": "erp", "policy": "owner"}}, guards={"max_blanks": 9})
    return env


@pytest.fixture
def say(env: DeliverEnv, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command and give what it printed."""
    monkeypatch.setattr(Project, "load", lambda *_: env.project)

    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["belvedere", *words])
        assert main(words) == code
        captured = capsys.readouterr()
        return re.sub(r"\s+", " ", captured.out + captured.err)

    return run


def test_a_conflict_is_listed_and_not_written(contested: DeliverEnv):
    assert contested.night().counts == {}
    (row,) = conflicts(contested.project)
    assert (row["held"], row["wanted"], row["owner"], row["is_open"]) == ('"Bonn"', '"Ulm"', "erp", True)


@pytest.mark.parametrize(("verdict", "city"), [("keep_ours", "Ulm"), ("keep_target", "Bonn")])
def test_a_decision_is_followed_and_asked_for_no_more(contested: DeliverEnv, verdict: str, city: str):
    contested.night()
    decide(contested.project, conflicts(contested.project)[0]["conflict_id"], verdict, "Ann", "she knows")  # type: ignore[arg-type]
    contested.night()
    assert contested.stub.records["1"]["city"] == city
    assert conflicts(contested.project) == []


def test_a_decision_ends_when_somebody_edits_the_field_again(contested: DeliverEnv):
    contested.night()
    decide(contested.project, conflicts(contested.project)[0]["conflict_id"], "keep_target", "Ann", "")
    contested.stub.put("1", city="Kiel")
    contested.night()
    assert [row["held"] for row in conflicts(contested.project, open_only=True)] == ['"Kiel"']


def test_the_shell_lists_and_decides(contested: DeliverEnv, say: Say):
    contested.night()
    listed = say("conflicts", "list")
    number = re.search(r"\b[0-9a-f]{10}\b", listed)
    assert number is not None
    assert "decided: ours; it takes effect with the next plan" in say(
        "conflicts", "decide", number[0], "ours", "--by", "Ann"
    )
    contested.night()
    assert contested.stub.records["1"]["city"] == "Ulm"
    assert "no conflict waits for a decision" in say("conflicts")


def test_a_conflict_that_is_not_there_is_named(contested: DeliverEnv, say: Say):
    contested.night()
    assert "no conflict 'zzz'" in say("conflicts", "decide", "zzz", "ours", code=1)


@pytest.fixture
def written(env: DeliverEnv) -> DeliverEnv:
    for name in ("1", "2"):
        env.stub.put(name, name="old")
    env.customers("1", "2")
    env.deliver(fields={"name": {"from": "name"}})
    env.night()
    return env


def run_of(env: DeliverEnv) -> str:
    return str(env.project.ledger.operations.writing_runs()[0]["run_id"])


def names(env: DeliverEnv) -> dict[str, str]:
    return {record: values["name"] for record, values in env.stub.records.items()}


def test_a_run_is_taken_back_through_a_plan_and_stays_so(written: DeliverEnv):
    (plan,) = undo(written.project, run_of(written), "undo")
    assert names(written) == {"1": "name 1", "2": "name 2"}  # planned, not written
    assert written.apply(digest=plan.digest).counts == {"applied": 2}
    assert names(written) == {"1": "old", "2": "old"}
    assert written.night().counts == {}
    written.customers("1", "2", name="something else")
    assert written.night().counts == {"applied": 2}


def test_what_people_changed_since_stays(written: DeliverEnv):
    written.stub.put("1", name="mine")
    (plan,) = undo(written.project, run_of(written), "undo")
    assert {row["record_id"]: row["action"] for row in plan.rows()} == {"1": "conflict", "2": "update"}
    written.apply(digest=plan.digest)
    assert names(written) == {"1": "mine", "2": "old"}


def test_what_a_run_created_is_removed_only_when_it_is_allowed(env: DeliverEnv):
    env.tables(customers=[{"customer_id": "C1", "name": "New"}])
    env.deliver(match="upsert", key={"field": "key", "from": "customer_id"}, fields={"name": {"from": "name"}})
    env.night()
    (plan,) = undo(env.project, run_of(env), "undo")
    with pytest.raises(SettingsError, match="1 record would be deleted, max_deletes allows 0"):
        env.apply(digest=plan.digest)
    assert env.apply(digest=plan.digest, allow=["max_deletes"]).counts == {"applied": 1}
    assert not env.stub.records
    assert env.night().counts == {}


def test_a_run_that_wrote_nothing_cannot_be_taken_back(written: DeliverEnv):
    with pytest.raises(SettingsError, match="run 'none' wrote nothing"):
        undo(written.project, "none", "undo")


def test_the_newest_plan_is_not_applied_by_name_when_it_takes_a_run_back(written: DeliverEnv):
    undo(written.project, run_of(written), "undo")
    with pytest.raises(SettingsError, match="only applied by its digest"):
        written.apply()


def test_the_shell_takes_a_run_back(written: DeliverEnv, say: Say):
    assert run_of(written) in say("undo")
    output = say("undo", run_of(written))
    assert "2 fields of 2 records to write" in output
    digest = re.search(r"belvedere apply ([0-9a-f]{12})", output)
    assert digest is not None
    assert '"name 1"' not in say("plan", "--show", digest[1])
    assert "reverses run" in say("plan", "--list")
    assert "value from before run" in say("plan", "--show", digest[1])
    written.apply(digest=digest[1])
    assert names(written) == {"1": "old", "2": "old"}


def test_the_shell_forgets_a_pinned_account(written: DeliverEnv, say: Say):
    written.stub.account = "portal 2"
    say("state", "unpin", "crm")
    written.customers("1", "2", name="newer")
    assert written.night().counts == {"applied": 2}
