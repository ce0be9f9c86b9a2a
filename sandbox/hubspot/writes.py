"""HubSpot's writes, one record at a time or a hundred, with an answer for each."""

from collections import Counter
from typing import Any

from sandbox.core.clock import iso
from sandbox.core.response import Mishap, Request, Response
from sandbox.hubspot.associations import OF_TYPE, HubSpotLinks
from sandbox.hubspot.properties import DEFAULTS
from sandbox.hubspot.responses import batch, error, problem
from sandbox.hubspot.values import Invalid

PORTAL = 12345678
BATCH = 100
TIMED = ("calls", "emails", "meetings", "tasks", "notes")
SINGULAR = {"companies": "COMPANY"}
Record = dict[str, Any]
Done = tuple[Record | None, Record | None]


class HubSpotWrites(HubSpotLinks):
    """Write records; `mishap` is what goes wrong with the request that is being answered."""

    mishap: Mishap = Mishap()

    def _batch(self, request: Request, kind: str, action: str) -> Response:
        self.mishap, inputs = request.mishap, (request.body or {}).get("inputs", [])
        if len(inputs) > BATCH:
            return error(400, "VALIDATION_ERROR", f"{len(inputs)} inputs, at most {BATCH} are allowed")
        is_traced = action == "create" and all(item.get("objectWriteTraceId") for item in inputs)
        if action not in ("read", "archive") and not is_traced and (refusal := self._refusal(kind, action, inputs)):
            return refusal
        if unfit := self._unfit(kind, action, inputs, request.body or {}):
            return error(400, "VALIDATION_ERROR", unfit)
        return self._batch_read(kind, request.body) if action == "read" else self._batch_write(kind, action, inputs)

    def _batch_write(self, kind: str, action: str, inputs: list[Record]) -> Response:
        done = [self._write_one(kind, action, item, position) for position, item in enumerate(inputs)]
        results, errors = [row for row, _ in done if row], [wrong for _, wrong in done if wrong]
        if action == "archive" and not errors:
            return Response(204)
        return batch(iso(self.clock.now()), results, errors, 201 if action == "create" else 200)

    def _unfit(self, kind: str, action: str, inputs: list[Record], body: Record) -> str | None:
        """Refuse a batch that names a record twice, or by a property whose values may be shared."""
        ids = [str(item.get("id")) for item in inputs] if action in ("update", "upsert") else []
        if twice := sorted(number for number, times in Counter(ids).items() if times > 1):
            return f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique"
        keys = {item.get("idProperty") for item in inputs} | {body.get("idProperty")} - {None}
        if action == "upsert" and None in keys:
            return "idProperty must be set"
        strange = sorted(str(key) for key in keys - {None, *self.properties.unique(kind)})
        message = f"Unable to perform update/upsert by non-unique {kind} property"
        return f"{message} {strange[0]} in portal ID {PORTAL}" if strange else None

    def _refusal(self, kind: str, action: str, inputs: list[Record]) -> Response | None:
        """Refuse the whole request for one wrong value; of new records also for a value that is taken."""
        for item in inputs:
            wrong = self._wrong(kind, item, is_new=action == "create")
            if wrong is None and action == "create":
                wrong = self._clash(kind, "", item)
            if wrong:
                return error(409 if wrong["category"] == "CONFLICT" else 400, wrong["category"], wrong["message"])
        return None

    def _write_one(self, kind: str, action: str, item: Record, position: int) -> Done:
        if self.mishap.refused == position:
            return None, problem("VALIDATION_ERROR", "refused by a fault", item)
        does = {"create": self._create_one, "update": self._update_one, "upsert": self._upsert_one}
        return does[action](kind, item) if action in does else self._archive_one(kind, item)

    def _wrong(self, kind: str, item: Record, *, is_new: bool = False) -> Record | None:
        """Say what is wrong with a record's values, or lacks in them."""
        try:
            values = self.properties.taken(kind, item["properties"])
        except Invalid as invalid:
            return problem("VALIDATION_ERROR", str(invalid), item)
        if is_new and kind in TIMED and not values.get("hs_timestamp"):
            message = f"Error creating {_singular(kind)}. Some required properties were not set."
            return problem("VALIDATION_ERROR", message, item, properties=["hs_timestamp"])
        return None

    def _update_one(self, kind: str, item: Record) -> Done:
        record = self._by(kind, item["idProperty"], item["id"]) if item.get("idProperty") else None
        record = record if item.get("idProperty") else self.objects[kind].get(item["id"])
        if record is None or record["archived"]:
            return None, problem("OBJECT_NOT_FOUND", "resource not found", item)
        if wrong := self._wrong(kind, item) or self._clash(kind, record["id"], item):
            return None, wrong
        values, before = self.properties.taken(kind, item["properties"]), dict(record["properties"])
        if self.mishap.is_silent:
            return self._claimed(kind, record, values), None
        self.edit(kind, record["id"], values)
        op = item.get("objectWriteTraceId")
        self.log.add("hubspot", kind, record["id"], "update", before, values, op=op)
        return self._with_properties(kind, record, list(values)), None

    def _create_one(self, kind: str, item: Record) -> Done:
        if wrong := self._wrong(kind, item, is_new=True) or self._clash(kind, "", item):
            return None, wrong
        values, now = self.properties.taken(kind, item["properties"]), self.clock.now()
        if self.mishap.is_silent:
            lost = self.portal.made(kind, self.portal.number(), values, now, now)
            return self._with_properties(kind, lost, list(values)), None
        record = self.portal.add(kind, values, now, now)
        self.touched[kind, record["id"]] = now
        for link in item.get("associations", []):
            for type_ in link["types"]:
                self._belongs(kind, record["id"], link["to"]["id"], type_["associationTypeId"])
        key = next((values[name] for name in self.properties.unique(kind) if values.get(name)), None)
        op = item.get("objectWriteTraceId")
        self.log.add("hubspot", kind, record["id"], "create", {}, values, op=op, key=key)
        return self._with_properties(kind, record, list(values)), None

    def _belongs(self, kind: str, number: str, other: str, type_id: int) -> None:
        """Associate a new record with another one."""
        _, right = OF_TYPE[type_id]
        self.portal.link((kind, number), (right, str(other)), type_id)

    def _upsert_one(self, kind: str, item: Record) -> Done:
        match = self._by(kind, item["idProperty"], item["id"])
        named = item | {"properties": {item["idProperty"]: item["id"]} | item["properties"]}
        done, wrong = self._update_one(kind, item) if match else self._create_one(kind, named)
        return (done and done | {"new": not match}), wrong

    def _archive_one(self, kind: str, item: Record) -> Done:
        record = self.objects[kind].get(str(item["id"]))
        if record and not record["archived"] and not self.mishap.is_silent:
            self.delete(kind, record["id"])
            self.log.add("hubspot", kind, record["id"], "archive", {"archived": False}, {"archived": True})
        return None, None

    def _patch(self, request: Request, kind: str, number: str) -> Response:
        item = {"id": number, "properties": request.body["properties"], "idProperty": request.first("idProperty")}
        return self._alone(request, "update", kind, item, 200)

    def _post(self, request: Request, kind: str) -> Response:
        return self._alone(request, "create", kind, request.body, 201)

    def _delete(self, request: Request, kind: str, number: str) -> Response:
        self.mishap = request.mishap
        self._archive_one(kind, {"id": number})
        return Response(204)

    def _alone(self, request: Request, action: str, kind: str, item: Record, status: int) -> Response:
        self.mishap = request.mishap
        done, wrong = self._write_one(kind, action, item, 0)
        if wrong is None:
            return Response(status, done)
        code = {"OBJECT_NOT_FOUND": 404, "CONFLICT": 409}.get(wrong["category"], 400)
        return error(code, wrong["category"], wrong["message"])

    def _clash(self, kind: str, number: str, item: Record) -> Record | None:
        """Say which record holds a value already that only one may hold."""
        for name in sorted(item["properties"].keys() & self.properties.unique(kind)):
            value = self.properties.taken(kind, {name: item["properties"][name] or ""})[name]
            match = self._by(kind, name, value) if value else None
            if not match or match["id"] == number:
                continue
            if name == "email":
                return problem("CONFLICT", f"Contact already exists. Existing ID: {match['id']}", item)
            where = (
                f"objectTypeId=ObjectTypeId{{legacyObjectType={_singular(kind)}}}, propertyName={name}, value={value}"
            )
            message = (
                f"Cannot set PropertyValueCoordinates{{portalId={PORTAL}, {where}}} on {number or 'a new record'}."
            )
            invalid = Invalid(name, f"{message} {match['id']} already has that value.", "CONFLICTING_UNIQUE_VALUE")
            return problem("VALIDATION_ERROR", str(invalid), item)
        return None

    def _by(self, kind: str, name: str, value: str) -> Record | None:
        rows = (
            row for row in self.objects[kind].values() if not row["archived"] and row["properties"].get(name) == value
        )
        return next(rows, None)

    def _batch_read(self, kind: str, body: Record) -> Response:
        key = body.get("idProperty")
        results, missing = [], []
        for item in body["inputs"]:
            record = self._by(kind, key, item["id"]) if key else self.objects[kind].get(item["id"])
            if record is None or record["archived"]:
                missing.append(item["id"])
            else:
                results.append(self._with_properties(kind, record, body.get("properties", [])))
        lost = [problem("OBJECT_NOT_FOUND", "Could not get some objects", {}, ids=missing)] if missing else []
        return batch(iso(self.clock.now()), results[::-1], lost)

    def _claimed(self, kind: str, record: Record, values: Record) -> Record:
        """Show a record as it is; or as it was to be, though it is not."""
        properties = self._with_properties(kind, record, list(values))
        return properties | {"properties": properties["properties"] | values} if self.mishap.is_echoed else properties

    def _with_properties(self, kind: str, record: Record, wanted: list[str]) -> Record:
        names = dict.fromkeys([*DEFAULTS.get(kind, ()), *wanted, "hs_object_id"])
        defined = self.properties.defined[kind]
        properties = {name: record["properties"].get(name) for name in names if name in defined}
        return {**{key: value for key, value in record.items() if key != "properties"}, "properties": properties}


def _singular(kind: str) -> str:
    return SINGULAR.get(kind, kind.rstrip("s").upper())
