"""The ledger's database: its engine, and the transactions in which its stores read and write."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from connectors.kit.errors import BusyError, SettingsError
from engine.storage.disk import DiskError, explain


class Database:
    """A database that is opened by its SQLAlchemy URL.

    A SQLite file and its folder are made for their owner only.

    SQLite runs with a rollback journal and full synchronisation: its write-ahead log has a fault in
    the versions that Python ships (before 3.51.3) which can lose commits of two writers.

    Raises SettingsError for a URL that names no database, or one whose driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
            self.engine = _engine(self.url)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise SettingsError(f"BELVEDERE_LEDGER_URL cannot be opened: {error}") from None
        self.file = self.url.database if self.url.get_backend_name() == "sqlite" else None
        if self.file:
            path = Path(self.file)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)

    def __str__(self) -> str:
        return f"the ledger at {self.url.render_as_string()}"  # without its password

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run a block in one transaction.

        Raises BusyError when the database cannot be used, DiskError when its disk is full or
        broken.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except OperationalError as error:
            if explanation := explain(error, self.file):
                raise DiskError(explanation) from None
            raise BusyError(f"{self} cannot be used: {error.orig}") from None


class Store:
    """One part of the ledger; each of its methods runs in one transaction, whole or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractContextManager[Connection]:
        """Run a block in one transaction."""
        return self._database.transaction()


def _engine(url: URL) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=not is_sqlite,
        connect_args={"timeout": 60} if is_sqlite else {},  # seconds to wait for another writer
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    if is_sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins no transaction: `_begin_immediate` does
    for pragma in ("journal_mode = DELETE", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # one writer at a time; a reader waits its turn
