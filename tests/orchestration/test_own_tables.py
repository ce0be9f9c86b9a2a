"""Tables of one's own: the worked example of docs/tables.md, and every mistake as one line with file and line."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import ibis
import pytest

from connectors.kit.errors import SettingsError
from engine.build.current_tables import Tables
from engine.build.freshness import StaleTables, stale_tables
from engine.build.project_registry import prove, registry_of
from engine.build.run import build, rebuild
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.deliver.plan import plan
from engine.extract.run import extract
from engine.publish.publish import publish
from orchestration.definitions import defs
from sandbox.server import Sandbox
from tests.conftest import TODAY

EXAMPLES = ROOT / "docs" / "examples"
HUBSPOT = """
type: orchestration.components.Connection
attributes:
  connector: hubspot
  role: crm
  streams: [accounts, deals, owners]
  max_quarantine_share: 1
  settings: {base_url: "{{ env.SANDBOX_URL }}/hubspot", token: "{{ env.HUBSPOT_TOKEN }}", portal_id: 12345678}
"""
ODOO = (ROOT / "orchestration" / "defs" / "odoo" / "defs.yaml").read_text()
CHURN = (EXAMPLES / "churn_score" / "defs.yaml").read_text()
QUERY = (EXAMPLES / "churn_score" / "churn_score.sql").read_text()


def defs_in(folder: Path, **files: str) -> Path:
    """Write a folder of components: name -> the text of its defs.yaml."""
    for name, text in files.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "defs.yaml").write_text(text)
    return folder


def sql_beside(folder: Path, name: str, text: str) -> None:
    (folder / name / f"{name}.sql").write_text(text)


@pytest.fixture(scope="module")
def project(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Build a small project once, without tables of its own, then put the example into it."""
    home = tmp_path_factory.mktemp("own")
    odoo = ODOO.replace("attributes:\n", "attributes:\n  streams: [accounts, invoices]\n  max_quarantine_share: 1\n", 1)
    defs = defs_in(
        home / "defs",
        hubspot=HUBSPOT,
        odoo=odoo,
        warehouse="type: orchestration.components.Warehouse\n",
        model="type: orchestration.components.CustomerModel\n",
    )
    with Sandbox(customers=30, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        empty = Project.load(defs, home)
        for connection in empty.connections:
            list(extract(empty, connection, "first"))
        list(build(empty, TODAY, "first"))
        for name in ("churn_score", "churn_to_hubspot"):
            shutil.copytree(EXAMPLES / name, defs / name)
        yield Project.load(defs, home)


def test_the_example_is_made_published_and_delivered(project: Project):
    assert stale_tables(project) == ("churn_score",)
    with pytest.raises(StaleTables, match="--select churn_score`"):
        publish(project, "warehouse", "early")

    (result,) = rebuild(project, ["churn_score"], "own")
    assert (result.table, result.broken) == ("churn_score", {})
    assert result.rows > 5
    rows = Tables(project).query("SELECT * FROM churn_score ORDER BY customer_id")
    assert all(0 <= row["churn_score"] <= 100 and row["as_of"] == TODAY for row in rows)

    publish(project, "warehouse", "own")
    with duckdb.connect(project.home / "warehouse.duckdb", read_only=True) as warehouse:
        assert warehouse.sql("SELECT count(*) FROM churn_score").fetchall() == [(result.rows,)]
        said = warehouse.sql("SELECT comment FROM duckdb_columns() WHERE column_name = 'churn_score'").fetchall()
        assert said == [("0 stays, 100 leaves",)]

    changes = plan(project, "churn_to_hubspot", "own").rows()
    scores = {row["customer_id"]: row["churn_score"] for row in rows}
    assert changes
    assert {row["field"] for row in changes} == {"belvedere_retention_score"}
    assert all(float(row["after"]) == scores[row["customer_id"]] for row in changes)


def test_it_is_an_asset_with_its_lineage_under_the_prefix_of_all(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BELVEDERE_DEFS", str(project.defs))
    monkeypatch.setenv("BELVEDERE_HOME", str(project.home))
    monkeypatch.setenv("BELVEDERE_ASSET_PREFIX", "crm/belvedere")
    graph = defs().resolve_asset_graph()
    assert {key.path[:2] == ["crm", "belvedere"] for key in graph.get_all_asset_keys()} == {True}
    asset = graph.get(dg.AssetKey(["crm", "belvedere", "churn_score"]))
    parents = {"/".join(key.path[2:]) for key in asset.parent_keys}
    assert parents == {"customers", "satisfaction"}
    assert {"/".join(key.path[2:]) for key in asset.child_keys} == {"plan/churn_to_hubspot", "warehouse"}
    assert asset.group_name == "own"
    assert "Grain: one row a customer of whom both are known." in asset.description


def test_rows_without_a_key_of_their_own_fail_the_check(project: Project):
    sql_beside(project.defs, "churn_score", "SELECT 'C1' AS customer_id, 1 AS churn_score FROM customers LIMIT 2")
    try:
        (result,) = rebuild(Project.load(project.defs, project.home), ["churn_score"], "twice")
    finally:
        sql_beside(project.defs, "churn_score", QUERY)
    assert result.broken == {"customer_id is there more than once": 1}


def wrong(defs: Path) -> str:
    """Prove the tables of a folder; returns the message, with the folder's path cut."""
    project = Project.load(defs, defs)
    with pytest.raises(SettingsError) as error:
        prove(project, registry_of(project))
    return str(error.value).replace(f"{defs}/", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[customers,",
            "[custmers,",
            "line 7: table 'churn_score': no table 'custmers'; did you mean customers or customer_360 or customer_redirects?",
        ),
        (
            "key: [customer_id]",
            "key: [customer]",
            "line 6: table 'churn_score': no column 'customer'; did you mean customer_id?",
        ),
        (
            "    churn_score: 0",
            "    churn: 0",
            "line 10: table 'churn_score': no column 'churn'; did you mean churn_score?",
        ),
        (
            "sql: churn_score.sql",
            "sql: other.sql",
            "line 8: table 'churn_score': there is no file 'other.sql' beside defs.yaml",
        ),
        (
            "  sql: churn_score.sql\n",
            "",
            "line 3: table 'churn_score': give `sql`, a file, or `function`, one of the two",
        ),
        (
            "sql: churn_score.sql",
            "function: nowhere:churn",
            "line 8: table 'churn_score': 'nowhere:churn' cannot be imported as package.module:function: "
            "No module named 'nowhere'",
        ),
        (
            "sql: churn_score.sql",
            f"function: {__name__}:unlike",
            f"line 7: table 'churn_score': {__name__}:unlike takes customers, but `inputs` has customers, satisfaction",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, message: str):
    assert old in CHURN
    defs = defs_in(tmp_path, churn_score=CHURN.replace(old, new))
    sql_beside(defs, "churn_score", QUERY)
    assert wrong(defs) == f"churn_score/defs.yaml, {message}"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT customer_id,\n  revenue AS churn_score\nFROM customers",
            "line 2: table 'churn_score': Binder Error: Referenced column \"revenue\" not found",
        ),
        ("SELECT customer_id\nFRM customers", "line 2: table 'churn_score': Parser Error: "),
        (
            "SELECT customer_id, 1 AS churn_score\nFROM\n invoices",
            "line 3: table 'churn_score': Catalog Error: Table with name invoices does not exist",
        ),
    ],
)
def test_a_wrong_query_is_named_with_file_and_line(tmp_path: Path, query: str, message: str):
    defs = defs_in(tmp_path, churn_score=CHURN)
    sql_beside(defs, "churn_score", query)
    assert wrong(defs).startswith(f"churn_score/churn_score.sql, {message}")


