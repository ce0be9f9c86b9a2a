"""Three nights looked at from the outside: all of it first, then only what changed, and nothing when nothing did."""

from collections import Counter
from datetime import timedelta
from itertools import combinations

import duckdb

from engine.build.run import build
from tests.nights.conftest import Night

SYSTEMS = {
    "companies": "accounts",
    "deals": "deals",
    "account.move": "invoices",
    "account.payment": "payments",
    "tickets": "tickets",
}
OURS = ("hubspot/accounts", "hubspot/tasks", "odoo/accounts")  # what was written there comes back once


def test_every_stream_is_read_whole(first: Night):
    assert {result.status for result in first.read.values()} == {"done"}
    assert all(result.total in (None, result.read) for result in first.read.values())
    assert first.read["hubspot/deals"].read > 100


def test_every_row_read_is_accepted_or_in_quarantine(first: Night):
    for table, result in first.built.items():
        for stream, note in result.notes.items():
            if isinstance(note, dict):
                read = first.read[stream]
                assert note["received"] == note["accepted"] + note["quarantined"] == read.new, (table, stream)


def test_exactly_the_spoilt_rows_are_in_quarantine(first: Night):
    spoilt = {(one["system"], SYSTEMS[one["object"]], one["id"]) for one in first.sandbox.dirty}
    alive = {
        key
        for key in spoilt
        if not (key[1] == "tickets" and first.sandbox.zendesk.tables["tickets"][int(key[2])]["status"] == "deleted")
    }
    rows = first.tables.query("SELECT connection, stream, record_id, reasons FROM quarantine")
    assert {(row["connection"], row["stream"], row["record_id"]) for row in rows} == alive
    assert all(row["reasons"] for row in rows)


def test_customers_are_joined_as_in_truth(first: Night):
    truth = {
        (system, number): customer
        for customer, ids in first.sandbox.truth.items()
        for system in ("hubspot", "odoo", "zendesk")
        for number in ids.get(system, ())
    }
    rows = first.tables.query("SELECT x.* FROM crosswalk x SEMI JOIN accounts a USING (connection, account_id)")
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["customer_id"], []).append(truth[row["connection"], row["account_id"]])
    pairs = [left == right for members in found.values() for left, right in combinations(members, 2)]
    possible = sum(
        count * (count - 1) // 2
        for count in Counter(truth[row["connection"], row["account_id"]] for row in rows).values()
    )
    assert sum(pairs) / len(pairs) >= 0.999
    assert sum(pairs) / possible >= 0.95


def test_every_customer_has_three_scores_and_reasons_that_add_up(first: Night):
    counts = first.tables.query(
        "SELECT (SELECT count(*) FROM customers) AS c, (SELECT count(*) FROM retention) AS r, (SELECT count(*) FROM satisfaction) AS s, "
        "(SELECT count(*) FROM key_accounts) AS k, (SELECT count(*) FROM customer_360) AS v"
    )[0]
    assert len(set(counts.values())) == 1
    summed = (
        "SELECT count(*) AS n FROM (SELECT value, list_sum(json_extract(reasons, '$[*].points')"
        "::DOUBLE[]) AS total FROM {}) WHERE abs(total - (value - {})) > 0.051"
    )
    assert first.tables.query(summed.format("retention WHERE value IS NOT NULL", 0))[0]["n"] == 0
    assert first.tables.query(summed.format("key_accounts", 5.5))[0]["n"] == 0
    assert first.tables.query("SELECT count(*) AS n FROM retention WHERE value IS NOT NULL")[0]["n"] > 40


def test_results_keep_their_own_rules(first: Night):
    assert {table: result.broken for table, result in first.built.items() if result.broken} == {}


def test_targets_hold_what_the_warehouse_holds(first: Night):
    with duckdb.connect(first.published.location, read_only=True) as warehouse:
        rows = warehouse.execute(
            "SELECT x.connection, x.account_id, c.customer_id, c.retention_score, c.retention_band, c.satisfaction_score, "
            "c.key_account_score, c.key_account_tier FROM customer_360 c JOIN crosswalk x USING (customer_id) "
            "SEMI JOIN accounts a ON a.connection = x.connection AND a.account_id = x.account_id WHERE x.connection <> 'zendesk'"
        ).fetchall()
    assert len(rows) > 100
    for connection, account, *wanted in rows:
        if connection == "hubspot":
            held = first.sandbox.hubspot.objects["companies"][account]["properties"]
            names = [f"belvedere_{name}" for name in FIELDS]
        else:
            held = first.sandbox.odoo.tables["res.partner"][int(account)]
            names = [f"x_belvedere_{name}" for name in FIELDS]
        for name, value in zip(names, wanted, strict=True):
            shown = held.get(name) or None
            if isinstance(value, float):
                assert float(shown or 0) == value, (connection, account, name)
            else:
                assert shown == value, (connection, account, name)


FIELDS = (
    "customer_id",
    "retention_score",
    "retention_band",
    "satisfaction_score",
    "key_account_score",
    "key_account_tier",
)


def test_no_write_is_sent_twice(first: Night):
    keys = [
        (write["system"], write["object"], write["id"], name)
        for write in first.sandbox.writes
        for name in write["after"]
    ]
    assert len(keys) == len(set(keys))
    assert not [write for write in first.sandbox.writes if write["no_change"]]


def test_the_audit_log_is_the_targets_own_log(first: Night):
    theirs = {
        (write["system"], write["id"], name)
        for write in first.sandbox.writes
        for name in write["after"]
        if "belvedere" in name
    }
    ours = {
        (operation.connection, operation.record_id, name)
        for operation in first.project.ledger.operations.query()
        if operation.outcome == "applied"
        for name in operation.after
        if "belvedere" in name  # of other fields some are ours alone: a country's code, a task's company
    }
    assert ours == theirs
    records = {(write["system"], write["id"]) for write in first.sandbox.writes if write["after"]}
    assert records == {(one.connection, one.record_id) for one in first.project.ledger.operations.query()}


def test_the_warehouse_describes_itself(first: Night):
    with duckdb.connect(first.published.location, read_only=True) as warehouse:
        comments = dict(warehouse.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
        info = dict(warehouse.execute('SELECT "table", rows FROM load_info').fetchall())
        counted = {table: warehouse.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in info}
    described = "One customer: the unified record, each field with its provenance."
    assert comments["customers"] == f"{described} Published by Belvedere as customers."
    assert counted == info
    assert (first.project.home / "dbt" / "sources.yml").exists()


def test_archived_and_merged_records_are_no_accounts(first: Night):
    held = {
        row["account_id"] for row in first.tables.query("SELECT account_id FROM accounts WHERE connection = 'hubspot'")
    }
    archived = {number for number, row in first.sandbox.hubspot.objects["companies"].items() if row["archived"]}
    assert archived
    assert not held & archived


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
    with duckdb.connect(done.published.location, read_only=True) as warehouse:
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
    written = {one.record_id for one in first.project.ledger.operations.query(run_id="second")}
    back = [third[0].read[stream] for stream in OURS]
    assert sum(one.new + one.changed for one in back) <= len(written)
    assert second.read["hubspot/tasks"].new == first.plans["reminders_to_hubspot"].creates
