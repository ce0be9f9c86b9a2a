"""One reading of a stream, and the stream as a whole, counted from the source to the warehouse."""

import ibis.expr.datatypes as dt

from schemas.base import Instant, Table, optional, required


class Reconciliation(Table):
    """One slice of a stream as it was read, and under `all` the stream as a whole: counted at every stage.

    A slice closes when source_count = read + moved (missing is 0) and landed = accepted + quarantined. The whole
    closes when the source counts what has landed, give or take what changed since the reading began, landed =
    accepted + quarantined, conformed = accepted (or kept), conformed = joined + unjoined, and published = conformed.
    """

    connection: str = required("Connection")
    stream: str = required("Stream of that connection")
    table: str = optional("Table that the stream feeds; null for a stream that is only stored raw")
    slice: str = required("The slice of the cursor that was read, as text; all for the stream as a whole")
    slice_from: Instant = optional("First cursor value of the slice; null is the beginning")
    slice_until: Instant = optional("Cursor value at which the slice ends")
    counted_at: Instant = optional("When the source was asked, by its own clock")
    source_count: dt.Int64 = optional("Records by the source's own count; null where the source has no count")
    source_new: dt.Int64 = optional(
        "Of these, created since the read began and not stored yet; the next read brings them"
    )
    read: dt.Int64 = optional("Distinct records of the slice that were read")
    moved: dt.Int64 = optional("Records that left the slice during the read: edited or deleted")
    missing: dt.Int64 = required("Records counted by the source but not stored", ge=0)
    surplus: dt.Int64 = required("Records stored but no longer counted by the source", ge=0)
    landed: dt.Int64 = optional("Records in the lake that are not deleted", ge=0)
    redirected: dt.Int64 = optional("Records that the source has merged into others", ge=0)
    accepted: dt.Int64 = optional("Records that pass all rules", ge=0)
    quarantined: dt.Int64 = optional("Records that break a rule", ge=0)
    kept: dt.Int64 = optional("Rows taken over from the last good build, where too many rows broke a rule", ge=0)
    conformed: dt.Int64 = optional("Rows of the stream in its table", ge=0)
    joined: dt.Int64 = optional("Of these, rows whose account belongs to a customer", ge=0)
    unjoined: dt.Int64 = optional("Rows without an account, or whose account is unknown or in quarantine", ge=0)
    published: dt.Int64 = optional("Rows of the stream in the warehouse that holds this table", ge=0)
    derived_read_at: Instant = optional("Time up to which fields that do not move the cursor were read")
    is_closed: bool = required("True when the counts of all stages add up")
    gap: str = optional("What does not add up, in words")

    class Config(Table.Config):
        unique = ["connection", "stream", "slice"]
