"""Write to a REST API record by record: what is sent, and what its answer means."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.kit.base import Change, Outcome, TargetRecord
from connectors.kit.errors import BusyError, ConnectorError, ReplyError, UnknownOutcome
from connectors.kit.http.response import Refused, Reply
from connectors.kit.json_path import at
from connectors.kit.write import in_turn, outcome
from connectors.rest.records import ABSENT, RecordReader, present, text

GONE = (404, 410)


class Writer:
    """Write the changes of one stream."""

    def __init__(self, records: RecordReader) -> None:
        self.records, self.how = records, records.how
        self.http, self.headers = records.http, records.headers

    def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Send changes, and answer an outcome for each."""
        refused = [outcome(change, "rejected", reason) for change in changes if (reason := self._lacks(change))]
        refused_ids = {item.op_id for item in refused}
        return refused + in_turn(self.parts([item for item in changes if item.op_id not in refused_ids]), self.sent)

    def parts(self, changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """Cut changes into what goes into one request."""
        for change in changes:
            yield [change]

    def sent(self, changes: Sequence[Change]) -> list[Outcome]:
        """Send one request."""
        return [self._alone(changes[0])]

    def _lacks(self, change: Change) -> str | None:
        """Return the reason why a change cannot be sent at all, or None if it can."""
        if change.action == "delete" and self.how.delete is None:
            return "write.delete is not declared"
        if change.action != "create":
            return None if change.record_id else "the change has no record id"
        if self.how.create is None:
            return "write.create is not declared"
        has_key = not change.key or bool(change.after.get(change.key))
        return None if has_key else f"the key {change.key} has no value"

    def _alone(self, change: Change) -> Outcome:
        method, path, body = self._request(change)
        try:
            reply = self.send(method, path, body, change.op_id, self._condition(change))
            return self._applied(change, reply)
        except Refused as error:
            return self.refused(change, error.status, self.reason(error))
        except (UnknownOutcome, ReplyError) as error:
            return outcome(change, "unknown", error)

    def send(self, method: str, path: str, body: Any, op_id: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request; under a key that the API knows again, what may have been done is sent more than once."""
        key = self.how.idempotency_header
        headers = {**self.headers, **(headers or {}), **({key: op_id} if key else {})}
        sends = {"PATCH": self.http.patch, "PUT": self.http.put, "POST": self.http.post, "DELETE": self.http.delete}
        try:
            return sends[method](path, json=body, headers=headers, writes=True)
        except UnknownOutcome:
            if not key:
                raise
        try:
            return sends[method](path, json=body, headers=headers)
        except (BusyError, Refused) as error:  # which tells of the last attempt, not of the first
            raise UnknownOutcome(f"{error}; the write may have been applied") from None

    def _request(self, change: Change) -> tuple[str, str, Any]:
        """Spell method, path and body."""
        how = self.how
        if change.action == "create" and how.create:
            return how.create.method, how.create.path, self._wrapped(nested(change.after))
        number = change.record_id or ""
        if change.action == "delete" and how.delete:
            return how.delete.method, how.of(number, how.delete.path), how.delete.body
        body = nested(change.after)
        if how.version and how.version.member and change.version:
            body |= {how.version.member: how.version.sent(change.version)}
        return how.method, how.of(number), self._wrapped(body)

    def _wrapped(self, body: dict[str, Any]) -> dict[str, Any]:
        return {self.how.wrap: body} if self.how.wrap else body

    def _condition(self, change: Change) -> dict[str, str]:
        """Say at which version a record is to be changed."""
        how = self.how.version
        return {how.header: change.version} if how and how.header and change.version else {}

    def _applied(self, change: Change, reply: Reply) -> Outcome:
        """Read what the record holds now; of a new one also its id, without which it is not known what was made."""
        if change.action == "delete":
            return outcome(change, "applied")
        body = reply.json() if reply.body else None
        number = change.record_id
        if change.action == "create":
            number = self._new_id(body)
            if number is None:
                return outcome(change, "unknown", "the response does not contain the new record's id")
        return self.applied(change, number, self.records.record(body), reply.headers.get("ETag"))

    def applied(self, change: Change, number: str | None, record: Any, tag: str | None = None) -> Outcome:
        """Say that a change was applied, and which values the answer shows."""
        values = {name: value for name in change.after if (value := present(record, name)) is not ABSENT}
        version = self.records.version(record, tag)
        return Outcome(change.op_id, "applied", number, version, values=values or None)

    def _new_id(self, body: Any) -> str | None:
        path = self.how.create.id_path if self.how.create else None
        return text(at(body, path) if path else at(self.records.record(body), self.records.described.primary_key))

    def refused(self, change: Change, status: int, reason: str) -> Outcome:
        """Say what a refusal means, by its status."""
        if status in self.how.locked:
            return outcome(change, "retry", reason, is_locked=True)
        if change.action == "create":
            is_taken = self.how.create is not None and status in self.how.create.taken
            return self._taken(change, reason) if is_taken else outcome(change, "rejected", reason)
        if status in self.how.conflict or (status == 409 and change.version and self.how.version):
            return outcome(change, "conflict", reason)
        if status in GONE:
            is_done = change.action == "delete"
            return outcome(change, "unchanged" if is_done else "rejected", f"the record is gone ({status})")
        return outcome(change, "rejected", reason)

    def reason(self, error: Refused) -> str:
        """Tell the API's own reason, where it is declared to tell one."""
        message = None
        if self.how.error_path:
            try:
                message = text(at(error.json(), self.how.error_path))
            except ReplyError:  # the status has to do
                message = None
        return f"refused ({error.status})" + (f": {message}" if message else "")

    def _taken(self, change: Change, reason: str) -> Outcome:
        """Look up who holds a value that only one may hold: it is what was to be made, or somebody else."""
        field = change.key if change.key in self.how.unique else None
        field = field or next((name for name in self.how.unique if change.after.get(name) is not None), None)
        if field is None or self.how.find is None or field not in self.how.find.params_of:
            return outcome(change, "rejected", reason)
        value = text(change.after[field]) or ""
        try:
            matches = self.records.find(field, [value], list(change.after)).get(value, [])
        except ConnectorError as error:
            return outcome(
                change, "retry", f"{field} is in use; the record that has it could not be looked up: {error}"
            )
        if not matches:
            return outcome(change, "retry", f"{field} is in use by a record that is not visible yet")
        if len(matches) == 1 and is_as_asked(change, matches[0]):
            return Outcome(change.op_id, "applied", matches[0].record_id, matches[0].version, values=matches[0].values)
        holders = ", ".join(holder.record_id for holder in matches)
        return Outcome(change.op_id, "rejected", matches[0].record_id, message=f"{field} is in use by record {holders}")


def is_as_asked(change: Change, record: TargetRecord) -> bool:
    """Tell whether a record holds all that was asked for."""
    return all(text(record.values.get(name)) == text(value) for name, value in change.after.items())


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Spell dotted paths as the members that they lead to."""
    body: dict[str, Any] = {}
    for path, value in values.items():
        *parents, name = path.split(".")
        target = body
        for parent in parents:
            target = target.setdefault(parent, {})
        target[name] = value
    return body
