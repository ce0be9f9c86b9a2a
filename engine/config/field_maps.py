"""A user's own field map, which replaces lines of a connector's."""

from collections.abc import Mapping
from typing import Any

from connectors.kit.errors import SettingsError, choices
from connectors.kit.field_map import parse_entry
from connectors.kit.stream import Stream
from schemas.find import model
from schemas.mapping import FieldMap


def with_overrides(connection: str, stream: Stream, overrides: Mapping[str, Any]) -> FieldMap:
    """Return a stream's field map with some of its lines replaced.

    Raises SettingsError for a field that the stream's table lacks, and for a stream without a
    table.
    """
    if not overrides:
        return stream.fields
    if stream.table is None:
        raise SettingsError(
            f"connection {connection!r}: stream {stream.name!r} feeds no table, so its fields cannot be mapped"
        )
    fields = set(model(stream.table).to_schema().columns) - {"connection", "stream"}
    for unified in overrides:
        if unified not in fields:
            raise SettingsError(
                f"connection {connection!r}: fields.{stream.name}: table {stream.table!r} has no field "
                f"{unified!r}; {choices(unified, fields)}"
            )
    return {**stream.fields, **{unified: parse_entry(path) for unified, path in overrides.items()}}
