"""The ledger: what was read, built, planned and written, in one small database."""

from contextlib import AbstractContextManager

from sqlalchemy import Connection, select

from engine.storage import ledger_tables as t
from engine.storage.manifest import Files, Snapshots
from engine.storage.migrations.steps import migrate
from engine.storage.stores.approvals import Approvals
from engine.storage.stores.generations import GenerationStore
from engine.storage.stores.judgements import Judgements
from engine.storage.stores.model_parameters import ModelParameters
from engine.storage.stores.pins import Pins
from engine.storage.stores.plans import Plans
from engine.storage.stores.runs import Runs
from engine.storage.stores.slice_counts import SliceCounts
from engine.storage.stores.source_fields import SourceFields
from engine.storage.stores.sync_state import SyncState
from engine.storage.stores.synced_values import SyncedValues
from engine.storage.stores.write_operations import Operations
from engine.storage.transactions import Database


class Ledger:
    """The stores of one ledger.

    Opening it makes its tables, or brings those of an earlier version up to date.

    Raises SettingsError for a URL that names no database, and for a ledger that a newer Belvedere
    wrote.
    """

    def __init__(self, url: str) -> None:
        self.database = database = Database(url)
        self.url, self.engine = database.url, database.engine
        self.files, self.snapshots = Files(database), Snapshots(database)
        self.sync, self.slice_counts = SyncState(database), SliceCounts(database)
        self.generations = GenerationStore(database)
        self.source_fields = SourceFields(database)
        self.model_parameters, self.judgements = ModelParameters(database), Judgements(database)
        self.plans, self.approvals = Plans(database), Approvals(database)
        self.operations, self.synced_values = Operations(database), SyncedValues(database)
        self.pins, self.runs = Pins(database), Runs(database)
        try:
            with database.transaction() as connection:
                migrate(connection, str(database))
        except BaseException:
            self.engine.dispose()
            raise

    @property
    def ledger_id(self) -> str:
        """Return the id that this ledger was created with."""
        with self.transaction() as connection:
            return str(connection.scalar(select(t.meta.c.value).where(t.meta.c.key == "ledger_id")))

    def transaction(self) -> AbstractContextManager[Connection]:
        """Run a block in one transaction of the ledger's database."""
        return self.database.transaction()
