"""What every part of the ledger stands on."""

from contextlib import AbstractContextManager

from sqlalchemy import Connection


class Transactions:
    """Offer transactions."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Run a block in one transaction."""
        raise NotImplementedError
