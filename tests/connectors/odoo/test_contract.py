"""Odoo keeps the contract, against a small database."""

from copy import deepcopy
from datetime import UTC, date, datetime
from functools import cache

from connectors.kit.testing.contract import Contract, StubRequest, StubResponse, Written
from connectors.odoo.connector import Odoo
from connectors.odoo.streams import DOMAINS
from sandbox.core.clock import Clock
from sandbox.core.response import Request
from sandbox.core.write_log import WriteLog
from sandbox.odoo.api import DATABASE, KEY, LOGIN
from sandbox.odoo.api import Odoo as Database
from sandbox.odoo.domain import matches
from sandbox.world.build import build

TODAY = date(2026, 10, 20)


@cache
def world():
    """Build a database of five rows for each model that is read."""
    database = Database(build(30, 3, TODAY).tables, Clock(TODAY), WriteLog(Clock(TODAY)))
    for stream in Odoo.streams:
        rows, domain = database.tables[stream.object], DOMAINS.get(stream.object, [])
        kept = [number for number, row in rows.items() if matches(database, stream.object, row, domain)][:5]
        for number in [number for number in rows if number not in kept]:
            del rows[number]
    return database.data


class SmallPages(Odoo):
    keys_page_size = 2


class TestOdoo(Contract):
    connector = SmallPages
    settings = {
        "database": DATABASE,
        "login": LOGIN,
        "api_key": KEY,
        "page_size": 2,
        "requests_per_second": 100_000,
    }
    written = (
        Written(
            "accounts",
            ids=[str(number) for number in world().rows["res.partner"]],
            after={"name": "Renamed & Co", "credit_limit": 5.0},
            bad={"credit_limit": "high"},
            new={"name": "New & Co", "credit_limit": 5.0},
            key="external_id",
        ),
    )

    def setup_method(self):
        super().setup_method()
        self.database = Database(deepcopy(world()), Clock(TODAY), WriteLog(Clock(TODAY)))

    def answers(self, asked: StubRequest) -> StubResponse:
        answer = self.database.handle(Request(asked.method, asked.path, asked.lists, asked.headers, asked.json))
        return StubResponse(answer.payload, answer.status, answer.headers)

    def lets_in(self, asked):
        return True  # the database looks for itself

    def keys(self, stream):
        return [str(number) for number in self.database.tables[stream.object]]

    def is_page(self, stream, asked, told):
        args = asked.json["params"]["args"]
        return args[3:5] == [stream.object, "search_read"] and "limit" in args[6]

    def vanish(self, stream, key):
        del self.database.tables[stream.object][int(key)]
        return True

    def touch(self, stream, key):
        self.database.edit(stream.object, int(key), {"name": "Renamed"})
        return True

    def level(self, stream):
        for row in self.database.tables[stream.object].values():
            row["write_date"] = datetime(2026, 10, 1, tzinfo=UTC)
        return True
