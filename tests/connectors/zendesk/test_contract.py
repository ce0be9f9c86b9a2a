"""Zendesk keeps the contract, against a small account."""

from copy import deepcopy
from datetime import UTC, date, datetime
from functools import cache

from connectors.kit.testing.contract import Contract, StubRequest, StubResponse
from connectors.zendesk.connector import Zendesk
from sandbox.core.clock import Clock
from sandbox.core.response import Request
from sandbox.core.write_log import WriteLog
from sandbox.world.build import build
from sandbox.world.zendesk import TABLES
from sandbox.zendesk.api import Zendesk as Account
from sandbox.zendesk.tokens import CLIENT_ID, CLIENT_SECRET

TODAY = date(2026, 10, 20)


@cache
def world():
    """Build an account of five rows a table."""
    desk = build(12, 3, TODAY).desk
    for table in TABLES:
        rows = desk.rows[table]
        told = [
            number for number, row in rows.items() if row.get("role") != "end-user" and row.get("score") != "offered"
        ]
        for number in [number for number in rows if number not in told[:5]]:
            del rows[number], desk.moved[table][number]
    return desk


class TestZendesk(Contract):
    connector = Zendesk
    settings = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "page_size": 2,
        "exports_per_minute": 1_000_000,
    }

    def setup_method(self):
        super().setup_method()
        self.account = Account(deepcopy(world()), Clock(TODAY), WriteLog(Clock(TODAY)))

    def answers(self, asked: StubRequest) -> StubResponse:
        query = {**asked.lists, "page[size]": ["2"]}
        answer = self.account.handle(Request(asked.method, asked.path, query, asked.headers, asked.json, "{base_url}"))
        return StubResponse(answer.payload, answer.status, answer.headers)

    def lets_in(self, asked):
        return True  # the account looks for itself

    def keys(self, stream):
        return [str(number) for number in self.account.tables[stream.object]]

    def is_page(self, stream, asked, told):
        return f"/{stream.object}" in asked.path

    def vanish(self, stream, key):
        for held in (self.account.tables, self.account.desk.moved):
            del held[stream.object][int(key)]
        return True

    def touch(self, stream, key):
        self.account.edit(stream.object, int(key), {"name": "Renamed"})
        self.account.clock.advance(120)
        return True

    def level(self, stream):
        moment = datetime(2026, 10, 1, tzinfo=UTC)
        for number in self.account.tables[stream.object]:
            self.account.desk.moved[stream.object][number] = moment
        return True
