"""What a REST API holds in records now: by id, by the value of a field, or as they were extracted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from connectors.kit.base import TargetRecord
from connectors.kit.errors import SettingsError, choices
from connectors.kit.http.client import Http
from connectors.kit.http.loop_guard import PaginationGuard
from connectors.kit.http.response import Refused, Reply
from connectors.kit.json_path import at
from connectors.kit.raw_rows import cut
from connectors.kit.repair import UNREADABLE, read_json
from connectors.kit.stream import parse_cursor
from connectors.kit.write import chunks
from connectors.rest.config import RestStream, untagged
from connectors.rest.write_config import Write

ABSENT = object()


class RecordReader:
    """Ask for what the records of one stream hold."""

    def __init__(
        self, where: str, http: Http, described: RestStream, headers: Mapping[str, str], *, tagged: bool = False
    ) -> None:
        if described.write is None:
            raise SettingsError(f"{where} has no `write`, so it only reads")
        self.where, self.http, self.described, self.headers, self.tagged = where, http, described, headers, tagged
        self.how: Write = described.write

    def fetch(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        """Read by key, several at once where the API can; who is no more is not there."""
        read = self.how.read
        if read is None:
            one_by_one = ((number, self._alone(number, fields)) for number in dict.fromkeys(ids))
            return {number: current for number, current in one_by_one if current}
        wanted, records = dict.fromkeys(ids), {}
        for chunk in chunks(list(wanted), read.size):
            for record in self._live(read.path, read.params(read.param, list(chunk))):
                current = self.current_record(record, fields)
                if current.record_id in wanted:
                    records[current.record_id] = current
        return records

    def find(self, field: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, list[TargetRecord]]:
        """Find live records by a field; what the API answers beside what was asked for is left out."""
        find, records = self.how.find, {value: list[TargetRecord]() for value in values}
        if find is None or field not in find.params_of:
            params = choices(field, find.params_of if find else ())
            raise SettingsError(f"{self.where}: write.find does not say how to find by {field!r}; {params}")
        for chunk in chunks(list(records), find.size):
            for record in self._live(find.path, find.params(find.params_of[field], list(chunk))):
                value = text(at(record, field))
                if value in records:
                    records[value].append(self.current_record(record, fields))
        return {value: rows for value, rows in records.items() if rows}

    def extracted(self, payload: bytes, fields: Sequence[str]) -> TargetRecord | None:
        """Read a record as it was extracted; None where it lacks one of the fields, or is none."""
        try:
            record = read_json(payload)
        except UNREADABLE:
            return None
        lacks = any(present(record, field) is ABSENT for field in (self.described.primary_key, *fields))
        return None if lacks else self.current_record(record, fields)

    def current_record(self, record: Any, fields: Sequence[str], tag: str | None = None) -> TargetRecord:
        """Tell of a record what is asked for, its version, and when it was last changed."""
        values = {field: at(record, field) for field in fields}
        return TargetRecord(
            text(at(record, self.described.primary_key)) or "",
            values,
            self.version(record, tag),
            self._changed_at(record),
        )

    def version(self, record: Any, tag: str | None) -> str | None:
        """Tell a record's version, by its own word or by the answer's ETag."""
        how = self.how.version
        if how is None:
            return None
        return text(at(record, how.path)) if how.path else tag

    def record(self, body: Any) -> Any:
        """Take the record out of an answer about it alone."""
        content = at(body, self.how.record_path) if self.how.record_path else body
        return untagged(content) if self.tagged else content

    def _alone(self, number: str, fields: Sequence[str]) -> TargetRecord | None:
        try:
            reply = self.http.get(self.how.of(number), headers=self.headers)
        except Refused as error:
            if error.status in (404, 410):
                return None
            raise
        record = self.record(reply.json())
        return None if self._is_deleted(record) else self._named(number, record, fields, reply)

    def _named(self, number: str, record: Any, fields: Sequence[str], reply: Reply) -> TargetRecord:
        """Take the key that was asked by: an answer about one record need not repeat it."""
        return replace(self.current_record(record, fields, reply.headers.get("ETag")), record_id=number)

    def _live(self, path: str | None, pairs: list[tuple[str, str]]) -> Iterator[Any]:
        """List the live records that are asked for, page by page as the stream does; what is no object is left out."""
        paging, position = self.described.paging, dict[str, Any]()
        trail = PaginationGuard(self.where, position)
        while True:
            params, headers, link = paging.ask(position)
            query = None if link else [*pairs, *params]
            reply = self.http.get(link or path or self.described.path, query, {**self.headers, **headers})
            rows = cut(reply.body, self.described.record_path)
            trail.came(rows, position)
            following = trail.on(paging.following(position, reply, rows))
            records = filter(_is_object, map(self._decoded, paging.fresh(position, rows)))
            yield from (record for record in records if not self._is_deleted(record))
            if following is None:
                return
            position = following

    def _decoded(self, row: bytes) -> Any:
        record = read_json(row)
        return untagged(record) if self.tagged else record

    def _is_deleted(self, record: Any) -> bool:
        return any(text(at(record, path)) in words for path, words in self.described.deleted.items())

    def _changed_at(self, record: Any) -> datetime | None:
        cursor = self.described.cursor
        return parse_cursor(at(record, cursor.path), cursor.unit) if cursor else None


def text(value: Any) -> str | None:
    """Spell a value as a key is spelt."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def present(record: Any, path: str) -> Any:
    """Look a dotted path up; ABSENT where it is not there at all, which is another thing than null."""
    parent, _, name = path.rpartition(".")
    holder = at(record, parent) if parent else record
    return holder.get(name, ABSENT) if isinstance(holder, Mapping) else ABSENT


def _is_object(record: Any) -> bool:
    return isinstance(record, Mapping)
