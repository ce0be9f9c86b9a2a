"""One field of one stream as its source shows it, whether it is mapped or not."""

from schemas.base import Instant, Table, one_of, optional, required


class SourceFields(Table):
    """One field of one stream as its source shows it, whether it is mapped or not."""

    connection: str = required("Connection that offers it")
    stream: str = required("Stream of that connection")
    path: str = required("Path of the field in a record, as a field map would name it")
    type: str = required("Type as the source names it, or as its records show it; empty when not known yet")
    label: str = optional("Name that people read in the source")
    is_custom: bool = required("The company's own field, not the vendor's")
    feeds: str = optional("Our fields that it feeds, separated by ;")
    change: str = optional("What was not accepted yet", **one_of("new", "gone", "retyped"))
    retyped_from: str = optional("Type that was accepted last, where another one came")
    first_seen_at: Instant = required("First seen, by the source's clock, UTC")
    last_seen_at: Instant = required("Last seen, by the source's clock, UTC")
    gone_at: Instant = optional("When it was found to be gone, UTC")
    back_at: Instant = optional("When it was found to be back, UTC")

    class Config(Table.Config):
        unique = ["connection", "stream", "path"]
