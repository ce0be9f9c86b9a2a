"""What a stream's state is a state of: under another cursor or path, nothing counts as read."""

import json
from hashlib import sha256

from connectors.kit.errors import SettingsError
from connectors.kit.stream import Stream
from orchestration.project import Project


def settle(project: Project, connection: str, stream: Stream) -> None:
    """Forget what was read under other settings; raises SettingsError for another primary key of rows that are held."""
    ledger, place = project.ledger, f"stream:{sha256(f'{connection}/{stream.name}'.encode()).hexdigest()[:32]}"
    now = {
        "primary_key": stream.primary_key,
        "object": stream.object,
        "cursor": stream.cursor,
        "cursor_unit": stream.cursor_unit,
    }
    before = json.loads(ledger.pinned(place, json.dumps(now)))
    if before == now:
        return
    if before["primary_key"] != stream.primary_key and ledger.files(f"raw/{connection}/{stream.name}"):
        raise SettingsError(
            f"{connection} {stream.name}: the primary key was {before['primary_key']!r} and is {stream.primary_key!r} now: "
            "what is held under the old one would stay for ever; set it back, or give the stream another name"
        )
    ledger.reset(connection, stream.name)
    ledger.unpin(place)
    ledger.pinned(place, json.dumps(now))
