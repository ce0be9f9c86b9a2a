"""Which fields of its sources a project reads, writes or ignores on purpose."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.storage.stores.source_fields import FieldRecord
from schemas.mapping import paths, stem

SHOWN = (
    *("connection", "stream", "path", "type", "label", "is_custom", "change"),
    *("retyped_from", "first_seen_at", "last_seen_at", "gone_at", "back_at"),
)


class FieldUsage:
    """What a project does with the fields of one stream."""

    def __init__(self, project: Project, connection: str, stream: Stream) -> None:
        read = [stream.primary_key, stream.cursor or stream.primary_key, *stream.paths]
        self.mapped = [*dict.fromkeys(stem(path) for path in read if not path.startswith("_"))]
        self.ignored = {stem(path) for path in stream.ignores}
        self.fields = stream.fields
        self.written = {
            field
            for delivery in project.deliveries.values()
            if (delivery.target.connection, delivery.target.stream) == (connection, stream.name)
            for field in delivery.fields
        }

    def __call__(self, path: str) -> bool:
        """Return whether a field is read or written, and so needs no acceptance."""
        return (
            path in self.mapped or self.is_written(path) or any(mapped.startswith(f"{path}.") for mapped in self.mapped)
        )

    def is_written(self, path: str) -> bool:
        """Return whether a delivery writes a field, which it names as the target does."""
        return path in self.written or path.rpartition(".")[2] in self.written

    def is_tracked(self, path: str) -> bool:
        """Return whether a field is watched for drift: not if it is ignored on purpose."""
        return path in self.mapped or path not in self.ignored

    def tracked(self, records: Iterable[FieldRecord]) -> list[FieldRecord]:
        """Return the records of the fields that are watched."""
        return [record for record in records if self.is_tracked(record.path)]

    def feeds(self, path: str) -> list[str]:
        """List our fields that a field of the source feeds."""
        fed = {name: {stem(one) for one in paths({name: mapped})} for name, mapped in self.fields.items()}
        return [name for name, read in fed.items() if path in read]


def covering(path: str, fields: Collection[str]) -> str | None:
    """Return the field that a path reads, or lies within."""
    parts = stem(path).split(".")
    above = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((candidate for candidate in above if candidate in fields), None)


def source_fields(project: Project) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table `source_fields`. Grain: connection, stream, path."""
    for connection in project.connections:
        for stream in project.streams(connection):
            use = FieldUsage(project, connection, stream)
            for record in use.tracked(project.ledger.source_fields.records(connection, stream.name)):
                yield {name: getattr(record, name) for name in SHOWN} | {
                    "feeds": ";".join(use.feeds(record.path)) or None
                }
