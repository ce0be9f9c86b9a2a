"""How a ledger of an earlier version becomes one of today: each step within the transaction that opens it."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    delete,
    false,
    func,
    insert,
    inspect,
    null,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateColumn

from engine.storage import ledger_tables as t


def _many_open_slices(opened: Connection) -> None:
    """Version 1 kept one open slice a stream, without what its balance needs."""
    if "slices" not in inspect(opened).get_table_names():
        return
    texts = [Column(name, String) for name in ("connection", "stream", "start", "end", "run_id", "updated_at")]
    old = Table("slices", MetaData(), *texts, Column("checkpoint", JSON))
    mark = select(func.coalesce(func.max(t.manifest.c.id), 0)).scalar_subquery()
    carried = select(*texts, old.c.checkpoint, mark, null(), false())
    names = [column.name for column in texts] + ["checkpoint", "mark", "source_count", "is_read"]
    opened.execute(insert(t.open_slices).from_select(names, carried))
    old.drop(opened)


def _keys_and_confirmed_values(opened: Connection) -> None:
    """Version 2 knew no creates by key, and nothing of what a target said that it holds."""
    _add(opened, t.operations.c.key, t.operations.c.confirmed, t.operations.c.read_back_at)


def _who_was_seen_and_what_was_missed(opened: Connection) -> None:
    """Version 3 knew of an open slice only how many held rows it had shown, and called no field gone that went slowly.

    Slices that have shown such rows are begun anew: nobody knows whose they were.
    """
    _add(opened, t.source_fields.c.missed, t.source_fields.c.missed_at)
    if "skipped" in {one["name"] for one in inspect(opened).get_columns(t.open_slices.name)}:
        opened.execute(delete(t.open_slices).where(text("skipped > 0")))
        opened.execute(text(f"ALTER TABLE {t.open_slices.name} DROP COLUMN skipped"))


def _who_is_new_and_one_account(opened: Connection) -> None:
    """Version 4 took all that had changed since a reading began for new, and knew an account for reads and one for writes."""
    _add(opened, t.balances.c.source_held)
    at, known = t.meta.c, set[str]()
    for kind in ("target:", "source:"):
        is_kind = at.key.startswith(kind)
        for held in opened.scalars(select(at.key).where(is_kind)).all():
            one = held.removeprefix(kind)
            change = delete(t.meta) if one in known else update(t.meta).values(key=f"account:{one}")
            opened.execute(change.where(at.key == held))
            known.add(one)


def _add(opened: Connection, *columns: Column[Any]) -> None:
    """Add columns to their table, where they are not there: a table that was made just now has them."""
    for column in columns:
        if column.name not in {one["name"] for one in inspect(opened).get_columns(column.table.name)}:
            described = CreateColumn(column).compile(dialect=opened.dialect)
            opened.execute(text(f"ALTER TABLE {column.table.name} ADD COLUMN {described}"))


STEPS: Mapping[int, Callable[[Connection], None]] = {
    1: _many_open_slices,
    2: _keys_and_confirmed_values,
    3: _who_was_seen_and_what_was_missed,
    4: _who_is_new_and_one_account,
}


def migrate(opened: Connection, version: int) -> None:
    """Take every step from a version to today's."""
    for number in range(version, t.VERSION):
        STEPS[number](opened)
