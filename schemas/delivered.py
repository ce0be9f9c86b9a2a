"""One field of one record that was sent to a target, and its outcome: the audit log."""

import ibis.expr.datatypes as dt

from schemas.base import Instant, Table, one_of, optional, required


class Delivered(Table):
    """One field of one record that was sent to a target, and its outcome: the audit log."""

    delivery: str = required("Delivery that sent it")
    run_id: str = required("Run that sent it")
    digest: str = required("Digest of the plan")
    approved_by: str = optional("Who approved the plan; null where the delivery needs no approval")
    approved_via: str = optional("How it was approved: command line, or Dagster run and its id")
    op_id: str = required("Id of the write operation")
    connection: str = required("Target connection")
    stream: str = required("Target stream")
    record_id: str = optional("Record at the target")
    customer_id: str = required("Customer of the record")
    action: str = required("update, create or delete", **one_of("update", "create", "delete"))
    key: str = optional("Key that identifies a created record")
    field: str = required("Field at the target; * for the record as a whole")
    before: str = optional("Value before, as JSON")
    after: str = optional("Value sent, as JSON")
    confirmed: str = optional("Value that the target confirmed, as JSON")
    outcome: str = required(
        "Outcome of the write", **one_of("applied", "unchanged", "rejected", "conflict", "retry", "unknown")
    )
    message: str = optional("Message of the target")
    attempt: dt.Int64 = required("Number of attempts", ge=1)
    at: Instant = required("When the outcome was known, UTC")

    class Config(Table.Config):
        unique = ["op_id", "field"]
