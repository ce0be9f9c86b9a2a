"""How the ledger's schema changes: numbered steps, taken in the transaction that opens the ledger.

Step n makes version n + 1 of version n. A step reads frozen tables or plain SQL, never
`ledger_tables`, which changes after it was written. To change the schema: change `ledger_tables`,
write a step that does the same to a ledger of the newest version, and put it at the end of STEPS.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    false,
    func,
    insert,
    inspect,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateColumn

from connectors.kit.errors import SettingsError
from engine.storage import ledger_tables as t
from engine.storage.migrations import version_5 as v5

MIGRATION_LOCK = 7_216_413  # PostgreSQL's advisory locks are numbers; this one is ours


def _many_open_slices(opened: Connection) -> None:
    """Version 1 kept one open slice a stream, in another table, without what its count needs."""
    v5.tables.create_all(opened)
    if not inspect(opened).has_table("slices"):
        return
    texts = [Column(name, String) for name in ("connection", "stream", "start", "end", "run_id", "updated_at")]
    old = Table("slices", MetaData(), *texts, Column("checkpoint", JSON))
    mark = select(func.coalesce(func.max(v5.manifest.c.id), 0)).scalar_subquery()
    carried = select(*texts, old.c.checkpoint, mark, null(), false())
    names = [column.name for column in texts] + ["checkpoint", "mark", "source_count", "is_read"]
    opened.execute(insert(v5.open_slices).from_select(names, carried))
    old.drop(opened)


def _keys_and_confirmed_values(opened: Connection) -> None:
    """Version 2 had no creates by key, and did not store the values that a target confirmed."""
    v5.tables.create_all(opened)
    for name in ("key", "confirmed", "read_back_at"):
        _add(opened, v5.operations.c[name])


def _observed_keys_and_missed_fields(opened: Connection) -> None:
    """Version 3 counted the stored rows that an open slice had shown, without their keys.

    Slices with such a count are read from their start again: whose rows it counted is unknown.
    """
    v5.tables.create_all(opened)
    for name in ("missed", "missed_at"):
        _add(opened, v5.source_fields.c[name])
    if "skipped" in _columns(opened, "open_slices"):
        opened.execute(text("DELETE FROM open_slices WHERE skipped > 0"))
        opened.execute(text("ALTER TABLE open_slices DROP COLUMN skipped"))


def _new_records_and_one_account(opened: Connection) -> None:
    """Version 4 did not count stored new records, and pinned an account for writes too."""
    v5.tables.create_all(opened)
    _add(opened, v5.balances.c.source_held)
    keys, pinned = v5.meta.c.key, set[str]()
    for kind in ("target:", "source:"):
        for key in opened.scalars(select(keys).where(keys.startswith(kind))).all():
            connection = key.removeprefix(kind)
            change = update(v5.meta).values(key=f"account:{connection}")
            opened.execute((delete(v5.meta) if connection in pinned else change).where(keys == key))
            pinned.add(connection)


def _names_of_the_field(opened: Connection) -> None:
    """Version 5 named states of extraction, the ledger's id and the stage of a run differently.

    A full refresh that is open is begun again: its rows so far stay, and are read once more.
    """
    v5.tables.create_all(opened)  # some ledgers of version 5 are older than its last table
    opened.execute(update(v5.meta).where(v5.meta.c.key == "generation").values(key="ledger_id"))
    opened.execute(text("ALTER TABLE runs RENAME COLUMN beat TO stage"))
    _begin_full_refreshes_again(opened)
    for old, new in (("/in_vain", "/full_refresh_mismatch"), ("/refresh", "/uncursored_refresh")):
        for column in (v5.intervals.c.stream, v5.open_slices.c.stream, v5.pending.c.asset):
            for name in opened.scalars(select(column).where(column.endswith(old, autoescape=True)).distinct()).all():
                renamed = {column: name.removesuffix(old) + new}
                opened.execute(update(column.table).where(column == name).values(renamed))


def _begin_full_refreshes_again(opened: Connection) -> None:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    newest = opened.scalar(select(func.max(v5.manifest.c.id))) or 0
    at = v5.open_slices.c
    for row in opened.execute(select(at.id, at.connection, at.stream).where(at.stream.endswith("/anew"))).all():
        stream = row.stream.removesuffix("/anew")
        for table in (v5.intervals, v5.open_slices):
            is_state = or_(table.c.stream == stream, table.c.stream.startswith(f"{stream}/", autoescape=True))
            is_other = [at.id != row.id] if table is v5.open_slices else []
            opened.execute(delete(table).where(table.c.connection == row.connection, is_state, *is_other))
        assets = [f"raw/{row.connection}/{stream}", f"seen/{row.connection}/{stream}"]
        waiting = v5.pending.c.asset
        is_waiting = or_(waiting.in_(assets), waiting.startswith(f"{assets[1]}/", autoescape=True))
        opened.execute(delete(v5.pending).where(is_waiting))
        begun = {"stream": f"{stream}/full_refresh", "mark": newest, "updated_at": now}
        opened.execute(update(v5.open_slices).where(at.id == row.id).values(begun))


def _generations(opened: Connection) -> None:
    """Version 6 had no generations: a full refresh that is open is the first generation that its stream opened."""
    columns: list[Column[Any]] = [
        *(Column(name, String(200), primary_key=True) for name in ("connection", "stream")),
        *(Column(name, Integer, nullable=False) for name in ("complete", "newest")),
        Column("has_new_key", Boolean, nullable=False),
        Column("reason", Text, nullable=False),
        Column("opened_at", String(32), nullable=False),
    ]
    generations = Table("generations", MetaData(), *columns)
    generations.create(opened)
    at, state = v5.open_slices.c, "/full_refresh"
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    values = {"complete": 0, "newest": 1, "has_new_key": False, "reason": "a full refresh", "opened_at": now}
    for row in opened.execute(select(at.connection, at.stream).where(at.stream.endswith(state))).all():
        stream = {"connection": row.connection, "stream": row.stream.removesuffix(state)}
        opened.execute(insert(generations).values(stream | values))


def _add(opened: Connection, column: "Column[object]") -> None:
    """Add a column to its table, unless the table was created with it just now."""
    table = column.table.name
    if column.name not in _columns(opened, table):
        opened.execute(text(f"ALTER TABLE {table} ADD COLUMN {CreateColumn(column).compile(dialect=opened.dialect)}"))


def _columns(opened: Connection, table: str) -> set[str]:
    return {column["name"] for column in inspect(opened).get_columns(table)}


STEPS: Mapping[int, Callable[[Connection], None]] = {
    1: _many_open_slices,
    2: _keys_and_confirmed_values,
    3: _observed_keys_and_missed_fields,
    4: _new_records_and_one_account,
    5: _names_of_the_field,
    6: _generations,
}
VERSION = max(STEPS) + 1


def migrate(opened: Connection, ledger: str) -> None:
    """Create the tables of a new ledger, or upgrade an existing one to today's version.

    Raises SettingsError for a ledger that a newer Belvedere wrote.
    """
    if opened.dialect.name == "postgresql":  # several processes may open a new ledger at once
        opened.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    is_version = t.meta.c.key == "version"
    has_meta = inspect(opened).has_table(t.meta.name)
    stored = opened.scalar(select(t.meta.c.value).where(is_version)) if has_meta else None
    if stored is None:
        t.ledger.create_all(opened)
        values = {"version": str(VERSION), "ledger_id": uuid4().hex}
        opened.execute(insert(t.meta), [{"key": key, "value": value} for key, value in values.items()])
        return
    if int(stored) > VERSION:
        raise SettingsError(
            f"{ledger} has version {stored}, this Belvedere supports up to {VERSION}: upgrade Belvedere, or set "
            "BELVEDERE_LEDGER_URL to another ledger"
        )
    if int(stored) < VERSION:
        for number in range(int(stored), VERSION):
            STEPS[number](opened)
        opened.execute(update(t.meta).where(is_version).values(value=str(VERSION)))
