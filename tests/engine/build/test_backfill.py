"""Past days of the score history, made anew from what was known then."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir
import pytest
from sqlalchemy import delete

from connectors.kit.errors import SettingsError
from engine.build.backfill import _Day, backfill
from engine.build.current_tables import Tables
from engine.build.run import build
from engine.config.project import Project
from engine.extract.run import extract
from engine.storage import ledger_tables as stored
from engine.storage.lease import LeaseTaken, lease
from orchestration.assets.history import history_assets
from sandbox.server import Sandbox
from tests.conftest import TODAY, only, opened

DAY = TODAY - timedelta(days=100)
END = datetime.combine(DAY + timedelta(days=1), time.min, UTC)


@pytest.fixture(scope="module")
def project(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with Sandbox(customers=40, seed=4, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        made = only(
            opened(tmp_path_factory.mktemp("history")),
            hubspot=["accounts", "deals", "owners", "emails"],
            odoo=["accounts", "orders", "invoices", "payments"],
            zendesk=["accounts", "tickets", "ratings"],
        )
        for connection in made.connections:
            list(extract(made, connection, "first"))
    list(build(made, TODAY, "first"))
    return made


def history(project: Project, day: date) -> list[dict[str, Any]]:
    return Tables(project).query("SELECT * FROM score_history WHERE as_of = ? ORDER BY customer_id, score", [day])


def forget(project: Project) -> None:
    """Let nothing fitted be known, so that each run fits for itself."""
    with project.ledger.transaction() as opened_:
        opened_.execute(delete(stored.parameters))


def without_later_facts(t: dict[str, ir.Table]) -> dict[str, ir.Table]:
    """Make the tables as they would be had nothing happened after the day, and its deals ended otherwise."""
    end = ibis.literal(END)
    deals, tickets, invoices = t["deals"], t["tickets"], t["invoices"]
    closed_later = (deals.status != "open") & (deals.close_on > DAY)
    paid_later = t["payments"].filter(t["payments"].paid_on > DAY).select("connection", "invoice_id").distinct()
    unpaid = invoices.semi_join(paid_later, ["connection", "invoice_id"])
    paid = invoices.anti_join(paid_later, ["connection", "invoice_id"])
    unpaid = unpaid.mutate(open_amount=unpaid.total_amount, paid_on=ibis.null("date"))
    solved_later = (tickets.solved_at >= end).coalesce(False)
    return t | {
        "accounts": t["accounts"].filter((t["accounts"].created_at < end).coalesce(True)),
        "deals": deals.mutate(
            status=ibis.ifelse(closed_later, ibis.ifelse(deals.status == "won", "lost", "won"), deals.status),
            close_on=ibis.ifelse(closed_later, deals.close_on + ibis.interval(days=7), deals.close_on).cast("date"),
        ).filter(deals.created_at < end),
        "orders": t["orders"].filter(t["orders"].ordered_on <= DAY),
        "invoices": paid.union(unpaid.select(*paid.columns)).filter(lambda row: row.invoice_on <= DAY),
        "payments": t["payments"].filter(t["payments"].paid_on <= DAY),
        "tickets": tickets.mutate(
            status=ibis.ifelse(solved_later, "new", tickets.status),
            solved_at=ibis.ifelse(solved_later, None, tickets.solved_at),
            resolution_minutes=ibis.ifelse(solved_later, None, tickets.resolution_minutes),
        ).filter(tickets.created_at < end),
        "activities": t["activities"].filter(t["activities"].happened_at < end),
        "ratings": t["ratings"].filter(t["ratings"].rated_at < end),
    }


def test_a_backfilled_day_is_there_and_nothing_else_changes(project: Project):
    today, snapshot = history(project, TODAY), project.ledger.snapshots.current()
    before = Tables(project).query("SELECT * FROM key_accounts ORDER BY customer_id")
    result = backfill(project, DAY, "past")
    rows = history(project, DAY)
    assert result.broken == {}
    assert len(rows) == result.rows > 60
    assert {row["as_of"] for row in rows} == {DAY}
    assert (history(project, TODAY), project.ledger.snapshots.current()) == (today, snapshot)
    assert Tables(project).query("SELECT * FROM key_accounts ORDER BY customer_id") == before
    assert [row["value"] for row in rows] != [row["value"] for row in today][: len(rows)]


@pytest.fixture(scope="module")
def seen(project: Project) -> list[dict[str, Any]]:
    """Fill the day as it is filled when nothing was fitted before."""
    forget(project)
    backfill(project, DAY, "seen")
    return history(project, DAY)


def test_later_facts_change_nothing(project: Project, seen: list[dict[str, Any]]):
    forget(project)
    other = _Day(project, DAY, "other", project.ledger.snapshots.current().id)  # type: ignore[union-attr]
    other.tables = without_later_facts(other.tables)
    other.run()
    assert history(project, DAY) == seen
    assert len(seen) > 60


def test_but_earlier_facts_do(project: Project, seen: list[dict[str, Any]]):
    other = _Day(project, DAY, "other", project.ledger.snapshots.current().id)  # type: ignore[union-attr]
    orders, invoices = other.tables["orders"], other.tables["invoices"]
    other.tables["orders"] = orders.filter(orders.ordered_on < DAY - timedelta(days=30))
    other.tables["invoices"] = invoices.filter(invoices.invoice_on < DAY - timedelta(days=30))
    other.run()
    assert history(project, DAY) != seen


def test_a_day_filled_twice_is_the_same(project: Project, seen: list[dict[str, Any]]):
    backfill(project, DAY, "twice")
    assert history(project, DAY) == seen


def test_the_next_build_compares_with_a_backfilled_day(project: Project, seen: list[dict[str, Any]]):
    list(build(project, TODAY, "again"))
    rows = [row for row in history(project, TODAY) if row["delta"] is not None]
    assert rows
    assert {row["compared_on"] for row in rows} == {DAY}
    assert all(row["low_since"] in (None, DAY, TODAY) for row in rows)
    (shown,) = Tables(project).query("SELECT count(retention_change) AS n FROM customer_360")
    assert shown["n"] > 10


def test_a_day_that_was_not_built_yet_is_refused(project: Project):
    with pytest.raises(SettingsError, match="the last build is of"):
        backfill(project, TODAY + timedelta(days=1), "future")


def test_a_build_at_work_keeps_a_backfill_out(project: Project):
    with lease(project.ledger, "build", "another"), pytest.raises(LeaseTaken):
        backfill(project, DAY, "past")


def test_partitions_are_filled_from_dagster_in_one_run(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BELVEDERE_HOME", str(project.home))
    (asset,) = history_assets().assets or ()
    first, last = (DAY - timedelta(days=days) for days in (3, 2))
    tags = {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([asset], instance=instance, tags=tags)  # type: ignore[list-item]
        assert done.success
        partitions = instance.get_materialized_partitions(dg.AssetKey("score_history"))
    assert partitions == {first.isoformat(), last.isoformat()}
    assert history(project, first)
    assert history(project, last)
