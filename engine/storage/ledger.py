"""The ledger: what was read, built, intended and done, in one small database that survives every crash."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, delete, event, func, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from connectors.kit.errors import BusyError, SettingsError
from engine.storage import ledger_tables as t
from engine.storage.approvals import Approvals
from engine.storage.disk import DiskError, explain
from engine.storage.judgements import Judgements
from engine.storage.manifest import Manifest
from engine.storage.migrations import migrate
from engine.storage.model_parameters import Models
from engine.storage.plans import Plans
from engine.storage.slice_counts import Balances
from engine.storage.source_fields import Fields
from engine.storage.sync_state import State
from engine.storage.synced_values import Agreements
from engine.storage.write_operations import Operations

MIGRATION = 7_216_413  # any number, the same for all


class Ledger(State, Manifest, Balances, Fields, Models, Judgements, Plans, Approvals, Operations, Agreements):
    """Open a ledger by SQLAlchemy URL, making its tables; one transaction a call, whole or not at all.

    SQLite runs with a rollback journal and full synchronisation: its write-ahead log has a fault in the versions
    that Python ships (before 3.51.3) which can lose commits of two writers.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
            self.engine = _engine(self.url)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise SettingsError(f"BELVEDERE_LEDGER_URL cannot be opened: {error}") from None
        if self.url.get_backend_name() == "sqlite" and self.url.database:
            path = Path(self.url.database)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
        try:
            self._migrate()
        except BaseException:
            self.engine.dispose()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run a block in one transaction."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except OperationalError as error:
            if said := explain(error, self.url.database if self.url.get_backend_name() == "sqlite" else None):
                raise DiskError(said) from None
            raise BusyError(f"the ledger at {self.url.render_as_string()} cannot be used: {error.orig}") from None

    @property
    def generation(self) -> str:
        """Return the id that this ledger was born with."""
        return self._meta("generation")

    def pinned(self, key: str, value: str) -> str:
        """Remember a value the first time, and answer what was remembered."""
        with self.transaction() as connection:
            held = connection.scalar(select(t.meta.c.value).where(t.meta.c.key == key))
            if held is None:
                connection.execute(insert(t.meta).values(key=key, value=value))
            return held or value

    def unpin(self, key: str) -> None:
        """Forget a value that was remembered."""
        with self.transaction() as connection:
            connection.execute(delete(t.meta).where(t.meta.c.key == key))

    def note_run(self, run_id: str, beat: str, summary: dict[str, Any]) -> None:
        """Write down how a beat of a run ended."""
        with self.transaction() as connection:
            row = {"run_id": run_id, "beat": beat, "at": datetime.now(UTC), "summary": summary}
            connection.execute(insert(t.runs).values(row))

    def last_run(self, beat: str) -> dict[str, Any] | None:
        """Return the newest note about a beat."""
        with self.transaction() as connection:
            query = select(t.runs).where(t.runs.c.beat == beat).order_by(t.runs.c.id.desc()).limit(1)
            row = connection.execute(query).mappings().first()
            return dict(row) if row else None

    def _meta(self, key: str) -> str:
        with self.transaction() as connection:
            return str(connection.scalar(select(t.meta.c.value).where(t.meta.c.key == key)))

    def _migrate(self) -> None:
        with self.transaction() as connection:
            if connection.dialect.name == "postgresql":  # several steps of a first night may make the tables at once
                connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))
            t.ledger.create_all(connection)
            held = connection.scalar(select(t.meta.c.value).where(t.meta.c.key == "version"))
            if held is None:
                born = [
                    {"key": "version", "value": str(t.VERSION)},
                    {"key": "generation", "value": uuid4().hex},
                ]
                connection.execute(insert(t.meta), born)
            elif int(held) > t.VERSION:
                raise SettingsError(
                    f"the ledger at {self.url.render_as_string()} has version {held}, this Belvedere knows "
                    f"{t.VERSION}: upgrade Belvedere, or name another ledger in BELVEDERE_LEDGER_URL"
                )
            elif int(held) < t.VERSION:
                migrate(connection, int(held))
                is_version = t.meta.c.key == "version"
                connection.execute(update(t.meta).where(is_version).values(value=str(t.VERSION)))


def _engine(url: URL) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    waiting = {"timeout": 60} if is_sqlite else {}
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=not is_sqlite,
        connect_args=waiting,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    if is_sqlite:

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # we begin transactions ourselves, below
            for pragma in ("journal_mode = DELETE", "synchronous = FULL", "secure_delete = ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # one writer at a time; a reader waits its turn

    return engine
