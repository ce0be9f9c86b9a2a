"""A plain REST system: JSON records at `/<collection>/<id>`, as well or as badly behaved as its traits say."""

import json
from dataclasses import fields, replace
from typing import Any

from sandbox.core.clock import Clock
from sandbox.core.response import Mishap, Request, Response
from sandbox.core.write_log import WriteLog
from sandbox.generic_rest.records import PlainRecords, Refusal
from sandbox.world.plain import Row, Rows

KEY = "sandbox-plain-key"
CHANGES = ("POST", "PATCH", "DELETE")


class Plain(PlainRecords):
    """Answer for one account. `mishap` is what goes wrong with the request that is being answered."""

    def __init__(self, rows: Rows, clock: Clock, log: WriteLog) -> None:
        super().__init__(rows, clock)
        self.log, self.mishap = log, Mishap()
        self._known: dict[tuple[str, str], tuple[str, Any]] = {}

    def set(self, **traits: Any) -> None:
        """Let the system behave otherwise."""
        field_names = [field.name for field in fields(self.traits)]
        if strange := set(traits) - set(field_names):
            raise ValueError(f"unknown trait {min(strange)!r}; choices: {', '.join(field_names)}")
        lists = {name: tuple(value) for name, value in traits.items() if isinstance(value, list)}
        self.traits = replace(self.traits, **traits | lists)

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        self.mishap = request.mishap
        if request.headers.get("X-Api-Key") != KEY:
            return Response(401, {"error": {"code": "unauthorized", "message": "X-Api-Key is missing or wrong"}})
        kind, _, number = request.path.strip("/").partition("/")
        if kind == "me":
            return Response(payload={"account": "Plain of the sandbox"})
        if kind not in self.rows:
            return Response(404, _error(Refusal(404, "not_found", f"no collection {kind}")))
        try:
            return self._once(request, kind, number)
        except Refusal as refusal:
            return Response(refusal.status, _error(refusal))

    def _once(self, request: Request, kind: str, number: str) -> Response:
        """Answer a key that is known with what it was answered before."""
        key = request.headers.get("Idempotency-Key") if request.method in CHANGES else None
        answer = self.repeated("request", key, (request.method, request.path, request.body))
        if answer is not None:
            return Response(answer.status, answer.payload, answer.headers | {"Idempotency-Replayed": "true"})
        answer = self._answered(request, kind, number, key)
        if answer.status < 300:
            self.remembered("request", key, (request.method, request.path, request.body), answer)
        return answer

    def repeated(self, what: str, key: str | None, content: Any) -> Any:
        """Give what a key was answered; raises Refusal where something else is asked under it."""
        if not self.traits.idempotent or key is None or (what, key) not in self._known:
            return None
        digest, answer = self._known[what, key]
        if digest != _digest(content):
            raise Refusal(422, "key_reused", f"{key} was used for another request")
        return answer

    def remembered(self, what: str, key: str | None, content: Any, answer: Any) -> None:
        """Keep what a key was answered, unless nothing was done at all."""
        if key is not None and not self.mishap.is_silent:
            self._known[what, key] = (_digest(content), answer)

    def _answered(self, request: Request, kind: str, number: str, key: str | None) -> Response:
        if request.method == "GET":
            return self._read_one(kind, number) if number else self._listed(request, kind)
        if number == "batch" and request.method == "POST" and self.traits.batch:
            return self._batch(kind, request.body["items"], self.traits.batch)
        if request.method == "POST" and not number:
            return self._respond(201, self.add(kind, request.body, key, 0))
        match = request.headers.get("If-Match", "").strip('"') or None
        if request.method == "PATCH" and number:
            return self._respond(200, self.change(kind, number, request.body, match, key, 0))
        if request.method == "DELETE" and number:
            self.remove(kind, number, match, key, 0)
            return Response(204)
        raise Refusal(405, "not_allowed", f"{request.method} is not possible here")

    def _read_one(self, kind: str, number: str) -> Response:
        row = self.visible_row(kind, number)
        if row is None:
            raise Refusal(404, "not_found", f"no {kind} {number}")
        return self._respond(200, row)

    def _listed(self, request: Request, kind: str) -> Response:
        """List by id; a parameter that is a field's name asks for its value, several times for several."""
        filters = {name: values for name, values in request.query.items() if name not in ("limit", "after")}
        since = filters.pop("updated_since", [""])[0]
        rows = [
            row
            for row in self.all_seen(kind)
            if row["updated_at"] >= since and all(str(row.get(name)) in values for name, values in filters.items())
        ]
        limit, after = int(request.first("limit", "50")), request.first("after")
        rest = [row for row in rows if row["id"] > after]
        following = rest[limit - 1]["id"] if len(rest) > limit else None
        return Response(payload={"data": [*map(self.public, rest[:limit])], "next": following, "total": len(rows)})

    def _batch(self, kind: str, items: list[Row], most: int) -> Response:
        """Do each item by itself, and tell of them in an order of their own."""
        if len(items) > most:
            raise Refusal(413, "too_many", f"{len(items)} items, at most {most} are allowed")
        done = [self._item(kind, item, position) for position, item in enumerate(items)]
        middle = len(done) // 2
        return Response(207, {"items": [*reversed(done[middle:]), *done[:middle]]})

    def _item(self, kind: str, item: Row, position: int) -> Row:
        op, result = item.get("op_id"), {"op_id": item.get("op_id"), "id": item.get("id")}
        try:
            answer: Row | None = self.repeated("item", op, [kind, item])
            if answer is None:
                answer = result | self._item_done(kind, item, op, position)
                self.remembered("item", op, [kind, item], answer)
        except Refusal as refusal:
            answer = result | {"status": refusal.status, **_error(refusal)}
        return answer

    def _item_done(self, kind: str, item: Row, op: str | None, position: int) -> Row:
        does, number, values = item["op"], item.get("id"), item.get("values", {})
        if does == "create":
            row = self.add(kind, values, op, position)
            return {"id": row["id"], "status": 201, "record": self.public(row)}
        version = str(item["version"]) if item.get("version") else None
        if does == "delete":
            self.remove(kind, str(number), version, op, position)
            return {"status": 204}
        return {"status": 200, "record": self.public(self.change(kind, str(number), values, version, op, position))}

    def add(self, kind: str, values: Row, op: str | None, position: int) -> Row:
        """Create a record; raises Refusal."""
        self._spare_none(position)
        self.check(kind, None, values)
        if self.mishap.is_silent:
            return self.new_row(self.number(kind), values)
        number = self.create(kind, values)
        key = values.get(self.traits.unique) if self.traits.unique else None
        self.log.add("plain", kind, number, "create", {}, self.typed(values), op=op, key=key)
        return self.rows[kind][number]

    def change(self, kind: str, number: str, values: Row, version: str | None, op: str | None, position: int) -> Row:
        """Change a record; raises Refusal."""
        row = self._current(kind, number, version, position)
        self.check(kind, number, values)
        if self.mishap.is_silent:
            return row | (values if self.mishap.is_echoed else {})
        if stored_values := self.typed(values):
            self.edit(kind, number, values)
            self.log.add("plain", kind, number, "update", row, stored_values, op=op)
        return self.rows[kind][number]

    def remove(self, kind: str, number: str, version: str | None, op: str | None, position: int) -> None:
        """Delete a record; raises Refusal."""
        self._current(kind, number, version, position)
        if not self.mishap.is_silent:
            self.delete(kind, number)
            self.log.add("plain", kind, number, "delete", {"deleted": False}, {"deleted": True}, op=op)

    def _current(self, kind: str, number: str, version: str | None, position: int) -> Row:
        """Find the record that is to be written, at the version that the writer has seen."""
        self._spare_none(position)
        row = self.rows[kind].get(number)
        if row is None:
            raise Refusal(404, "not_found", f"no {kind} {number}")
        if self.traits.versions and version not in (None, "*", str(row["version"])):
            raise Refusal(412, "moved_on", f"{kind} {number} is at version {row['version']}")
        return row

    def _spare_none(self, position: int) -> None:
        if self.mishap.refused == position:
            raise Refusal(422, "refused", "refused by a fault")

    def _respond(self, status: int, row: Row) -> Response:
        headers = {"ETag": f'"{row["version"]}"'} if self.traits.versions else {}
        return Response(status, self.public(row), headers)

    def public(self, row: Row) -> Row:
        """Show a record; without versions it has none."""
        return {name: value for name, value in row.items() if name != "version" or self.traits.versions}


def _error(refusal: Refusal) -> Row:
    return {"error": {"code": refusal.code, "message": str(refusal), "field": refusal.field}}


def _digest(content: Any) -> str:
    return json.dumps(content, sort_keys=True)
