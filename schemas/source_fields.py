"""One field of one stream at its source, mapped or not."""

from schemas.base import Instant, Table, one_of, optional, required


class SourceFields(Table):
    """One field of one stream at its source, mapped or not."""

    connection: str = required("Connection that the field belongs to")
    stream: str = required("Stream of that connection")
    path: str = required("Path of the field in a record, as a field map would name it")
    type: str = required("Type as the source declares it, or inferred from its records; empty when unknown")
    label: str = optional("Label in the source")
    is_custom: bool = required("True for a field that the company added, false for the vendor's")
    feeds: str = optional("Our fields that it feeds, separated by ;")
    change: str = optional("Change that is not accepted yet: new, gone or retyped", **one_of("new", "gone", "retyped"))
    retyped_from: str = optional("Last accepted type of a retyped field")
    first_seen_at: Instant = required("First seen, by the source's clock, UTC")
    last_seen_at: Instant = required("Last seen, by the source's clock, UTC")
    gone_at: Instant = optional("When the field was found missing, UTC")
    back_at: Instant = optional("When the field was found again, UTC")

    class Config(Table.Config):
        unique = ["connection", "stream", "path"]
