"""HubSpot's associations, v4: which record belongs to which, asked for and made."""

from typing import Any

from sandbox.core.clock import iso
from sandbox.core.response import Request, Response
from sandbox.core.write_log import WriteLog
from sandbox.hubspot.activity import HubSpotPeople
from sandbox.hubspot.responses import batch, error, problem

Record = dict[str, Any]
_COMPANY = {"contacts": (279, 280), "deals": (341, 342), "tickets": (339, 340), "calls": (182, 181)}
_COMPANY |= {"emails": (186, 185), "meetings": (188, 187), "notes": (190, 189), "tasks": (192, 191)}
_CONTACT = {"deals": (3, 4), "tickets": (16, 15), "calls": (194, 193), "emails": (198, 197)}
_CONTACT |= {"meetings": (200, 199), "notes": (202, 201), "tasks": (204, 203)}
_WAYS = {(kind, "companies"): ids for kind, ids in _COMPANY.items()}
_WAYS |= {(kind, "contacts"): ids for kind, ids in _CONTACT.items()} | {("tasks", "deals"): (216, 215)}
TYPES = {way: there for way, (there, _) in _WAYS.items()} | {(b, a): back for (a, b), (_, back) in _WAYS.items()}
OF_TYPE = {type_id: way for way, type_id in TYPES.items()} | {5: ("deals", "companies"), 1: ("contacts", "companies")}
MOST_READ, MOST_WRITTEN = 1000, 2000


class HubSpotLinks(HubSpotPeople):
    """Answer for associations."""

    log: WriteLog

    def _associations(self, request: Request, from_kind: str, right: str) -> Response:
        inputs = request.body["inputs"]
        if len(inputs) > MOST_READ:
            return error(400, "VALIDATION_ERROR", f"at most {MOST_READ} inputs are allowed")
        links = self.portal.links[from_kind, right]
        results = [
            {"from": {"id": item["id"]}, "to": [_association(*link) for link in links[item["id"]]]}
            for item in inputs
            if links.get(item["id"])
        ]
        return batch(iso(self.clock.now()), results, [])

    def _associations_of(self, request: Request, from_kind: str, number: str, right: str) -> Response:
        links = self.portal.links[from_kind, right].get(number, [])
        return Response(payload={"results": [_association(*link) for link in links]})

    def _associate(self, request: Request, from_kind: str, number: str, right: str, other: str) -> Response:
        item = {"from": {"id": number}, "to": {"id": other}}
        done, wrong = self._linked(from_kind, right, item, [TYPES[from_kind, right]])
        return batch(self._stamp_text(), [done], []) if done else error(404, "OBJECT_NOT_FOUND", str(wrong))

    def _associate_many(self, request: Request, from_kind: str, right: str, how: str) -> Response:
        """Associate by the default type, or by types that are named."""
        inputs, refused = request.body["inputs"], request.mishap.refused
        if len(inputs) > MOST_WRITTEN or (from_kind, right) not in TYPES:
            return error(400, "VALIDATION_ERROR", f"at most {MOST_WRITTEN} inputs of kinds that go together")
        done = [
            self._linked(from_kind, right, item, _types(from_kind, right, item, how), is_refused=position == refused)
            for position, item in enumerate(inputs)
        ]
        results, errors = [row for row, _ in done if row], [wrong for _, wrong in done if wrong]
        return batch(self._stamp_text(), results, errors, 201 if how == "create" else 200)

    def _linked(
        self, from_kind: str, right: str, item: Record, types: list[int], *, is_refused: bool = False
    ) -> tuple[Record | None, Record | None]:
        number, other = str(item["from"]["id"]), str(item["to"]["id"])
        strange = [type_id for type_id in types if OF_TYPE.get(type_id) != (from_kind, right)]
        if strange or is_refused:
            message = (
                f"association types {strange} do not lead from {from_kind} to {right}"
                if strange
                else "refused by a fault"
            )
            return None, problem("VALIDATION_ERROR", message, {}, fromObjectId=[number])
        for kind, wanted in ((from_kind, number), (right, other)):
            if wanted not in self.objects[kind] or self.objects[kind][wanted]["archived"]:
                message = f"{kind} {wanted} does not exist"
                return None, problem("OBJECT_NOT_FOUND", message, {}, fromObjectId=[number], toObjectId=[other])
        linked_numbers = {link[0] for link in self.portal.links[from_kind, right].get(number, [])}
        for type_id in types:
            self.portal.link((from_kind, number), (right, other), type_id, back=TYPES[right, from_kind])
        before = {right: other} if other in linked_numbers else {}
        self.log.add("hubspot", from_kind, number, "associate", before, {right: other})
        spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": types[0]}
        return {"from": {"id": number}, "to": {"id": other}, "associationSpec": spec}, None

    def _stamp_text(self) -> str:
        return iso(self.clock.now())


def _types(from_kind: str, right: str, item: Record, how: str) -> list[int]:
    return [type_["associationTypeId"] for type_ in item["types"]] if how == "create" else [TYPES[from_kind, right]]


def _association(other: str, type_id: int, label: str | None) -> Record:
    return {
        "toObjectId": int(other),
        "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": label}],
    }
