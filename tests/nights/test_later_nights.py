"""The nights after the first: only what changed is read and written, and nothing when nothing did."""

from datetime import timedelta

import duckdb

from orchestration.build import build
from tests.nights.conftest import Night

OURS = ("hubspot/accounts", "hubspot/tasks", "odoo/accounts")  # what was written there comes back once


def test_only_changes_count_as_changes(second: Night):
    moved = {
        stream: (one.new, one.changed, one.deleted)
        for stream, one in second.read.items()
        if stream not in OURS and (one.new or one.changed or one.deleted)
    }
    assert moved == {
        "hubspot/deals": (1, 1, 1),
        "odoo/invoices": (1, 1, 0),
        "odoo/payments": (1, 0, 0),
        "zendesk/tickets": (0, 1, 0),
        "zendesk/ratings": (1, 0, 0),
    }


def test_a_full_list_is_not_read_again(second: Night):
    assert ("GET", "/hubspot/crm/v3/objects/deals") in second.sandbox.requests  # the archived ones
    listed = second.sandbox.requests["GET", "/hubspot/crm/v3/objects/deals"]
    assert listed == 1


def test_a_repaired_row_leaves_quarantine_by_itself(second: Night):
    repaired = [
        row for row in second.sandbox.dirty if row["object"] == "deals" and row["kind"] == "amount is no number"
    ][0]
    assert not second.tables.query("SELECT * FROM quarantine WHERE record_id = ?", [repaired["id"]])
    assert second.tables.query("SELECT amount FROM deals WHERE deal_id = ?", [repaired["id"]])[0]["amount"] == 12500


def test_a_merged_account_redirects(second: Night):
    winner = next(
        row
        for row in second.sandbox.hubspot.objects["companies"].values()
        if str(row["properties"]["hs_merged_object_ids"] or "").startswith("9")
    )
    loser = winner["properties"]["hs_merged_object_ids"].split(";")[-1]
    rows = second.tables.query(
        "SELECT account_id, customer_id, rule FROM crosswalk WHERE account_id IN (?, ?)",
        [winner["id"], loser],
    )
    assert len({row["customer_id"] for row in rows}) == 1
    assert loser in {row["account_id"] for row in rows}
    assert not second.tables.query("SELECT 1 FROM accounts WHERE account_id = ?", [loser])


def test_customers_keep_their_ids(first: Night, second: Night):
    history = second.tables.query("SELECT customer_id, count(DISTINCT as_of) AS days FROM score_history GROUP BY 1")
    assert sum(row["days"] == 2 for row in history) >= len(history) - 3


def test_a_quiet_night_writes_nothing(third: tuple[Night, int]):
    done, writes = third
    assert writes == 0
    assert {plan.fields for plan in done.plans.values()} == {0}
    elsewhere = [one for stream, one in done.read.items() if stream not in OURS]
    assert {(one.new, one.changed, one.deleted) for one in elsewhere} == {(0, 0, 0)}


def test_people_see_the_plan_before_it_is_applied(second: Night):
    rows = second.plans["scores_to_hubspot"].rows("update")
    assert rows
    assert {"record_id", "field", "before", "after", "reason"} <= set(rows[0])
    assert all(row["before"] != row["after"] for row in rows)


def test_every_record_is_accounted_for_from_the_source_to_the_warehouse(third: tuple[Night, int]):
    done, _ = third
    with duckdb.connect(done.published.place, read_only=True) as warehouse:
        rows = warehouse.execute("SELECT * FROM reconciliation").to_arrow_table().to_pylist()
    assert [(row["connection"], row["stream"], row["slice"], row["gap"]) for row in rows if not row["is_closed"]] == []
    whole = {(row["connection"], row["stream"]): row for row in rows if row["slice"] == "all"}
    assert len(whole) == sum(len(done.project.streams(name)) for name in done.project.connections)
    deals = whole["hubspot", "deals"]
    alive = [row for row in done.sandbox.hubspot.objects["deals"].values() if not row["archived"]]
    assert deals["source_count"] == deals["landed"] == deals["accepted"] + deals["quarantined"] == len(alive)
    assert deals["accepted"] == deals["conformed"] == deals["published"] == deals["joined"] + deals["unjoined"]
    slices = [
        row for row in rows if row["slice"] != "all" and row["stream"] == "deals" and row["connection"] == "hubspot"
    ]
    assert [(row["source_count"], row["read"]) for row in sorted(slices, key=lambda row: row["slice_until"])][1:] == [
        (2, 2),
        (0, 0),
    ]


def test_a_merge_at_the_source_is_a_redirect(second: Night):
    (row,) = second.tables.query(
        "SELECT * FROM redirects WHERE record_id NOT LIKE '8%' ORDER BY record_id DESC LIMIT 1"
    )
    assert row["redirected_to"] in second.sandbox.hubspot.objects["companies"]
    assert second.read["hubspot/accounts"].deleted == 0


def test_what_is_still_due_the_next_day_is_the_same_reminder_in_the_same_words(third: tuple[Night, int]):
    done, _ = third
    sql = "SELECT reminder_id, subject, note, owner, owner_ids, due_on FROM reminders"
    before = {row["reminder_id"]: row for row in done.tables.query(sql)}
    list(build(done.project, done.as_of + timedelta(days=1), "next"))
    after = {row["reminder_id"]: row for row in done.tables.query(sql)}
    assert len(before) > 20
    assert before.keys() <= after.keys()  # a day without news ends nothing
    assert {key: after[key] for key in before} == before


def test_a_reminder_goes_to_the_account_manager(third: tuple[Night, int]):
    rows = third[0].tables.query(
        "SELECT r.owner, r.owner_ids, c.account_manager FROM reminders r JOIN customers c USING (customer_id)"
    )
    assert [row for row in rows if row["owner"] != row["account_manager"]] == []
    assert all('"hubspot":' in row["owner_ids"] for row in rows if row["owner"])


def test_what_was_written_comes_back_once(first: Night, second: Night, third: tuple[Night, int]):
    written = {one.record_id for one in first.project.ledger.operations(run_id="second")}
    back = [third[0].read[stream] for stream in OURS]
    assert sum(one.new + one.changed for one in back) <= len(written)
    assert second.read["hubspot/tasks"].new == first.plans["reminders_to_hubspot"].creates
