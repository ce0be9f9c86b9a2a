"""What is pinned for a connection or a stream: its account, the settings of its state."""

import json
from hashlib import sha256

from connectors.kit.errors import AccessError
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
    """Begin a full refresh of a stream whose settings have changed since it was read.

    Stored cursor values cannot be compared with those of another cursor, nor keys with those of
    another primary key.
    """
    ledger, identity = project.ledger, f"{connection}/{stream.name}"
    key = f"stream:{sha256(identity.encode()).hexdigest()[:32]}"  # keys of pins hold 50 characters, names up to 200
    settings = {
        "primary_key": stream.key_columns or stream.primary_key,
        "object": stream.object,
        "cursor": stream.cursor,
        "cursor_unit": stream.cursor_unit,
    }
    current = json.dumps(settings)
    pinned = ledger.pins.pin(key, current)
    if pinned == current:
        return
    before = json.loads(pinned)
    if before["primary_key"] == stream.primary_key:  # version 0.1 pinned the connector's own column
        before["primary_key"] = settings["primary_key"]
    if changed := [name for name in settings if before[name] != settings[name]]:
        has_new_key = "primary_key" in changed and bool(ledger.files.for_asset(f"raw/{connection}/{stream.name}"))
        reason = ", ".join(f"{name} was {before[name]!r} and is {settings[name]!r} now" for name in changed)
        ledger.sync.begin_full_refresh(connection, stream.name, reason, has_new_key=has_new_key)
    ledger.pins.unpin(key)
    ledger.pins.pin(key, current)
