"""The generations of each stream's raw rows: a full refresh opens one, and completes it once nothing is in doubt."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, insert, select, update

from engine.storage import ledger_tables as t
from engine.storage.manifest import COMPACTION, Written, add_files
from engine.storage.transactions import Store


@dataclass(frozen=True)
class Generations:
    """The generations of one stream: rows land in the newest, rows older than the newest complete one do not count.

    `has_new_key` says that an open generation has another primary key: its rows count only once it is complete.
    """

    complete: int = 0
    newest: int = 0
    has_new_key: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a full refresh is not complete yet."""
        return self.newest > self.complete

    @property
    def counting(self) -> tuple[int, int]:
        """The first and the last generation whose rows count."""
        return self.complete, self.complete if self.has_new_key else self.newest

    @property
    def comparable(self) -> tuple[int, int]:
        """The first and the last generation whose keys can be compared with those of the rows that land."""
        return self.newest if self.has_new_key else self.complete, self.newest


class GenerationStore(Store):
    """The generations of all streams; opening one is part of `SyncState.begin_full_refresh`."""

    def of(self, connection: str, stream: str) -> Generations:
        """Return the generations of a stream; rows of a stream without any are of generation 0."""
        with self.transaction() as opened:
            row = opened.execute(select(t.generations).where(*_is(connection, stream))).first()
            return Generations(row.complete, row.newest, row.has_new_key) if row else Generations()

    def complete(self, connection: str, stream: str, number: int, carried: Sequence[Written]) -> None:
        """Let older generations than `number` count no more; `carried` are files of their rows that stay."""
        with self.transaction() as opened:
            add_files(opened, carried, COMPACTION)  # nothing in them is new
            is_newest = t.generations.c.newest == number
            values = {"complete": number, "has_new_key": False}
            opened.execute(update(t.generations).where(*_is(connection, stream), is_newest).values(values))


def open_generation(opened: Connection, connection: str, stream: str, reason: str, *, has_new_key: bool) -> None:
    """Let rows land in a new generation from now on; an open one whose key was new stays set apart."""
    now = datetime.now(UTC)
    row = opened.execute(select(t.generations).where(*_is(connection, stream))).first()
    if row is None:
        first = {"connection": connection, "stream": stream, "complete": 0, "newest": 1}
        values = first | {"has_new_key": has_new_key, "reason": reason, "opened_at": now}
        opened.execute(insert(t.generations).values(values))
        return
    values = {"newest": row.newest + 1, "has_new_key": row.has_new_key or has_new_key}
    change = update(t.generations).where(*_is(connection, stream))
    opened.execute(change.values(values | {"reason": reason, "opened_at": now}))


def _is(connection: str, stream: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return t.generations.c.connection == connection, t.generations.c.stream == stream
