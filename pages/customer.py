"""The customer page: one customer's record, scores, accounts and activity, read from the tables of one build."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Reads(Protocol):
    """Whatever answers SQL over the tables of one build."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]: ...


Row = dict[str, Any]


@dataclass(frozen=True)
class CustomerPage:
    """What the page shows, section by section."""

    customer: Row
    summary: Row
    accounts: list[Row]
    scores: list[Row]
    criteria: list[Row]
    deals: list[Row]
    invoices: list[Row]
    tickets: list[Row]
    activities: list[Row]
    provenance: dict[str, Any]


_FIND = """
SELECT DISTINCT customer_id, name, country, priority FROM (
    SELECT customer_id, name, country, CASE WHEN lower(name) = lower($1) THEN 1 ELSE 3 END AS priority FROM customers
    WHERE lower(name) LIKE '%' || lower($1) || '%' OR lower(domain) = lower($1) OR tax_id = $1
    UNION ALL SELECT c.customer_id, c.name, c.country, 0 FROM customers c WHERE c.customer_id = $1
    UNION ALL SELECT c.customer_id, c.name, c.country, 2 FROM customers c
    JOIN crosswalk x USING (customer_id) WHERE x.account_id = $1)
ORDER BY priority, name, customer_id
"""


def find_customers(tables: Reads, text: str) -> list[Row]:
    """Return customers by id, part of the name, domain, tax id or account id; an exact match excludes others."""
    rows = tables.query(_FIND, [text])
    best = [row for row in rows if row["priority"] < 2]
    chosen = best if len({row["customer_id"] for row in best}) == 1 else rows
    return list({row["customer_id"]: row for row in chosen}.values())


def customer_page(tables: Reads, customer_id: str) -> CustomerPage:
    """Return one customer's page. Raises IndexError when there is no such customer."""

    def of(table: str, order: str, limit: int = 10) -> list[Row]:
        return tables.query(
            f"SELECT t.* FROM {table} t JOIN crosswalk x USING (connection, account_id) "  # noqa: S608 - names are ours
            f"WHERE x.customer_id = ? ORDER BY {order} LIMIT {limit}",
            [customer_id],
        )

    def rows_of(table: str) -> list[Row]:
        return tables.query(f"SELECT * FROM {table} WHERE customer_id = ?", [customer_id])  # noqa: S608

    customer, overrides = rows_of("customers")[0], {row["override_id"]: row for row in rows_of("overrides")}
    return CustomerPage(
        customer=customer,
        summary=rows_of("customer_360")[0],
        accounts=tables.query(
            "SELECT x.connection, x.account_id, x.rule, x.since, a.name FROM crosswalk x "
            "LEFT JOIN accounts a USING (connection, account_id) WHERE x.customer_id = ? ORDER BY 1, 2",
            [customer_id],
        ),
        scores=[
            _score(name, row, overrides)
            for name in ("retention", "satisfaction", "key_accounts")
            for row in rows_of(name)
        ],
        criteria=tables.query(
            "SELECT * FROM key_account_criteria WHERE customer_id = ? ORDER BY contribution DESC, criterion",
            [customer_id],
        ),
        deals=of("deals", "(t.status = 'open') DESC, t.close_on DESC NULLS LAST, t.deal_id"),
        invoices=of("invoices", "t.invoice_on DESC, t.invoice_id"),
        tickets=of("tickets", "t.created_at DESC, t.ticket_id"),
        activities=of("activities", "t.happened_at DESC, t.activity_id"),
        provenance=json.loads(customer["provenance"]),
    )


def _score(name: str, row: Row, overrides: Mapping[str, Row]) -> Row:
    sure = row.get("confidence", row.get("coverage"))
    band = row["tier"] if name == "key_accounts" else row["band"]
    override = overrides.get(row["override_id"] or "")
    return {
        "score": name.replace("_", " ").removesuffix("s"),
        "value": row["value_effective"],
        "band": band,
        "sure": sure,
        "by_hand": override and _by_hand(override, row),
        "reasons": json.loads(row["reasons"]),
    }


def _by_hand(override: Row, row: Row) -> str:
    """Return who set a score by hand, why, until when, and the computed value that the reasons add up to."""
    value = "nothing" if row["value"] is None else f"{row['value']:.1f}"
    computed = row["tier_computed"] if override["what"] == "tier" else value
    until = f"until {override['expires_on']}"
    return f"set by hand by {override['author']} {until}: {override['reason']}; computed: {computed}"
