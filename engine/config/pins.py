"""What is pinned for a connection or a stream: its account, the settings of its state."""

import json
from hashlib import sha256

from connectors.kit.errors import AccessError, SettingsError
from connectors.kit.stream import Stream
from engine.config.project import Project


def pin(project: Project, connection: str, account: str) -> None:
    """Pin the account that a connection opens.

    Raises AccessError when it opened another one before.
    """
    pinned = project.ledger.pins.pin(pin_of(connection), account)
    if pinned != account:
        raise AccessError(
            f"{connection} was account {pinned} when it was first used, now it opens {account}: nothing was read or "
            "written, so that their data is not mixed. Check the settings, or give the connection another name; if the "
            f"change is intended: belvedere state unpin {connection}"
        )


def pin_of(connection: str) -> str:
    """Return the key under which the account of a connection is pinned."""
    return f"account:{connection}"


def reset_if_changed(project: Project, connection: str, stream: Stream) -> None:
    """Reset a stream whose settings have changed since it was read.

    Raises SettingsError for another primary key.
    """
    ledger, identity = project.ledger, f"{connection}/{stream.name}"
    key = f"stream:{sha256(identity.encode()).hexdigest()[:32]}"  # keys of pins hold 50 characters, names up to 200
    settings = {
        "primary_key": stream.primary_key,
        "object": stream.object,
        "cursor": stream.cursor,
        "cursor_unit": stream.cursor_unit,
    }
    before = json.loads(ledger.pins.pin(key, json.dumps(settings)))
    if before == settings:
        return
    if before["primary_key"] != stream.primary_key and ledger.files.for_asset(f"raw/{connection}/{stream.name}"):
        raise SettingsError(
            f"{connection} {stream.name}: the primary key was {before['primary_key']!r} and is "
            f"{stream.primary_key!r} now: rows stored under the old key would never be updated or deleted; restore "
            "the key, or give the stream another name"
        )
    ledger.sync.reset(connection, stream.name)
    ledger.pins.unpin(key)
    ledger.pins.pin(key, json.dumps(settings))
