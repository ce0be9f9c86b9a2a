"""One record that its source has merged into another."""

from schemas.base import Table, required


class Redirects(Table):
    """One record that its source has merged into another: it no longer exists, but was not deleted."""

    connection: str = required("Connection of the record")
    stream: str = required("Stream of that connection")
    record_id: str = required("The record that was merged away")
    redirected_to: str = required("The record into which it was merged")

    class Config(Table.Config):
        unique = ["connection", "stream", "record_id"]
