"""What is pinned to a connection or a stream: its account, and the settings that its state depends on."""

import json
from hashlib import sha256

from connectors.kit.errors import AccessError, SettingsError
from connectors.kit.stream import Stream
from engine.config.project import Project


def pin(project: Project, connection: str, account: str) -> None:
    """Remember which account a connection opens; raises AccessError when it is another one now."""
    held = project.ledger.pins.pin(pin_of(connection), account)
    if held != account:
        raise AccessError(
            f"{connection} was account {held} when it was first used, now it opens {account}: nothing is read or sent, for "
            "the two would be mixed. Check settings, or give the connection another name; if the change is meant: "
            f"belvedere state unpin {connection}"
        )


def pin_of(connection: str) -> str:
    """Name the place where the account is remembered."""
    return f"account:{connection}"


def settle(project: Project, connection: str, stream: Stream) -> None:
    """Forget what was read under other settings; raises SettingsError for another primary key of rows that are held."""
    ledger, place = project.ledger, f"stream:{sha256(f'{connection}/{stream.name}'.encode()).hexdigest()[:32]}"
    now = {
        "primary_key": stream.primary_key,
        "object": stream.object,
        "cursor": stream.cursor,
        "cursor_unit": stream.cursor_unit,
    }
    before = json.loads(ledger.pins.pin(place, json.dumps(now)))
    if before == now:
        return
    if before["primary_key"] != stream.primary_key and ledger.files.for_asset(f"raw/{connection}/{stream.name}"):
        raise SettingsError(
            f"{connection} {stream.name}: the primary key was {before['primary_key']!r} and is {stream.primary_key!r} now: "
            "what is held under the old one would stay for ever; set it back, or give the stream another name"
        )
    ledger.sync.reset(connection, stream.name)
    ledger.pins.unpin(place)
    ledger.pins.pin(place, json.dumps(now))
