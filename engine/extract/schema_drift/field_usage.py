"""What a project does with the fields of its sources: which it reads, writes or ignores on purpose."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.storage.source_fields import FieldRecord
from schemas.mapping import paths, stem

SHOWN = (
    *("connection", "stream", "path", "type", "label", "is_custom", "change"),
    *("retyped_from", "first_seen_at", "last_seen_at", "gone_at", "back_at"),
)


class FieldUsage:
    """Know what a project does with the fields of a stream."""

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
        """Tell whether a field is read or written: whoever uses it knows of it."""
        return path in self.mapped or self.is_written(path) or any(one.startswith(f"{path}.") for one in self.mapped)

    def is_written(self, path: str) -> bool:
        """Tell whether a delivery writes a field; it names it as the target does."""
        return path in self.written or path.rpartition(".")[2] in self.written

    def is_tracked(self, path: str) -> bool:
        """Tell whether a field is watched: those that are ignored on purpose are not."""
        return path in self.mapped or path not in self.ignored

    def tracked(self, seen: Iterable[FieldRecord]) -> list[FieldRecord]:
        """Keep the sightings of fields that are watched."""
        return [one for one in seen if self.is_tracked(one.path)]

    def feeds(self, path: str) -> list[str]:
        """Name our fields that a field feeds."""
        fed = {name: {stem(one) for one in paths({name: mapped})} for name, mapped in self.fields.items()}
        return [name for name, read in fed.items() if path in read]


def covering(path: str, known: Collection[str]) -> str | None:
    """Name the field that a path reads, or one that it lies within."""
    parts = stem(path).split(".")
    above = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((one for one in above if one in known), None)


def source_fields(project: Project) -> Iterator[dict[str, Any]]:
    """List the rows of the table `source_fields`."""
    for connection in project.connections:
        for stream in project.streams(connection):
            use = FieldUsage(project, connection, stream)
            for one in use.tracked(project.ledger.source_fields.records(connection, stream.name)):
                yield {name: getattr(one, name) for name in SHOWN} | {"feeds": ";".join(use.feeds(one.path)) or None}
