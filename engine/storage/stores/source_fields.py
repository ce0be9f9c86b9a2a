"""Which fields each source has shown, when, and which changes nobody has accepted yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, delete, func, insert, select

from engine.storage import ledger_tables as t
from engine.storage.manifest import COMPACTION, Written, lake_file
from engine.storage.transactions import Store

Change: TypeAlias = Literal["new", "gone", "retyped"]


@dataclass(frozen=True)
class FieldRecord:
    """What is known of one field of a source; all times are the source's.

    `change` is what a person has not accepted yet. A field was absent from `gone_at` to `back_at`,
    or still is; the two are equal where a person has accepted that it is gone. `retyped_from` is
    the type that was accepted last. `seen_in` of `seen_of` records had the field, where a source is
    known by its records alone; the `missed` ones, that came without it since it was last seen, are
    not among them. `missed_at` is when the first of those came.
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
        """Return the record without its open change: what the source shows now is right."""
        back = self.gone_at if self.is_gone else self.back_at
        return replace(self, change=None, retyped_from=None, back_at=back)


class SourceFields(Store):
    """The fields of all streams. Grain: connection, stream, path."""

    def records(self, connection: str | None = None, stream: str | None = None) -> list[FieldRecord]:
        """List the fields of all connections, of one, or of one stream, by path."""
        with self.transaction() as opened:
            return _records(opened, connection, stream)

    def replace(self, connection: str, stream: str, records: Sequence[FieldRecord], at: datetime) -> None:
        """Store all fields of a stream; its files up to now count as observed."""
        asset = f"raw/{connection}/{stream}"
        with self.transaction() as opened:
            mark = opened.scalar(select(func.max(t.manifest.c.id)).where(t.manifest.c.asset == asset)) or 0
            for table in (t.source_fields, t.field_looks):
                opened.execute(delete(table).where(table.c.connection == connection, table.c.stream == stream))
            if records:
                opened.execute(insert(t.source_fields), [vars(record) for record in records])
            row = {"connection": connection, "stream": stream, "mark": mark, "at": at}
            opened.execute(insert(t.field_looks).values(row))

    def accept(self, connection: str, stream: str | None = None) -> list[FieldRecord]:
        """Accept the open changes of a connection or one stream.

        Returns the fields as they were.
        """
        at = t.source_fields.c
        with self.transaction() as opened:
            changed = [record for record in _records(opened, connection, stream) if record.change]
            for record in changed:
                same = (at.connection == record.connection, at.stream == record.stream, at.path == record.path)
                opened.execute(delete(t.source_fields).where(*same))
                opened.execute(insert(t.source_fields).values(vars(record.accepted())))
            return changed

    def unobserved_files(self, connection: str, stream: str) -> list[Written]:
        """List the files that landed since the fields of a stream were last observed."""
        looks, files = t.field_looks.c, t.manifest.c
        observed = select(looks.mark).where(looks.connection == connection, looks.stream == stream)
        query = select(t.manifest).where(files.asset == f"raw/{connection}/{stream}", files.is_live)
        with self.transaction() as opened:
            mark = opened.scalar(observed) or 0
            query = query.where(files.id > mark, files.run_id != COMPACTION).order_by(files.id)
            return [lake_file(row) for row in opened.execute(query)]


def _records(opened: Connection, connection: str | None, stream: str | None) -> list[FieldRecord]:
    at, query = t.source_fields.c, select(t.source_fields)
    query = query.where(at.connection == connection) if connection else query
    query = query.where(at.stream == stream) if stream else query
    rows = opened.execute(query.order_by(at.connection, at.stream, at.path)).mappings()
    return [FieldRecord(**row) for row in rows]
