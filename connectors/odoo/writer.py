"""Odoo's writes: a hundred records in one call, new ones once by external id, and the bad one found among many.

Source: Odoo's external API documentation (write, create, unlink) and of imports (`load`): every call is a transaction
of its own, all or nothing. `write` gives several records the same values. `load` gives each row its own; it makes what
has a new external id, changes what has a known id, and names the rows that it refuses; then nothing of the call is
stored. It tries all rows at once and, where that fails, one by one: the error of the first attempt stands before those of
the rows, under the number of the first row, whoever is at fault (`BaseModel.load` of Odoo 13 to 19).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from connectors.kit.base import Change, Outcome, SourceField
from connectors.kit.errors import ConnectorError, RecordError, UnknownOutcome
from connectors.kit.write import all_of, by_id, chunks, halves, in_turn, outcome
from connectors.odoo.record_names import MODULE, Names, name_of
from connectors.odoo.rpc import LockedError, Rpc, RpcError, is_lock
from connectors.odoo.values import as_cell, as_sent, column
from connectors.odoo.virtual_fields import ACTIVITY, EXTERNAL_ID, IS_DONE, Virtual, virtual_fields

BATCH = 100
LOADABLE = {  # types of which a text says all; the others are written one value at a time
    *("char", "text", "html", "integer", "float", "monetary", "boolean", "date", "datetime", "selection", "many2one"),
}
Fields = Mapping[str, SourceField]


class Writer:
    """Write to one database."""

    def __init__(self, rpc: Rpc, virtual: Virtual, names: Names, context: Callable[[], dict[str, Any]]) -> None:
        self.rpc, self.virtual, self.names, self.context = rpc, virtual, names, context

    def write(self, model: str, changes: Sequence[Change], fields: Fields) -> list[Outcome]:
        """Write changes and answer an outcome for each; a call that is refused is halved until one stands alone."""
        sending = _Sending(self, model, fields)
        refused = [wrong for change in changes if (wrong := sending.refuses(change))]
        return refused + in_turn(sending.parts(), sending.sent)


class _Sending:
    """Send the changes of one call, all of one model."""

    def __init__(self, writer: Writer, model: str, fields: Fields) -> None:
        self.writer, self.model, self.fields = writer, model, fields
        self._changes: list[Change] = []
        self._values: dict[str, dict[str, Any]] = {}
        self._names: dict[str, str] = {}

    def refuses(self, change: Change) -> Outcome | None:
        """Take a change, or say why it cannot be sent."""
        try:
            self._values[change.op_id] = self._taken(change)
        except RecordError as error:
            return outcome(change, "rejected", error)
        self._changes.append(change)
        return None

    def parts(self) -> Iterator[Sequence[Change]]:
        """Cut what was taken into calls."""
        for _, mine in groupby(sorted(self._changes, key=self._way), key=self._way):
            ordered = sorted(mine, key=self._spelt)  # equal values come to lie together
            is_new = ordered[0].action == "create" and ordered[0].op_id not in self._names
            yield from chunks(ordered, 1 if is_new else BATCH)

    def sent(self, changes: Sequence[Change]) -> list[Outcome]:
        """Make one call; one that is refused is halved."""
        verb, _ = self._way(changes[0])
        sends = {"write": self._write, "delete": self._delete, "create": self._create, "load": self._load}
        if verb == "rows":
            verb = "load" if len({self._spelt(change) for change in changes}) > 1 else "write"
        try:
            return sends[verb](changes)
        except UnknownOutcome as error:
            return all_of(changes, "unknown", error)
        except LockedError as error:
            return all_of(changes, "retry", error, is_locked=True)
        except RpcError as error:
            if len(changes) > 1:
                return in_turn(halves(changes), self.sent)
            is_deleted = verb == "delete" and error.is_missing
            return all_of(changes, "unchanged" if is_deleted else "rejected", error)

    def _taken(self, change: Change) -> dict[str, Any]:
        if change.action != "create" and (not (change.record_id or "").isdecimal() or change.record_id == "0"):
            raise RecordError("the record id is not a number")
        if change.action == "delete":
            return {}
        name = change.after.get(EXTERNAL_ID) if change.action == "create" else None
        if change.key == EXTERNAL_ID and not name:
            raise RecordError(f"the key {EXTERNAL_ID} has no value")
        values = self.writer.virtual.real(self.model, change)
        if name:
            self._name(change, name_of(self.model, str(name)))
        return values

    def _is_loaded(self, change: Change) -> bool:
        """Tell whether `load` makes a record: one that has a name, or refers to others by theirs."""
        return change.op_id in self._names or (change.action == "create" and self.model == ACTIVITY)

    def _name(self, change: Change, name: str) -> None:
        if name in self._names.values():
            raise RecordError("another change in the same batch concerns the same record")
        self._names[change.op_id] = name

    def _way(self, change: Change) -> tuple[str, bytes]:
        """Name the way that a change is sent, and what all changes of one call have in common."""
        values = self._values[change.op_id]
        if self._is_loaded(change):
            return "load", msgspec.json.encode(self._header(change))
        if change.action == "update" and all(self._is_loadable(field) for field in values):
            return "rows", msgspec.json.encode(self._header(change))
        return ("write" if change.action == "update" else change.action), self._spelt(change)

    def _spelt(self, change: Change) -> bytes:
        return msgspec.json.encode(self._values[change.op_id], order="sorted", enc_hook=str)

    def _is_loadable(self, field: str) -> bool:
        return self._kind(field) in LOADABLE and field not in virtual_fields(self.model)

    def _kind(self, field: str) -> str:
        return self.fields[field].type if field in self.fields else ""

    def _sent_values(self, change: Change) -> dict[str, Any]:
        return {field: as_sent(value, self._kind(field)) for field, value in self._values[change.op_id].items()}

    def _called(self, method: str, *args: Any, **context: Any) -> Any:
        options = {"context": self.writer.context() | context}
        return self.writer.rpc.execute(self.model, method, list(args), options, writes=True)

    def _write(self, changes: Sequence[Change]) -> list[Outcome]:
        ids = [int(change.record_id or 0) for change in changes]
        values = self._sent_values(changes[0])
        is_done = values.pop(IS_DONE, False) if self.model == ACTIVITY else False
        if values and self._called("write", ids, values) is not True:
            return all_of(changes, "unknown", "the response does not confirm the write")
        if is_done:
            self._called("action_feedback", ids)
        return all_of(changes, "applied")

    def _delete(self, changes: Sequence[Change]) -> list[Outcome]:
        """Archive what can be archived; an activity that is archived would count as done."""
        ids = [int(change.record_id or 0) for change in changes]
        if "active" in self.fields and self.model != ACTIVITY:
            done = self._called("write", ids, {"active": False})
        else:
            done = self._called("unlink", ids)
        return all_of(changes, "applied") if done is True else all_of(changes, "unknown", "the answer says nothing")

    def _create(self, changes: Sequence[Change]) -> list[Outcome]:
        (change,) = changes
        return [self._created(change, self._called("create", self._sent_values(change)))]

    def _created(self, change: Change, result: Any) -> Outcome:
        number = result[0] if isinstance(result, list) and len(result) == 1 else result
        if isinstance(number, bool) or not isinstance(number, int):
            return outcome(change, "unknown", "the answer does not name the new record")
        return Outcome(change.op_id, "applied", str(number))

    def _load(self, changes: Sequence[Change]) -> list[Outcome]:
        """Load rows: known ones by their ids, new ones by names, by which they are looked up again afterwards."""
        if changes[0].op_id in self._names:
            self.writer.names.prove()
        rows = [self._row(change) for change in changes]
        result = self._called("load", self._header(changes[0]), rows, tz="UTC")  # in which it reads instants
        if not isinstance(result, dict) or "ids" not in result:
            return all_of(changes, "unknown", "the answer to load is not as documented")
        if not result["ids"]:
            return self._refused(changes, _errors(result))
        if changes[0].op_id in self._names:
            return self._looked_up(changes)
        if changes[0].action == "create":
            return [self._created(changes[0], result["ids"])]
        done = {str(number) for number in result["ids"]} if isinstance(result["ids"], list) else set()
        return by_id(
            changes, {loaded.op_id: outcome(loaded, "applied") for loaded in changes if loaded.record_id in done}
        )

    def _header(self, change: Change) -> list[str]:
        values = self._values[change.op_id]
        named = [".id"] if change.action == "update" else ["id"] if change.op_id in self._names else []
        return named + [column(field, self._kind(field), values[field]) for field in sorted(values)]

    def _row(self, change: Change) -> list[str]:
        values, name = self._values[change.op_id], self._names.get(change.op_id)
        cells = [as_cell(values[field], self._kind(field)) for field in sorted(values)]
        if change.action == "update":
            return [str(change.record_id), *cells]
        return [f"{MODULE}.{name}", *cells] if name else cells

    def _looked_up(self, changes: Sequence[Change]) -> list[Outcome]:
        try:
            numbers = self.writer.names.records(
                self.model, [str(candidate.after[EXTERNAL_ID]) for candidate in changes]
            )
        except ConnectorError as error:  # it is written, and only not known where
            return all_of(changes, "unknown", error)
        created = [change for change in changes if str(change.after[EXTERNAL_ID]) in numbers]
        done = {
            candidate.op_id: Outcome(candidate.op_id, "applied", str(numbers[str(candidate.after[EXTERNAL_ID])]))
            for candidate in created
        }
        return by_id(changes, done)

    def _refused(self, changes: Sequence[Change], errors: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """Leave out the rows that are named, and load the others again; where none is, halve."""
        messages = dict.fromkeys(str(error.get("message", "")) for error in errors)
        message = "; ".join(messages) or "load refused the record without a reason"
        if is_lock(message):
            return all_of(changes, "retry", message, is_locked=True)
        if len(changes) == 1:
            return all_of(changes, "rejected", message)
        own = errors if errors and errors[0].get("field") else errors[1:]  # the error of all rows names no field
        bad = _named(own, len(changes))
        if not bad:
            return self._searched(changes, next(iter(_named(errors, len(changes))), None))
        rest = [change for row, change in enumerate(changes) if row not in bad]
        rejected = [outcome(changes[row], "rejected", reason) for row, reason in bad.items()]
        return rejected + (in_turn([rest], self.sent) if rest else [])

    def _searched(self, changes: Sequence[Change], suspect: int | None) -> list[Outcome]:
        """Load a suspect alone, then the others: all at once if it was at fault, else in halves."""
        if suspect is None:
            return in_turn(halves(changes), self.sent)
        others = [change for row, change in enumerate(changes) if row != suspect]
        sent: list[Outcome] = []

        def parts() -> Iterator[Sequence[Change]]:
            yield [changes[suspect]]
            is_guilty = bool(sent) and sent[0].status == "rejected"
            yield from [others] if is_guilty else filter(None, halves(others))

        def send(part: Sequence[Change]) -> list[Outcome]:
            outcomes = self.sent(part)
            sent.extend(outcomes)
            return outcomes

        return in_turn(parts(), send)


def _errors(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = result.get("messages") or []
    return [message for message in messages if isinstance(message, dict) and message.get("type", "error") == "error"]


def _named(errors: Sequence[Mapping[str, Any]], count: int) -> dict[int, str]:
    """Tell which rows the errors name, and what is wrong with each."""
    named: dict[int, str] = {}
    for error in errors:
        rows = error.get("rows") or {}
        first, last = rows.get("from", error.get("record")), rows.get("to", error.get("record"))
        if isinstance(first, int) and isinstance(last, int) and 0 <= first <= last < count:
            for row in range(first, last + 1):
                named[row] = "; ".join([*filter(None, [named.get(row)]), str(error.get("message", "refused"))])
    return named
