"""Criteria and overrides as a user configures them, and calibration from the shell."""

from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.kit.errors import SettingsError
from engine.build.active_criteria import criteria_for
from engine.build.current_tables import Tables
from engine.build.run import build
from engine.config.customer_model import CustomerModelConfig
from engine.config.project import Project
from engine.evaluate.calibrate import calibrate
from engine.extract.run import extract
from engine.storage.ledger import Ledger
from orchestration.cli.main import main
from sandbox.server import Sandbox
from tests.conftest import TODAY, only, opened

WORD = {
    "customer_id": "C1",
    "what": "reputation",
    "value": 9,
    "reason": "flagship",
    "author": "Ann",
    "created_on": "2026-06-01",
}


def model(*overrides: dict[str, Any], **criteria: Any) -> CustomerModelConfig:
    return CustomerModelConfig.model_validate({"overrides": overrides, "key_accounts": {"criteria": criteria}})


@pytest.fixture
def ledger(tmp_path: Any) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_an_override_ends_by_itself_after_180_days(ledger: Ledger):
    (row,) = criteria_for(ledger, model(WORD), TODAY).overrides
    assert (row["score"], row["tier"], row["expires_on"]) == (9.0, None, date(2026, 6, 1) + timedelta(days=180))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expires_on": "2027-06-02"}, "365 days at most"),
        ({"expires_on": "2026-06-01"}, "after created_on"),
        ({"reason": ""}, "reason"),
        ({"value": 11}, "from 1 to 10"),
        ({"what": "retention", "value": 101}, "from 0 to 100"),
        ({"what": "tier"}, "a tier must be A, B or C"),
        ({"value": "A"}, "reputation must be a number"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(change: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        model(WORD | change)


def test_an_override_of_nothing_known_names_the_choices(ledger: Ledger):
    with pytest.raises(SettingsError, match="'reputaton' is no score and no criterion; choices: retention"):
        criteria_for(ledger, model(WORD | {"what": "reputaton"}), TODAY)


def test_a_criterion_may_be_closed_to_overrides(ledger: Ledger):
    with pytest.raises(SettingsError, match="'reputation' may not be overridden"):
        criteria_for(ledger, model(WORD, reputation={"is_overridable": False}), TODAY)


def test_the_same_override_twice_is_refused(ledger: Ledger):
    with pytest.raises(SettingsError, match="reputation of C1 is there twice"):
        criteria_for(ledger, model(WORD, WORD | {"value": 3}), TODAY)


@pytest.fixture(scope="module")
def first(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Project:
    with Sandbox(customers=30, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        whole = opened(tmp_path_factory.mktemp("criteria"))
        project = only(whole, hubspot=["accounts", "deals", "owners"], odoo=["accounts", "invoices"])
        for connection in project.connections:
            list(extract(project, connection, "first"))
    list(build(project, TODAY, "first"))
    return project


@pytest.fixture
def built(first: Project) -> Project:
    """Give the project as it was built, its model untouched."""
    first.models["customer_model"] = opened(first.home).model
    return first


def scores(project: Project) -> dict[tuple[str, str], float]:
    rows = Tables(project).query(
        "SELECT customer_id, criterion, score FROM key_account_criteria WHERE measured IS NOT NULL"
    )
    return {(row["customer_id"], row["criterion"]): row["score"] for row in rows}


def test_calibrated_anchors_count_from_the_next_build_and_not_for_days_before(built: Project):
    before = scores(built)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transforms.scores.calibration.FEWEST", 10)  # the sandbox is small
        dry = calibrate(built, keep=False)
        assert built.ledger.model_parameters.newest("criteria_calibration", TODAY) is None
        done = calibrate(built)
    assert (done.version, done.anchors, done.moved) == (dry.version, dry.anchors, dry.moved)
    taken = {one.criterion for one in done.anchors if one.unchanged_reason is None}
    assert "revenue_level" in taken
    assert "innovation_adoption" not in taken  # nothing is known of it
    list(build(built, TODAY, "second"))
    tables = Tables(built)
    held = {row["criterion"]: row for row in tables.query("SELECT * FROM criteria")}
    assert {name for name, row in held.items() if row["anchors_from"] == "calibrated"} == taken
    after = scores(built)
    assert {name for (_, name), score in after.items() if score != before[_, name]} <= taken
    reported = {row["customer_id"]: row["after"] for row in done.moved}
    found = tables.query("SELECT customer_id, value_effective FROM key_accounts")
    assert reported == {row["customer_id"]: row["value_effective"] for row in found if row["customer_id"] in reported}
    assert criteria_for(built.ledger, built.model, TODAY - timedelta(days=1)).calibration is None
    one = calibrate(built, ["reputation"], keep=False)
    assert {one.unchanged_reason for one in one.anchors if one.criterion != "reputation"} == {
        "not named in this command"
    }


def test_calibration_of_nothing_known_names_the_nearest(built: Project):
    with pytest.raises(SettingsError, match=r"no criterion 'reputaton'; .*reputation"):
        calibrate(built, ["reputaton"])


def test_criteria_that_changed_since_the_build_are_not_calibrated_on_it(built: Project):
    built.models["customer_model"] = model(reputation={"sql": "deals_won"})
    with pytest.raises(SettingsError, match="run `belvedere build` first"):
        calibrate(built)


def test_the_command_reports_and_says_what_it_kept(
    built: Project, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("BELVEDERE_HOME", str(built.home))
    assert main(["calibrate", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "Customers whose suggested tier changes" in said
    assert "nothing was saved" in said


def test_own_criteria_and_overrides_reach_the_tables(built: Project):
    customer = Tables(built).query("SELECT customer_id FROM customers ORDER BY 1 LIMIT 1")[0]["customer_id"]
    day = TODAY - timedelta(days=1)
    word = WORD | {"customer_id": customer, "created_on": day.isoformat()}
    words = [word, word | {"what": "retention", "value": 12}, word | {"what": "satisfaction", "value": 90}]
    own = {"group": "value_creation", "weight": 5, "anchors": list(range(10)), "table": "orders", "sql": "count(*)"}
    built.models["customer_model"] = model(
        *words, frequency=own, strategy=own | {"sql": None, "table": None, "manual": True}
    )
    results = {result.table: result for result in build(built, TODAY, "own")}
    assert not any(result.broken for result in results.values())
    tables = Tables(built)
    found = tables.query("SELECT criterion, measured FROM key_account_criteria WHERE customer_id = ?", [customer])
    named = {row["criterion"]: row["measured"] for row in found}
    assert named["strategy"] is None
    assert "frequency" in named
    counts = tables.query("SELECT customer_id, measured FROM key_account_criteria WHERE criterion = 'frequency'")
    truth = tables.query(
        "SELECT customer_id, count(*) n FROM orders JOIN crosswalk USING (connection, account_id) GROUP BY 1"
    )
    assert {row["customer_id"]: row["measured"] for row in counts if row["measured"]} == {
        row["customer_id"]: row["n"] for row in truth
    }
    retention = tables.query("SELECT * FROM retention WHERE customer_id = ?", [customer])[0]
    assert (retention["value_effective"], retention["band"]) == (12, "critical")
    assert retention["override_id"]
    satisfied = tables.query("SELECT * FROM satisfaction WHERE customer_id = ?", [customer])[0]
    assert (satisfied["value_effective"], satisfied["band"]) == (90, "A")
    assert satisfied["value"] != 90
    assert [row["is_in_force"] for row in tables.query("SELECT * FROM overrides")] == [True] * 3


def test_an_expression_that_fails_stops_the_build_with_its_name(built: Project):
    own = {"group": "growth", "weight": 5, "anchors": list(range(10)), "sql": "revenue_l13_amount"}
    built.models["customer_model"] = model(mine=own)
    with pytest.raises(SettingsError, match="criterion 'mine': table 'customers' has no column 'revenue_l13_amount'"):
        list(build(built, TODAY, "wrong"))
