"""HubSpot's batch writes: an outcome for each change, and one bad record found among a hundred.

Source: HubSpot's OpenAPI files of CRM objects (batch create, update, upsert, archive), its guide to errors (207, 409,
423, 477).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from connectors.hubspot.responses import Problem, Record, Written, parsed
from connectors.hubspot.values import as_text, as_value
from connectors.kit.base import Change, Outcome, SourceField
from connectors.kit.errors import RecordError, ReplyError, UnknownOutcome
from connectors.kit.http.client import Http
from connectors.kit.http.response import Refused, Reply
from connectors.kit.write import all_of, by_id, chunks, halves, in_turn, outcome

BATCH = 100
LOCKED = (423, 477)  # a record is locked, or the portal is being moved: nothing was written
_LOCK = re.compile(r"\block(?:ed)?\b|\bconcurrent", re.IGNORECASE)
Fields = Mapping[str, SourceField]
Input = dict[str, Any]


class Writer:
    """Write batches for one connection; `path` spells the path of an area."""

    def __init__(self, name: str, http: Http, path: Callable[..., str]) -> None:
        self.name, self.http, self.path = name, http, path

    def write(self, kind: str, changes: Sequence[Change], fields: Fields) -> list[Outcome]:
        """Write changes and answer an outcome for each; `fields` describe the properties by their own names.

        A create whose key is unique in the portal is an upsert by it, which comes to the same record however often
        it is sent. Any other new record is sent alone: v3 does not say which of several came of which input.
        """
        sending = _Sending(self, kind, fields)
        refused = [wrong for change in changes if (wrong := sending.refuses(change))]
        return refused + in_turn(sending.parts(), sending.sent)


class _Sending:
    """Send the changes of one call."""

    def __init__(self, writer: Writer, kind: str, fields: Fields) -> None:
        self.name, self.http, self.fields = writer.name, writer.http, fields
        self._root = writer.path("objects", f"{kind}/batch/")
        self._changes: list[Change] = []
        self._inputs: dict[str, Input] = {}
        self._taken: set[tuple[str, str]] = set()

    def refuses(self, change: Change) -> Outcome | None:
        """Take a change, or say why it cannot be sent."""
        try:
            row = self._input(change)
        except RecordError as error:
            return outcome(change, "rejected", error)
        self._changes.append(change)
        self._inputs[change.op_id] = row
        return None

    def parts(self) -> Iterator[Sequence[Change]]:
        """Cut what was taken into batches, each for one address."""
        for (verb, _), mine in groupby(sorted(self._changes, key=self._way), key=self._way):
            yield from chunks(list(mine), 1 if verb == "create" else BATCH)

    def sent(self, changes: Sequence[Change]) -> list[Outcome]:
        """Send a batch; one that is refused as a whole is halved until the bad record stands alone."""
        body = {"inputs": [self._inputs[change.op_id] for change in changes]}
        path = self._root + self._way(changes[0])[0]
        try:
            return self._matched(changes, self.http.post(path, json=body, writes=True))
        except Refused as error:
            if is_locked(error):
                return all_of(changes, "retry", refusal_message(error), is_locked=True)
            if len(changes) == 1:
                return all_of(changes, "rejected", refusal_message(error))
            return in_turn(halves(changes), self.sent)
        except (UnknownOutcome, ReplyError) as error:  # it was sent, and what came back tells nothing
            return all_of(changes, "unknown", error)

    def _way(self, change: Change) -> tuple[str, str]:
        """Name the verb of the address that a change goes to, and the property that it goes by."""
        if change.action != "create":
            return ("archive" if change.action == "delete" else "update"), ""
        field = self.fields.get(change.key or "")
        return ("upsert", field.path.removeprefix("properties.")) if field and field.is_unique else ("create", "")

    def _input(self, change: Change) -> Input:
        verb, key = self._way(change)
        if verb == "archive":
            return {"id": self._alone(verb, change.record_id)}
        values = {name: as_text(value, self._kind(name)) for name, value in change.after.items()}
        row: Input = {"properties": values, "objectWriteTraceId": change.op_id}
        if verb == "update":
            return row | {"id": self._alone(verb, change.record_id)}
        if change.key and not values.get(change.key):
            raise RecordError(f"the key {change.key} has no value")
        return row | ({"id": self._alone(key, values[key]), "idProperty": key} if verb == "upsert" else {})

    def _alone(self, way: str, name: str | None) -> str:
        """See that no other change of the call goes to the same record: the answer could not tell them apart."""
        if not name:
            raise RecordError("the change has no record id")
        if (way, name) in self._taken:
            raise RecordError("another change in the same batch concerns the same record")
        self._taken.add((way, name))
        return name

    def _matched(self, changes: Sequence[Change], reply: Reply) -> list[Outcome]:
        """Match an answer to its changes: by trace id, by id, by unique value, or because there was but one."""
        verb, key = self._way(changes[0])
        if verb == "archive" and reply.status == 204:
            return all_of(changes, "applied")
        answer = parsed(Written, reply.body, f"{self.name}: {reply.status}")
        named: dict[str | None, Change] = {self._inputs[change.op_id].get("id"): change for change in changes}
        named |= {change.op_id: change for change in changes}
        if len(changes) == 1:
            named[None] = changes[0]
        answered = {}
        for row in answer.results:
            name = None if verb == "create" else (row.properties or {}).get(key) if key else row.id
            if change := named.get(row.objectWriteTraceId or name) or named.get(name):
                answered[change.op_id] = self._applied(change, row)
        for wrong in answer.errors:
            for name in wrong.names or (None,):
                if change := named.get(name):
                    answered[change.op_id] = _refused(change, wrong)
        return by_id(changes, answered)

    def _applied(self, change: Change, row: Record) -> Outcome:
        properties = row.properties or {}
        values = {name: as_value(properties[name], self._kind(name)) for name in change.after if name in properties}
        return Outcome(change.op_id, "applied", row.id, row.updatedAt, values=values or None)

    def _kind(self, name: str) -> str:
        field = self.fields.get(name)
        return field.type if field else ""


def is_locked(error: Refused) -> bool:
    """Tell whether others were at work on the record, so that nothing was written."""
    return error.status in LOCKED or (error.status == 409 and bool(_LOCK.search(refusal_message(error))))


def refusal_message(error: Refused) -> str:
    """Tell HubSpot's own words where it says any."""
    try:
        answer = error.json()
    except ReplyError:
        return str(error)
    return str(answer.get("message") or error) if isinstance(answer, dict) else str(error)


def _refused(change: Change, wrong: Problem) -> Outcome:
    lock = wrong.category in ("CONFLICT", "LOCKED") and bool(_LOCK.search(wrong.text))
    return outcome(change, "retry" if lock else "rejected", wrong.text, is_locked=lock)
