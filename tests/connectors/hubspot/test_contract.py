"""HubSpot keeps the contract, against a small portal."""

from copy import deepcopy
from datetime import date
from functools import cache

from connectors.hubspot.connector import HubSpot
from connectors.kit.testing.contract import Contract, StubRequest, StubResponse, Written
from sandbox.core.clock import Clock
from sandbox.core.response import Request
from sandbox.core.write_log import WriteLog
from sandbox.hubspot.api import TOKEN
from sandbox.hubspot.api import HubSpot as Portal
from sandbox.world.build import build
from sandbox.world.hubspot import KINDS

TODAY = date(2026, 10, 20)


@cache
def world():
    """Build a portal of five records a kind, the last of which is archived."""
    portal, now = build(6, 3, TODAY).portal, Clock(TODAY).now()
    for kind in KINDS:
        held = portal.objects[kind]
        for number in list(held)[5:]:
            del held[number]
        while len(held) < 5:
            portal.add(kind, {}, now, now)
        portal.archive(kind, list(held)[-1], now)
    portal.owners = [{**owner, "archived": place == 5} for place, owner in enumerate(portal.owners[:6])]  # three pages
    return portal


class SmallPages(HubSpot):
    list_page_size = search_page_size = 2


class TestHubSpot(Contract):
    connector = SmallPages
    settings = {"token": TOKEN, "requests_per_10_seconds": 100_000, "searches_per_second": 100_000}
    written = (
        Written(
            "accounts",
            ids=[number for number, row in world().objects["companies"].items() if not row["archived"]],
            after={"name": "Renamed & Co", "numberofemployees": 7},
            bad={"numberofemployees": "many"},
            new={"name": "New & Co"},
            key="erp_id",
        ),
    )

    def setup_method(self):
        super().setup_method()
        clock = Clock(TODAY)
        self.portal = Portal(deepcopy(world()), clock, WriteLog(clock))
        self.portal.search_lag = 0

    def answers(self, asked: StubRequest) -> StubResponse:
        request = Request(asked.method, asked.path, asked.lists, asked.headers, asked.json, "{base_url}")
        answer = self.portal.handle(request)
        return StubResponse(answer.payload, answer.status, answer.headers)

    def lets_in(self, asked):
        return True  # the portal looks for itself

    def keys(self, stream):
        if stream.object == "owners":
            return [owner["id"] for owner in self.portal.portal.owners]
        return [number for number, row in self.portal.objects[stream.object].items() if not row["archived"]]

    def is_page(self, stream, asked, told):
        plain = asked.path.endswith((f"/{stream.object}", f"/{stream.object}/search"))
        return plain and "properties/" not in asked.path and not self._counts(asked)

    def vanish(self, stream, key):
        if stream.object == "owners":
            self.portal.portal.owners = [owner for owner in self.portal.portal.owners if owner["id"] != key]
        else:
            self.portal.portal.archive(stream.object, key, self.portal.clock.now())
        return True

    def touch(self, stream, key):
        if stream.object != "owners":
            self.portal.edit(stream.object, key, {"name": "Renamed"})
        return True

    def level(self, stream):
        stamp = stream.cursor.removeprefix("properties.")
        for row in self.portal.objects[stream.object].values():
            row["properties"][stamp] = "2026-10-01T00:00:00.000Z"
        return True

    def _counts(self, asked):
        return asked.path.endswith("/search") and asked.json["limit"] == 1
