"""HubSpot's batch endpoints: records by id, associations, and writes with an outcome for each change.

Source: HubSpot's OpenAPI files of CRM objects and associations v4, its developer changelog (1000 ids an association
read since 2025-02), its guide to errors (207, 423, 477).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from connectors._hubspot_wire import Associated, Read, Record, Written, as_text, only_missing, parsed
from connectors.kit.base import Change, Outcome, Status
from connectors.kit.errors import RecordError, ReplyError, UnknownOutcome
from connectors.kit.http import Http
from connectors.kit.reply import Refused
from connectors.kit.write import by_id, chunks, halves

BATCH, ASSOCIATIONS = 100, 1000
LOCKED = (423, 477)  # a record is locked, or the portal is being moved: nothing was written
Input = dict[str, Any]


class Batch:
    """Send batches for one connection; `path` spells the path of an area."""

    def __init__(self, name: str, http: Http, path: Callable[..., str]) -> None:
        self.name, self.http, self.path = name, http, path

    def read(self, kind: str, ids: Iterable[str], names: Sequence[str]) -> list[Record]:
        """Read by id; who is not there is an error in a 207. All three lists are required."""
        found, path = [], self.path("objects", f"{kind}/batch/read")
        for some in chunks(list(dict.fromkeys(ids)), BATCH):
            inputs = [{"id": number} for number in some]
            body = {"inputs": inputs, "properties": list(names), "propertiesWithHistory": []}
            answer = parsed(Read, self.http.post(path, json=body).body, f"{self.name}: {path}")
            only_missing(answer.errors, f"{self.name}: {path}")
            found += answer.results
        return found

    def associated(self, left: str, right: str, ids: Sequence[str]) -> dict[str, str]:
        """Find of each record the one that is labelled primary, else the first."""
        found: dict[str, str] = {}
        path = self.path("associations", f"{left}/{right}/batch/read", classic="v4")
        for some in chunks(ids, ASSOCIATIONS):
            reply = self.http.post(path, json={"inputs": [{"id": number} for number in some]})
            answer = parsed(Associated, reply.body, f"{self.name}: {path}")
            only_missing(answer.errors, f"{self.name}: {path}")
            found |= {row.from_.id: row.best for row in answer.results if row.best}
        return found

    def titles(self, contact_of: Mapping[str, str]) -> dict[str, str | None]:
        """Find the job title of each record's contact."""
        contacts = self.read("contacts", sorted(set(contact_of.values())), ["jobtitle"])
        titles = {row.id: (row.properties or {}).get("jobtitle") for row in contacts}
        return {number: titles.get(contact) for number, contact in contact_of.items()}

    def write(self, kind: str, changes: Sequence[Change]) -> list[Outcome]:
        """Write changes and answer an outcome for each.

        A new record is sent alone: v3 does not say which of several new records came of which input.
        """
        outcomes: list[Outcome] = []
        inputs: dict[str, Input] = {}
        for change in changes:
            try:
                inputs[change.op_id] = self._input(change)
            except RecordError as error:
                outcomes += _all([change], "rejected", str(error))
        sent = sorted((change for change in changes if change.op_id in inputs), key=_way)
        for (verb, _), mine in groupby(sent, key=_way):
            for some in chunks(list(mine), 1 if verb == "create" else BATCH):
                outcomes += self._sent(self.path("objects", f"{kind}/batch/{verb}"), some, inputs)
        return outcomes

    def _input(self, change: Change) -> Input:
        values = {name: as_text(value) for name, value in change.after.items()}
        row: Input = {"properties": values, "objectWriteTraceId": change.op_id}
        if change.action == "update":
            return row | {"id": change.record_id}
        if change.key is None:
            return row
        if not values.get(change.key):
            raise RecordError(f"there is no value for the key {change.key}")
        return row | {"id": values[change.key], "idProperty": change.key}

    def _sent(self, path: str, changes: Sequence[Change], inputs: Mapping[str, Input]) -> list[Outcome]:
        """Send a batch; one that is refused as a whole is halved until the bad record stands alone."""
        body = {"inputs": [inputs[change.op_id] for change in changes]}
        try:
            reply = self.http.post(path, json=body, writes=True)
            answer = parsed(Written, reply.body, f"{self.name}: {path}")
        except Refused as error:
            if error.status in LOCKED:
                return _all(changes, "retry", str(error))
            if len(changes) == 1:
                return _all(changes, "rejected", _said(error))
            return [outcome for half in halves(changes) for outcome in self._sent(path, half, inputs)]
        except (UnknownOutcome, ReplyError) as error:  # it was sent, and what came back tells nothing
            return _all(changes, "unknown", str(error))
        return self._matched(changes, inputs, answer)

    def _matched(self, changes: Sequence[Change], inputs: Mapping[str, Input], answer: Written) -> list[Outcome]:
        """Match an answer to its changes: by id, by unique value, by trace id, or because there was but one."""
        verb, key = _way(changes[0])
        op_of = {inputs[change.op_id]["id"]: change.op_id for change in changes if verb != "create"}
        done = {}
        for row in answer.results:
            name = (row.properties or {}).get(key) if verb == "upsert" else row.id
            op_id = changes[0].op_id if verb == "create" else op_of.get(name)
            if op_id:
                done[op_id] = Outcome(op_id, "applied", row.id, row.updatedAt)
        problems = {op_of.get(name, name): wrong.text for wrong in answer.errors for name in wrong.names if name}
        return by_id(changes, done, problems)


def _way(change: Change) -> tuple[str, str]:
    """Name the verb of the address that a change goes to, and the property that it goes by."""
    if change.action == "create":
        return ("upsert", change.key) if change.key else ("create", "")
    return change.action, ""


def _all(changes: Sequence[Change], status: Status, message: str) -> list[Outcome]:
    return [Outcome(change.op_id, status, change.record_id, message=message) for change in changes]


def _said(error: Refused) -> str:
    try:
        answer = error.json()
    except ReplyError:
        return str(error)
    return str(answer.get("message") or error) if isinstance(answer, dict) else str(error)
