"""The customer page: what is shown of one customer, and what a person has set by hand."""

from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from engine.build.current_tables import Tables
from engine.storage.table_schema import arrow_schema
from pages.customer import customer_page
from pages.render import as_html, as_text

TODAY = date(2026, 11, 26)
MOVING = ("deals", "invoices", "tickets", "activities")
SAID = {"customer_id": "C1", "reason": "<told> us", "author": "Eva", "expires_on": date(2027, 4, 30)}


class Written(Tables):
    """Hold tables that are written as rows."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        schema = arrow_schema(table)
        filled = [{name: row.get(name) for name in schema.names} for row in rows]
        self.connection.register(table, pa.Table.from_pylist(filled, schema=schema))


@pytest.fixture
def tables() -> Written:
    """Write one customer, whose retention and tier were computed."""
    written = Written()
    common = {"customer_id": "C1", "as_of": TODAY, "reasons": "[]"}
    written.put("customers", common | {"name": "Hansa", "status": "active", "currency": "EUR", "provenance": "{}"})
    written.put("customer_360", common)
    written.put("crosswalk", common | {"connection": "crm", "account_id": "1", "rule": "alone", "since": TODAY})
    written.put("retention", common | {"value": 93.29, "value_effective": 93.29, "band": "healthy"})
    written.put("key_accounts", common | {"value": 6.5, "value_effective": 6.5, "tier_computed": "A", "tier": "A"})
    for table in ("accounts", "satisfaction", "overrides", "key_account_criteria", *MOVING):
        written.put(table)
    return written


def test_what_was_computed_is_nobodys_word(tables: Written):
    output = as_text(customer_page(tables, "C1"))
    assert "93.3  healthy" in output
    assert "by hand" not in output


def test_a_score_that_was_set_by_hand_says_by_whom_why_and_what_was_computed(tables: Written):
    common = {"customer_id": "C1", "as_of": TODAY, "reasons": "[]"}
    tables.put(
        "overrides", SAID | {"override_id": "o1", "what": "retention"}, SAID | {"override_id": "o2", "what": "tier"}
    )
    tables.put("retention", common | {"value": 93.29, "value_effective": 50.0, "band": "watch", "override_id": "o1"})
    key = {"value": 6.5, "value_effective": 6.5, "tier_computed": "A", "tier": "B", "override_id": "o2"}
    tables.put("key_accounts", common | key)
    page = customer_page(tables, "C1")
    assert "set by hand by Eva until 2027-04-30: <told> us; computed: 93.3" in as_text(page)
    assert "set by hand by Eva until 2027-04-30: <told> us; computed: A" in as_text(page)
    assert "&lt;told&gt; us; computed: 93.3" in as_html(page)
