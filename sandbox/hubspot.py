"""HubSpot CRM v3, spoken as its OpenAPI files and its users describe it."""

import re
from collections.abc import Callable
from typing import Any

from sandbox.answer import Answer, Request
from sandbox.clock import Clock, iso
from sandbox.hubspot_people import HubSpotPeople
from sandbox.hubspot_properties import DEFAULTS
from sandbox.hubspot_search import comparable, found
from sandbox.world.hubspot import KINDS, STAGES, Portal
from sandbox.writelog import WriteLog

TOKEN = "sandbox-hubspot-token"  # noqa: S105 - opens the sandbox and nothing else
PORTAL = 12345678
SEARCH_LAG = 5.0
CAP = 10_000
SEARCH_BODY = {"filterGroups", "sorts", "properties", "limit", "after"}
Record = dict[str, Any]


class HubSpot(HubSpotPeople):
    """Answer for one portal."""

    def __init__(self, portal: Portal, clock: Clock, log: WriteLog) -> None:
        super().__init__(portal, clock)
        self.log, self.search_lag = log, SEARCH_LAG
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
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
            ("GET", re.compile(r"/crm/v3/objects/(\w+)/(\d+)"), self._get),
            ("PATCH", re.compile(r"/crm/v3/objects/(\w+)/(\d+)"), self._patch),
            ("DELETE", re.compile(r"/crm/v3/objects/(\w+)/(\d+)"), self._delete),
            ("POST", re.compile(r"/crm/v3/objects/(\w+)/?"), self._post),
            ("POST", re.compile(r"/crm/v4/associations/(\w+)/(\w+)/batch/read"), self._associations),
            ("GET", re.compile(r"/crm/v4/objects/(\w+)/(\d+)/associations/(\w+)"), self._associations_of),
            (
                "PUT",
                re.compile(r"/crm/v4/objects/(\w+)/(\d+)/associations/default/(\w+)/(\d+)"),
                self._associate,
            ),
        ]

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                if "objects" in request.path and match.group(1) not in KINDS:
                    return _error(400, "VALIDATION_ERROR", f"Unable to infer object type from: {match.group(1)}")
                answer = handler(request, *match.groups())
                if not request.path.endswith("/search"):
                    answer.headers |= {
                        "X-HubSpot-RateLimit-Max": "1000000",
                        "X-HubSpot-RateLimit-Remaining": "999999",
                        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                    }
                return answer
        return _error(404, "OBJECT_NOT_FOUND", "Resource not found")

    def _account(self, request: Request) -> Answer:
        return Answer(
            payload={
                "portalId": PORTAL,
                "accountType": "SANDBOX",
                "timeZone": "Europe/Berlin",
                "companyCurrency": "EUR",
                "uiDomain": "app.hubspot.com",
            }
        )

    def _owners(self, request: Request) -> Answer:
        archived = request.one("archived").lower() == "true"
        rows = [owner for owner in self.portal.owners if owner["archived"] == archived]
        return _page(request, rows, int(request.one("limit", "100")))

    def _pipelines(self, request: Request, kind: str) -> Answer:
        stages = [
            {
                "id": stage,
                "label": label,
                "displayOrder": place,
                "archived": False,
                "metadata": {"probability": str(chance)},
            }
            for place, (stage, label, chance) in enumerate(STAGES)
        ]
        return Answer(
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

    def _properties(self, request: Request, kind: str) -> Answer:
        return Answer(payload={"results": self.properties.listed(kind)})

    def _new_property(self, request: Request, kind: str) -> Answer:
        return Answer(201, self.properties.add(kind, request.body))

    def _list(self, request: Request, kind: str) -> Answer:
        limit = int(request.one("limit", "10"))
        archived = request.one("archived").lower() == "true"
        if limit > 100:
            return _error(400, "VALIDATION_ERROR", "limit must be at most 100")
        if archived and kind in ("meetings", "notes"):
            return _error(400, "VALIDATION_ERROR", f"Archived objects of type {kind} cannot be listed")
        wanted = [name for chunk in request.query.get("properties", []) for name in chunk.split(",")]
        rows = [row for row in self._sorted(kind) if row["archived"] == archived]
        return _page(request, rows, limit, lambda row: self._shown(kind, row, wanted))

    def _get(self, request: Request, kind: str, number: str) -> Answer:
        record = self.objects[kind].get(number)
        if record is None or record["archived"] != (request.one("archived").lower() == "true"):
            return _error(404, "OBJECT_NOT_FOUND", "resource not found")
        wanted = [name for chunk in request.query.get("properties", []) for name in chunk.split(",")]
        return Answer(payload=self._shown(kind, record, wanted))

    def _search(self, request: Request, kind: str) -> Answer:
        body = request.body or {}
        if missing := SEARCH_BODY - set(body):
            return _error(400, "VALIDATION_ERROR", f"required members are missing: {', '.join(sorted(missing))}")
        limit, after = int(body["limit"]), int(body["after"] or 0)
        if limit > 200 or len(body["filterGroups"]) > 6:
            return _error(400, "VALIDATION_ERROR", "limit must be at most 200, filter groups at most 6")
        if after + limit > CAP:
            return _error(400, "VALIDATION_ERROR", f"paging past {CAP} is not possible")
        visible = [row for row in self._sorted(kind) if not row["archived"] and self._is_indexed(kind, row)]
        groups = body["filterGroups"]
        hits = [row for row in visible if found(row, groups)]
        sort = (body["sorts"] or ["hs_object_id"])[0]
        name, reverse = (
            (sort.lstrip("-"), sort.startswith("-"))
            if isinstance(sort, str)
            else (sort["propertyName"], sort.get("direction") == "DESCENDING")
        )
        hits.sort(key=lambda row: comparable(row["properties"].get(name)), reverse=reverse)
        page = hits[after : after + limit]
        payload: Record = {
            "total": len(hits),
            "results": [self._shown(kind, row, body["properties"]) for row in page],
        }
        if after + limit < len(hits):
            payload["paging"] = {"next": {"after": str(after + limit)}}
        return Answer(payload=payload)

    def _is_indexed(self, kind: str, record: Record) -> bool:
        touched = self.touched.get((kind, record["id"]))
        return touched is None or (self.clock.now() - touched).total_seconds() >= self.search_lag

    def _batch(self, request: Request, kind: str, action: str) -> Answer:
        inputs = (request.body or {}).get("inputs", [])
        if len(inputs) > 100:
            return _error(400, "VALIDATION_ERROR", f"{len(inputs)} inputs, at most 100 are allowed")
        if action == "read":
            return self._batch_read(kind, request.body)
        results, errors = [], []
        for one in inputs:
            wrong = self.properties.wrong(kind, one.get("properties", {}))
            if wrong:
                return _error(400, "VALIDATION_ERROR", wrong)
            done, problem = getattr(self, f"_{action}_one")(kind, one)
            (errors if problem else results).append(problem or done)
        stamp = iso(self.clock.now())
        payload: Record = {
            "status": "COMPLETE",
            "results": [row for row in results if row],
            "startedAt": stamp,
            "completedAt": stamp,
        }
        if action == "archive" and not errors:
            return Answer(204)
        if errors:
            return Answer(207, payload | {"numErrors": len(errors), "errors": errors})
        return Answer(201 if action == "create" else 200, payload)

    def _batch_read(self, kind: str, body: Record) -> Answer:
        key = body.get("idProperty")
        results, missing = [], []
        for one in body["inputs"]:
            record = self._by(kind, key, one["id"]) if key else self.objects[kind].get(one["id"])
            if record is None or record["archived"]:
                missing.append(one["id"])
            else:
                results.append(self._shown(kind, record, body.get("properties", [])))
        stamp = iso(self.clock.now())
        payload: Record = {"status": "COMPLETE", "results": results, "startedAt": stamp, "completedAt": stamp}
        if not missing:
            return Answer(payload=payload)
        problem = {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": "Could not get some objects",
            "context": {"ids": missing},
            "links": {},
            "errors": [],
        }
        return Answer(207, payload | {"numErrors": 1, "errors": [problem]})

    def _update_one(self, kind: str, one: Record) -> tuple[Record | None, Record | None]:
        record = (
            self._by(kind, one["idProperty"], one["id"]) if one.get("idProperty") else self.objects[kind].get(one["id"])
        )
        if record is None or record["archived"]:
            return None, _problem("OBJECT_NOT_FOUND", "resource not found", one)
        if problem := self._clash(kind, record["id"], one):
            return None, problem
        before = dict(record["properties"])
        self.edit(kind, record["id"], one["properties"])
        self.log.add(
            "hubspot",
            kind,
            record["id"],
            "update",
            before,
            {name: value or None for name, value in one["properties"].items()},
        )
        return self._shown(kind, record, list(one["properties"])), None

    def _create_one(self, kind: str, one: Record) -> tuple[Record | None, Record | None]:
        if problem := self._clash(kind, "", one):
            return None, problem
        now = self.clock.now()
        record = self.portal.add(kind, one["properties"], now, now)
        self.touched[kind, record["id"]] = now
        for link in one.get("associations", []):
            for kind_of in link["types"]:
                other = "companies" if kind_of["associationTypeId"] in (5, 341, 279) else "contacts"
                self.portal.link((kind, record["id"]), (other, link["to"]["id"]), kind_of["associationTypeId"])
        self.log.add("hubspot", kind, record["id"], "create", {}, one["properties"])
        return self._shown(kind, record, list(one["properties"])), None

    def _upsert_one(self, kind: str, one: Record) -> tuple[Record | None, Record | None]:
        held = self._by(kind, one["idProperty"], one["id"])
        if held:
            done, problem = self._update_one(kind, one)
        else:
            done, problem = self._create_one(
                kind, one | {"properties": one["properties"] | {one["idProperty"]: one["id"]}}
            )
        return (done and done | {"new": not held}), problem

    def _archive_one(self, kind: str, one: Record) -> tuple[Record | None, Record | None]:
        if one["id"] in self.objects[kind]:
            self.delete(kind, one["id"])
            self.log.add("hubspot", kind, one["id"], "archive", {"archived": False}, {"archived": True})
        return None, None

    def _patch(self, request: Request, kind: str, number: str) -> Answer:
        if wrong := self.properties.wrong(kind, request.body["properties"]):
            return _error(400, "VALIDATION_ERROR", wrong)
        done, problem = self._update_one(kind, {"id": number, "properties": request.body["properties"]})
        return Answer(payload=done) if done else _error(404, "OBJECT_NOT_FOUND", str(problem))

    def _post(self, request: Request, kind: str) -> Answer:
        if wrong := self.properties.wrong(kind, request.body["properties"]):
            return _error(400, "VALIDATION_ERROR", wrong)
        done, problem = self._create_one(kind, request.body)
        return Answer(201, done) if done else _error(409, "CONFLICT", str(problem))

    def _delete(self, request: Request, kind: str, number: str) -> Answer:
        self._archive_one(kind, {"id": number})
        return Answer(204)

    def _clash(self, kind: str, number: str, one: Record) -> Record | None:
        for name in self.properties.unique(kind):
            value = one["properties"].get(name)
            held = self._by(kind, name, value) if value else None
            if held and held["id"] != number:
                return _problem("CONFLICT", f"{name} {value} is already used by {held['id']}", one)
        return None

    def _by(self, kind: str, name: str, value: str) -> Record | None:
        rows = (
            row for row in self.objects[kind].values() if not row["archived"] and row["properties"].get(name) == value
        )
        return next(rows, None)

    def _associations(self, request: Request, left: str, right: str) -> Answer:
        inputs = request.body["inputs"]
        if len(inputs) > 1000:
            return _error(400, "VALIDATION_ERROR", "at most 1000 inputs are allowed")
        links = self.portal.links[left, right]
        results = [
            {"from": {"id": one["id"]}, "to": [_link(*link) for link in links[one["id"]]]}
            for one in inputs
            if one["id"] in links
        ]
        stamp = iso(self.clock.now())
        return Answer(payload={"status": "COMPLETE", "results": results, "startedAt": stamp, "completedAt": stamp})

    def _associations_of(self, request: Request, left: str, number: str, right: str) -> Answer:
        links = self.portal.links[left, right].get(number, [])
        return Answer(payload={"results": [_link(*link) for link in links]})

    def _associate(self, request: Request, left: str, number: str, right: str, other: str) -> Answer:
        self.portal.link((left, number), (right, other), 5)
        self.log.add("hubspot", left, number, "associate", {}, {right: other})
        return Answer(payload={"status": "COMPLETE", "results": []})

    def _sorted(self, kind: str) -> list[Record]:
        return list(self.objects[kind].values())  # ids only ever rise, so this is their order

    def _shown(self, kind: str, record: Record, wanted: list[str]) -> Record:
        names = dict.fromkeys([*DEFAULTS.get(kind, ()), *wanted, "hs_object_id"])
        known = self.properties.names(kind)
        shown = {name: record["properties"].get(name) for name in names if name in known}
        return {**{key: value for key, value in record.items() if key != "properties"}, "properties": shown}


def _link(other: str, type_id: int, label: str | None) -> Record:
    return {
        "toObjectId": int(other),
        "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": label}],
    }


def _page(request: Request, rows: list[Record], limit: int, show: Callable[[Record], Record] = dict) -> Answer:
    after = request.one("after")
    rest = [row for row in rows if not after or int(row["id"]) >= int(after)]
    payload: Record = {"results": [show(row) for row in rest[:limit]]}
    if len(rest) > limit:
        following = rest[limit]["id"]
        link = f"{request.base}{request.path}?limit={limit}&after={following}"
        payload["paging"] = {"next": {"after": following, "link": link}}
    return Answer(payload=payload)


def _problem(category: str, message: str, one: Record) -> Record:
    context = {"ids": [str(one.get("id", ""))]}
    if one.get("objectWriteTraceId"):
        context["objectWriteTraceId"] = [one["objectWriteTraceId"]]
    return {
        "status": "error",
        "category": category,
        "message": message,
        "context": context,
        "links": {},
        "errors": [],
    }


def _error(status: int, category: str, message: str) -> Answer:
    return Answer(
        status,
        {
            "status": "error",
            "message": message,
            "correlationId": "00000000-0000-0000-0000-000000000000",
            "category": category,
        },
    )
