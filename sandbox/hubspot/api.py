"""HubSpot CRM v3, spoken as its OpenAPI files and its users describe it."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from sandbox.core.clock import Clock
from sandbox.core.response import Request, Response
from sandbox.core.write_log import WriteLog
from sandbox.hubspot.responses import error, page
from sandbox.hubspot.search import comparable, matches_groups
from sandbox.hubspot.writes import PORTAL, HubSpotWrites
from sandbox.world.hubspot import KINDS, STAGES, Portal

TOKEN = "sandbox-hubspot-token"  # noqa: S105 - opens the sandbox and nothing else
SEARCH_LAG = 5.0
SEARCH_CAP = 10_000  # results that HubSpot's search pages through at most
SEARCH_BODY = {"filterGroups", "sorts", "properties", "limit", "after"}
Record = dict[str, Any]


class HubSpot(HubSpotWrites):
    """Answer for one portal."""

    def __init__(self, portal: Portal, clock: Clock, log: WriteLog) -> None:
        super().__init__(portal, clock)
        self.log, self.search_lag, self.search_cap = log, SEARCH_LAG, SEARCH_CAP
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Response]]] = [
            ("GET", re.compile(r"/account-info/v3/details"), self._account),
            ("GET", re.compile(r"/crm/v3/owners/?"), self._owners),
            ("GET", re.compile(r"/crm/v3/pipelines/(\w+)"), self._pipelines),
            ("GET", re.compile(r"/crm/v3/properties/(\w+)"), self._properties),
            ("POST", re.compile(r"/crm/v3/properties/(\w+)"), self._new_property),
            ("POST", re.compile(r"/crm/v3/objects/(\w+)/search"), self._search),
            (
                "POST",
                re.compile(r"/crm/v3/objects/(\w+)/batch/(read|create|update|upsert|archive)"),
                self._batch,
            ),
            ("GET", re.compile(r"/crm/v3/objects/(\w+)/?"), self._list),
            ("GET", re.compile(r"/crm/v3/objects/(\w+)/([^/]+)"), self._get),
            ("PATCH", re.compile(r"/crm/v3/objects/(\w+)/([^/]+)"), self._patch),
            ("DELETE", re.compile(r"/crm/v3/objects/(\w+)/(\d+)"), self._delete),
            ("POST", re.compile(r"/crm/v3/objects/(\w+)/?"), self._post),
            ("POST", re.compile(r"/crm/v4/associations/(\w+)/(\w+)/batch/read"), self._associations),
            ("GET", re.compile(r"/crm/v4/objects/(\w+)/(\d+)/associations/(\w+)"), self._associations_of),
            (
                "PUT",
                re.compile(r"/crm/v4/objects/(\w+)/(\d+)/associations/default/(\w+)/(\d+)"),
                self._associate,
            ),
            (
                "POST",
                re.compile(r"/crm/v4/associations/(\w+)/(\w+)/batch/(associate/default|create)"),
                self._associate_many,
            ),
        ]

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                if "objects" in request.path and match.group(1) not in KINDS:
                    return error(400, "VALIDATION_ERROR", f"Unable to infer object type from: {match.group(1)}")
                answer = handler(request, *map(unquote, match.groups()))
                if not request.path.endswith("/search"):
                    answer.headers |= {
                        "X-HubSpot-RateLimit-Max": "1000000",
                        "X-HubSpot-RateLimit-Remaining": "999999",
                        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                    }
                return answer
        return error(404, "OBJECT_NOT_FOUND", "Resource not found")

    def _account(self, request: Request) -> Response:
        return Response(
            payload={
                "portalId": PORTAL,
                "accountType": "SANDBOX",
                "timeZone": "Europe/Berlin",
                "companyCurrency": "EUR",
                "uiDomain": "app.hubspot.com",
            }
        )

    def _owners(self, request: Request) -> Response:
        archived = request.first("archived").lower() == "true"
        rows = [owner for owner in self.portal.owners if owner["archived"] == archived]
        return page(request, rows, int(request.first("limit", "100")))

    def _pipelines(self, request: Request, kind: str) -> Response:
        stages = [
            {
                "id": stage,
                "label": label,
                "displayOrder": position,
                "archived": False,
                "metadata": {"probability": str(chance)},
            }
            for position, (stage, label, chance) in enumerate(STAGES)
        ]
        return Response(
            payload={
                "results": [
                    {
                        "id": "default",
                        "label": "Sales",
                        "displayOrder": 0,
                        "archived": False,
                        "stages": stages,
                    }
                ]
            }
        )

    def _properties(self, request: Request, kind: str) -> Response:
        return Response(payload={"results": self.properties.listed(kind)})

    def _new_property(self, request: Request, kind: str) -> Response:
        return Response(201, self.properties.add(kind, request.body))

    def _list(self, request: Request, kind: str) -> Response:
        limit = int(request.first("limit", "10"))
        archived = request.first("archived").lower() == "true"
        if limit > 100:
            return error(400, "VALIDATION_ERROR", "limit must be at most 100")
        if archived and kind in ("meetings", "notes"):
            return error(400, "VALIDATION_ERROR", f"Archived objects of type {kind} cannot be listed")
        wanted = [name for chunk in request.query.get("properties", []) for name in chunk.split(",")]
        rows = [row for row in self._sorted(kind) if row["archived"] == archived]
        return page(request, rows, limit, lambda row: self._with_properties(kind, row, wanted))

    def _get(self, request: Request, kind: str, number: str) -> Response:
        key = request.first("idProperty")
        record = self._by(kind, key, number) if key else self.objects[kind].get(number)
        if record is None or record["archived"] != (request.first("archived").lower() == "true"):
            return error(404, "OBJECT_NOT_FOUND", "resource not found")
        wanted = [name for chunk in request.query.get("properties", []) for name in chunk.split(",")]
        return Response(payload=self._with_properties(kind, record, wanted))

    def _search(self, request: Request, kind: str) -> Response:
        body = request.body or {}
        if missing := SEARCH_BODY - set(body):
            return error(400, "VALIDATION_ERROR", f"required members are missing: {', '.join(sorted(missing))}")
        limit, after = int(body["limit"]), int(body["after"] or 0)
        if limit > 200 or len(body["filterGroups"]) > 6:
            return error(400, "VALIDATION_ERROR", "limit must be at most 200, filter groups at most 6")
        if after + limit > self.search_cap:
            return error(400, "VALIDATION_ERROR", f"paging past {self.search_cap} is not possible")
        visible = [row for row in self._sorted(kind) if not row["archived"] and self._is_indexed(kind, row)]
        groups = body["filterGroups"]
        hits = [row for row in visible if matches_groups(row, groups)]
        sort = (body["sorts"] or ["hs_object_id"])[0]
        name, reverse = (
            (sort.lstrip("-"), sort.startswith("-"))
            if isinstance(sort, str)
            else (sort["propertyName"], sort.get("direction") == "DESCENDING")
        )
        hits.sort(key=lambda row: comparable(row["properties"].get(name)), reverse=reverse)
        page_rows = hits[after : after + limit]
        payload: Record = {
            "total": len(hits),
            "results": [self._with_properties(kind, row, body["properties"]) for row in page_rows],
        }
        if after + limit < len(hits):
            payload["paging"] = {"next": {"after": str(after + limit)}}
        return Response(payload=payload)

    def _is_indexed(self, kind: str, record: Record) -> bool:
        touched = self.touched.get((kind, record["id"]))
        return touched is None or (self.clock.now() - touched).total_seconds() >= self.search_lag

    def _sorted(self, kind: str) -> list[Record]:
        return list(self.objects[kind].values())  # ids only ever rise, so this is their order
