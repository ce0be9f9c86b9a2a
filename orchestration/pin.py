"""The account behind a connection's name stays the one it was: a sandbox is not taken for production, nor the reverse."""

from connectors.kit.errors import AccessError
from orchestration.project import Project


def pin(project: Project, connection: str, account: str) -> None:
    """Remember which account a connection opens; raises AccessError when it is another one now."""
    held = project.ledger.pinned(pin_of(connection), account)
    if held != account:
        raise AccessError(
            f"{connection} was account {held} when it was first used, now it opens {account}: nothing is read or sent, for "
            "the two would be mixed. Check settings, or give the connection another name; if the change is meant: "
            f"belvedere state unpin {connection}"
        )


def pin_of(connection: str) -> str:
    """Name the place where the account is remembered."""
    return f"account:{connection}"
