"""What Dagster and the warehouse show of a stream's fields."""

from pathlib import Path

import dagster as dg
import duckdb
import pytest

from engine.config.project import Project
from engine.extract.result import StreamResult
from engine.extract.schema_drift.field_usage import source_fields
from engine.publish.publish import publish
from engine.storage.stores.source_fields import FieldRecord
from orchestration.assets.field_checks import fields_check, fields_metadata
from tests.conftest import TODAY
from tests.engine.extract.toy import NOON

KEY = dg.AssetKey(["raw", "crm", "accounts"])
CHANGED = {"new_fields": ["a", "b"], "gone_fields": ["c"], "retyped_fields": ["d (text to list)"]}


def test_fields_that_are_as_accepted_pass():
    found = fields_check(KEY, StreamResult("crm", "accounts", never_seen=["x"]), "freeze")
    assert found.passed
    assert found.metadata["never_seen"].value == "x"


@pytest.mark.parametrize(
    ("contract", "severity"),
    [
        ("evolve", dg.AssetCheckSeverity.WARN),
        ("discard_row", dg.AssetCheckSeverity.WARN),
        ("discard_value", dg.AssetCheckSeverity.WARN),
        ("freeze", dg.AssetCheckSeverity.ERROR),
    ],
)
def test_changes_warn_and_under_freeze_they_are_an_error(contract, severity):
    found = fields_check(KEY, StreamResult("crm", "accounts", **CHANGED), contract)
    assert (found.passed, found.severity) == (False, severity)
    assert found.description == ("new: a, b; gone: c; retyped: d (text to list) (belvedere fields accept crm accounts)")


def test_the_metadata_names_only_what_there_is():
    assert fields_metadata(StreamResult("crm", "accounts")) == {}
    assert {name: value.value for name, value in fields_metadata(StreamResult("crm", "a", **CHANGED)).items()} == {
        "new_fields": "a, b",
        "gone_fields": "c",
        "retyped_fields": "d (text to list)",
    }


def test_the_warehouse_has_a_table_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SANDBOX_URL", "http://127.0.0.1:9")
    project = Project.load(home=tmp_path)
    about = ("hubspot", "accounts", "properties.vat_number", "string", "VAT", True, NOON, NOON)
    project.ledger.source_fields.replace(
        "hubspot", "accounts", [FieldRecord(*about, is_gone=True, gone_at=NOON, change="gone")], NOON
    )
    assert [row["feeds"] for row in source_fields(project)] == ["tax_id"]
    project.ledger.snapshots.switch("one", TODAY, "run")
    project.warehouses["warehouse"].tables = ["source_fields"]
    publish(project, "warehouse", "run")
    with duckdb.connect(tmp_path / "warehouse.duckdb", read_only=True) as warehouse:
        rows = warehouse.execute(
            "SELECT path, feeds, change, gone_at IS NOT NULL, back_at FROM source_fields"
        ).fetchall()
    assert rows == [("properties.vat_number", "tax_id", "gone", True, None)]
