"""One row that broke its table's rules, kept with all reasons until it is repaired at its source."""

from schemas.base import Table, optional, required


class Quarantine(Table):
    """One row that broke its table's rules, kept with all reasons until it is repaired at its source."""

    table: str = required("Table that the row was meant for")
    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    record_id: str = optional("The system's own id; null when the row has none")
    reasons: str = required("All broken rules, separated by '; '")
    payload: str = optional("The record as the source sent it, JSON")
