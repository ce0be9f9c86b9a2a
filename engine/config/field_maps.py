"""A user's own field map, laid over a connector's."""

from collections.abc import Mapping
from typing import Any

from connectors.kit.errors import SettingsError, choices
from connectors.kit.field_map import mapped
from connectors.kit.stream import Stream
from schemas.find import model
from schemas.mapping import FieldMap


def with_overrides(connection: str, stream: Stream, overrides: Mapping[str, Any]) -> FieldMap:
    """Replace single lines of a stream's field map; raises SettingsError for a field that its table lacks."""
    if not overrides:
        return stream.fields
    if stream.table is None:
        raise SettingsError(f"connection {connection!r}: stream {stream.name!r} feeds no table, so it maps no fields")
    known = set(model(stream.table).to_schema().columns) - {"connection", "stream"}
    for unified in overrides:
        if unified not in known:
            raise SettingsError(
                f"connection {connection!r}: fields.{stream.name}: table {stream.table!r} has no field "
                f"{unified!r}; {choices(unified, known)}"
            )
    return {**stream.fields, **{unified: mapped(given) for unified, given in overrides.items()}}
