"""Folders keep what of the contract is not about HTTP."""

from pathlib import Path

from connectors.files.connector import Files
from connectors.kit.testing.contract import Contract

CUSTOMERS = {
    "path": "customers_*.csv",
    "primary_key": "number",
    "table": "accounts",
    "fields": {"account_id": "number", "name": "name", "city": "city", "is_active": {"constant": True}},
}


class SmallBatches(Files):
    batch_rows = 2


class TestFiles(Contract):
    connector = SmallBatches
    settings = {
        "root": Path(__file__).parent / "data",
        "streams": {"accounts": CUSTOMERS, "invoices": {"path": "invoices.jsonl", "primary_key": "invoice"}},
    }

    def keys(self, stream):
        return {"accounts": ["1", "2", "3", "4", "5"], "invoices": ["A-1", "A-2", "A-3"]}[stream.name]