def test_a_type_that_no_table_has_is_named(tmp_path: Path):
    defs = defs_in(tmp_path, churn_score=CHURN)
    sql_beside(defs, "churn_score", "SELECT customer_id, [1] AS churn_score FROM customers")
    assert re.fullmatch(
        r"churn_score/defs.yaml, line 8: table 'churn_score': column 'churn_score' is of type array<.*>; "
        "cast it to text, a number, a date or a timestamp",
        wrong(defs),
    )


def unlike(customers):
    """Stand for a function that takes other tables than its settings say."""


def misspelt(customers, *, as_of):
    """Stand for a function that asks for a column that is not there."""
    return customers.select("customer_id", churn_score=customers.revenu)


def by_revenue(customers, *, as_of):
    """Stand for a function of a user."""
    return customers.select("customer_id", churn_score=customers.revenue_amount.cast("float64"), on=ibis.literal(as_of))


def by_function(name: str) -> str:
    chosen = CHURN.replace("sql: churn_score.sql", f"function: {__name__}:{name}")
    return chosen.replace("[customers, satisfaction]", "[customers]")


def test_a_mistake_in_a_function_is_named_with_file_and_line(tmp_path: Path):
    line = misspelt.__code__.co_firstlineno + 2
    assert wrong(defs_in(tmp_path, churn_score=by_function("misspelt"))).startswith(
        f"tests/orchestration/test_own_tables.py, line {line}: table 'churn_score': 'Table' object has no attribute 'revenu'"
    )


def test_a_function_makes_a_table_too(tmp_path: Path):
    project = Project.load(defs_in(tmp_path, churn_score=by_function("by_revenue")), tmp_path)
    registry = registry_of(project)
    prove(project, registry)
    assert registry.reads("churn_score") == {"customers"}


def test_tables_of_ones_own_may_read_each_other_but_in_no_circle(tmp_path: Path):
    second = CHURN.replace("[customers, satisfaction]", "[churn_score]").replace("churn_score.sql", "risk.sql")
    defs = defs_in(tmp_path, churn_score=CHURN, risk=second)
    sql_beside(defs, "churn_score", QUERY)
    sql_beside(defs, "risk", "SELECT * FROM churn_score")
    project = Project.load(defs, defs)
    registry = registry_of(project)
    prove(project, registry)
    assert [*registry.tables][-2:] == ["churn_score", "risk"]

    defs_in(tmp_path, churn_score=CHURN.replace("[customers,", "[risk,"))
    assert wrong(defs) == (
        "churn_score/defs.yaml, line 7: table 'churn_score': tables are made of each other in a circle: "
        "churn_score -> risk -> churn_score"
    )


@pytest.mark.parametrize(("name", "message"), [("customers", "a table of ours"), ("Churn", "small letters, digits")])
def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path, name: str, message: str):
    defs = defs_in(tmp_path, **{name: CHURN})
    assert re.match(rf"{name}/defs.yaml, line \d: table '{name}': .*{message}", wrong(defs))
