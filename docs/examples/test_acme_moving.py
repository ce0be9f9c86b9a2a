"""Acme keeps the contract while its records move."""

from acme import Acme

from connectors.kit.testing import Contract, StubResponse


class TestAcmeMoving(Contract):
    connector = Acme
    settings = {"token": "acme-s3cret"}
    records = {
        "accounts": [
            {"id": number, "title": f"No. {number}", "state": "active", "modified": f"2026-10-0{number}T08:00:00Z"}
            for number in range(1, 6)
        ]
    }

    def answers(self, asked):
        if asked.path == "/v2/me":
            return StubResponse({"account": {"name": "Acme of Ulm"}})
        after = int(asked.query.get("cursor", "0"), 36)
        rows = sorted((row for row in self.rows_by_stream["accounts"] if row["id"] > after), key=lambda row: row["id"])
        return StubResponse({"companies": rows[:2], "next": str(rows[1]["id"]) if rows[2:] else None})
