"""What changed at a source of late: it comes with the next reading, and until then explains a difference."""

from connectors.kit.base import Connector
from connectors.kit.stream import Slice, Stream

MOST = 10_000  # records: more of them are not looked at one by one


def changed_since(connector: Connector, stream: Stream, since: Slice) -> set[str] | None:
    """Tell the keys of what changed since; None where that is more than is looked at. Nothing of it lands."""
    keys: set[str] = set()
    for page in connector.read(stream, since):
        keys.update(key for key in page.records.column("_key").to_pylist() if key is not None)
        if len(keys) > MOST:
            return None
    return keys
