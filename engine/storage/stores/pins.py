"""Values that are fixed at their first use, such as the account that a connection opens."""

from sqlalchemy import delete, insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store


class Pins(Store):
    """Pinned values by key."""

    def pin(self, key: str, value: str) -> str:
        """Store a value unless its key has one already; returns the stored value."""
        with self.transaction() as connection:
            stored = connection.scalar(select(t.meta.c.value).where(t.meta.c.key == key))
            if stored is None:
                connection.execute(insert(t.meta).values(key=key, value=value))
            return stored or value

    def unpin(self, key: str) -> None:
        """Remove the value of a key."""
        with self.transaction() as connection:
            connection.execute(delete(t.meta).where(t.meta.c.key == key))
