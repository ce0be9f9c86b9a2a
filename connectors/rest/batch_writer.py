"""Write to a REST API in batches: outcomes are matched by id or operation, never by position."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from connectors.kit.arrow import whole_number
from connectors.kit.base import Change, Outcome
from connectors.kit.errors import ReplyError, UnknownOutcome
from connectors.kit.http.response import Refused, Reply
from connectors.kit.json_path import at
from connectors.kit.raw_rows import cut
from connectors.kit.repair import read_json
from connectors.kit.write import all_of, by_id, chunks, halves, in_turn, outcome
from connectors.rest.records import text
from connectors.rest.write_config import Batch
from connectors.rest.writer import Writer, nested


class BatchWriter(Writer):
    """Write the changes of one stream, as many in one request as it takes."""

    def __init__(self, records: Any, batch: Batch) -> None:
        super().__init__(records)
        self.batch = batch

    def parts(self, changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """Fill batches; no record is in one of them twice, and what a batch cannot say goes alone."""
        waiting = [change for change in changes if change.action in self.batch.actions]
        yield from ([change] for change in changes if change.action not in self.batch.actions)
        while waiting:
            first = {change.record_id or change.op_id: change for change in reversed(waiting)}
            part = [change for change in waiting if first[change.record_id or change.op_id] is change]
            yield from chunks(part, self.batch.size)
            sent = {change.op_id for change in part}
            waiting = [change for change in waiting if change.op_id not in sent]

    def sent(self, changes: Sequence[Change]) -> list[Outcome]:
        """Send a batch; one that is refused as a whole is halved until the bad change stands alone."""
        if changes[0].action not in self.batch.actions:
            return super().sent(changes)
        items = [self._item(change) for change in changes]
        body = {self.batch.items: items} if self.batch.items else items
        try:
            return self._matched(changes, self.send(self.batch.method, self.batch.path, body, _key(changes)))
        except Refused as error:
            if error.status in self.how.locked:
                return all_of(changes, "retry", self.reason(error), is_locked=True)
            if len(changes) == 1:
                return all_of(changes, "rejected", self.reason(error))
            return in_turn(halves(changes), self.sent)
        except (UnknownOutcome, ReplyError) as error:
            return all_of(changes, "unknown", error)

    def _item(self, change: Change) -> dict[str, Any]:
        batch, values = self.batch, {} if change.action == "delete" else nested(change.after)
        item: dict[str, Any] = {batch.values: values} if batch.values else values
        if change.record_id:
            item[batch.id] = batch.number(change.record_id)
        if batch.op_id:
            item[batch.op_id] = change.op_id
        if batch.action:
            item[batch.action] = batch.actions[change.action]
        if batch.version and self.how.version and change.version:
            item[batch.version] = self.how.version.sent(change.version)
        return item

    def _matched(self, changes: Sequence[Change], reply: Reply) -> list[Outcome]:
        """Match an answer to its changes; what it does not name, or names twice, is not known."""
        paths, named = self.batch.outcome, {change.record_id: change for change in changes if change.record_id}
        named |= {change.op_id: change for change in changes}
        answered: dict[str, list[Outcome]] = {}
        for row in map(read_json, cut(reply.body, self.batch.outcomes)):
            name = text(at(row, paths.op_id)) if paths.op_id else text(at(row, paths.id))
            if change := named.get(name or ""):
                answered.setdefault(change.op_id, []).append(self._reported(change, row))
        return by_id(changes, {op_id: outcomes[0] for op_id, outcomes in answered.items() if len(outcomes) == 1})

    def _reported(self, change: Change, row: Any) -> Outcome:
        """Read one outcome: by a word, by a status as of HTTP, or by whether there is a complaint."""
        paths = self.batch.outcome
        status = text(at(row, paths.status)) if paths.status else None
        message = text(at(row, paths.message)) if paths.message else None
        if paths.status is None:
            status = "422" if message else "200"
        if word := paths.words.get(status or ""):
            return self._done(change, row) if word == "applied" else outcome(change, word, message or status)
        number = whole_number(status)
        if number is None or number < 200 or 300 <= number < 400:
            return outcome(change, "unknown", f"the response has an unknown status: {status}")
        if number < 300:
            return self._done(change, row)
        if number == 429:
            return outcome(change, "retry", f"refused ({number})")
        if number >= 500:
            return outcome(change, "unknown", f"answered {number}")
        return self.refused(change, number, f"refused ({number})" + (f": {message}" if message else ""))

    def _done(self, change: Change, row: Any) -> Outcome:
        record = at(row, self.batch.outcome.record) if self.batch.outcome.record else row
        number = change.record_id or text(at(row, self.batch.outcome.id))
        if number is None:
            return outcome(change, "unknown", "the response does not contain the new record's id")
        return self.applied(change, number, record)


def _key(changes: Sequence[Change]) -> str:
    """Name a batch by its operations, so that the same ones are known again."""
    return sha256("\0".join(change.op_id for change in changes).encode()).hexdigest()[:32]
