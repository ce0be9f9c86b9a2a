"""Which fields each stream's source has shown, when, and which of that a person has not accepted yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select

from engine.storage import ledger_tables as t
from engine.storage.manifest import COMPACTION, Written, written
from engine.storage.transactions import Store

Change: TypeAlias = Literal["new", "gone", "retyped"]


@dataclass(frozen=True)
class FieldRecord:
    """Hold what is known of one field of a source; all times are the source's.

    `change` is what is open until it is accepted. A field was away from `gone_at` to `back_at`, or still is; the two
    are equal where a person has accepted that it is gone. `retyped_from` is the type that was accepted last.
    `seen_in` of `seen_of` records had the field, where a source is known by its records alone; the `missed` ones, that
    have come without it since it was seen last, are not among them. `missed_at` is when the first of those came.
    """

    connection: str
    stream: str
    path: str
    type: str
    label: str
    is_custom: bool
    first_seen_at: datetime
    last_seen_at: datetime
    is_gone: bool = False
    gone_at: datetime | None = None
    back_at: datetime | None = None
    retyped_from: str | None = None
    change: Change | None = None
    seen_in: int = 0
    seen_of: int = 0
    missed: int = 0
    missed_at: datetime | None = None

    def accepted(self) -> "FieldRecord":
        """Take what the source shows now as right."""
        back = self.gone_at if self.is_gone else self.back_at
        return replace(self, change=None, retyped_from=None, back_at=back)


class SourceFields(Store):
    """Keep the sightings."""

    def records(self, connection: str | None = None, stream: str | None = None) -> list[FieldRecord]:
        """List the known fields of a connection, of one stream, or all, by path."""
        with self.transaction() as opened:
            return _sightings(opened, connection, stream)

    def replace(self, connection: str, stream: str, seen: Sequence[FieldRecord], at: datetime) -> None:
        """Let these be all that is known of a stream, whose files are looked at up to now."""
        asset = f"raw/{connection}/{stream}"
        with self.transaction() as opened:
            mark = opened.scalar(select(func.max(t.manifest.c.id)).where(t.manifest.c.asset == asset)) or 0
            for table in (t.source_fields, t.field_looks):
                opened.execute(delete(table).where(table.c.connection == connection, table.c.stream == stream))
            if seen:
                opened.execute(insert(t.source_fields), [vars(one) for one in seen])
            row = {"connection": connection, "stream": stream, "mark": mark, "at": at}
            opened.execute(insert(t.field_looks).values(row))

    def accept(self, connection: str, stream: str | None = None) -> list[FieldRecord]:
        """Take what the source shows now as right; answers the changes that were open."""
        with self.transaction() as opened:
            open_ = [one for one in _sightings(opened, connection, stream) if one.change]
            for one in open_:
                opened.execute(delete(t.source_fields).where(*_same(one)))
                opened.execute(insert(t.source_fields).values(vars(one.accepted())))
            return open_

    def unobserved_files(self, connection: str, stream: str) -> list[Written]:
        """List the files that landed since the fields of a stream were looked at last."""
        looks, files = t.field_looks.c, t.manifest.c
        with self.transaction() as opened:
            here = (looks.connection == connection, looks.stream == stream)
            mark = opened.scalar(select(looks.mark).where(*here)) or 0
            query = select(t.manifest).where(files.asset == f"raw/{connection}/{stream}", files.is_live)
            query = query.where(files.id > mark, files.run_id != COMPACTION).order_by(files.id)
            return [written(row) for row in opened.execute(query)]


def _sightings(opened: Connection, connection: str | None, stream: str | None) -> list[FieldRecord]:
    at, query = t.source_fields.c, select(t.source_fields)
    query = query.where(at.connection == connection) if connection else query
    query = query.where(at.stream == stream) if stream else query
    return [_sighting(row) for row in opened.execute(query.order_by(at.connection, at.stream, at.path))]


def _sighting(row: Row[tuple[object, ...]]) -> FieldRecord:
    return FieldRecord(**row._mapping)


def _same(one: FieldRecord) -> tuple[ColumnElement[bool], ...]:
    at = t.source_fields.c
    return at.connection == one.connection, at.stream == one.stream, at.path == one.path
