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
            "sent, for the two would be mixed. Check its settings, or give the connection another name; if the change is intended: "
            f"belvedere state unpin {connection}"
        )


def pin_of(connection: str) -> str:
    """Return the key under which the account of a connection is pinned."""
    return f"account:{connection}"


def reset_if_changed(project: Project, connection: str, stream: Stream) -> None:
    """Reset a stream whose settings have changed since it was read.

    Raises SettingsError for another primary key.
    """
    ledger, key = project.ledger, f"stream:{sha256(f'{connection}/{stream.name}'.encode()).hexdigest()[:32]}"
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
            f"{connection} {stream.name}: the primary key was {before['primary_key']!r} and is {stream.primary_key!r} now: "
            "the records that are stored under the old one would stay for ever; set it back, or give the stream another name"
        )
    ledger.sync.reset(connection, stream.name)
    ledger.pins.unpin(key)
    ledger.pins.pin(key, json.dumps(settings))
