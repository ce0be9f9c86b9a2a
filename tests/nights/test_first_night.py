"""The first night, looked at from the outside."""

from collections import Counter
from itertools import combinations

import duckdb

from tests.nights.conftest import Night

SYSTEMS = {
    "companies": "accounts",
    "deals": "deals",
    "account.move": "invoices",
    "account.payment": "payments",
    "tickets": "tickets",
}


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
    with duckdb.connect(first.published.place, read_only=True) as warehouse:
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
        for operation in first.project.ledger.operations()
        if operation.outcome == "applied"
        for name in operation.after
    }
    assert ours == theirs


def test_the_warehouse_describes_itself(first: Night):
    with duckdb.connect(first.published.place, read_only=True) as warehouse:
        comments = dict(warehouse.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
        info = dict(warehouse.execute('SELECT "table", rows FROM load_info').fetchall())
        counted = {table: warehouse.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in info}
    assert comments["customers"] == "One customer: the unified record, each field with its provenance."
    assert counted == info
    assert (first.project.home / "dbt" / "sources.yml").exists()


def test_archived_and_merged_records_are_no_accounts(first: Night):
    held = {
        row["account_id"] for row in first.tables.query("SELECT account_id FROM accounts WHERE connection = 'hubspot'")
    }
    archived = {number for number, row in first.sandbox.hubspot.objects["companies"].items() if row["archived"]}
    assert archived
    assert not held & archived
