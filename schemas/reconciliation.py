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
    table: str = optional("Table that the stream feeds; null for a stream that is kept raw only")
    slice: str = required("The slice of the cursor that was read, as text; all for the stream as a whole")
    slice_from: Instant = optional("First cursor value of the slice; null is the beginning")
    slice_until: Instant = optional("Cursor value at which the slice ends")
    counted_at: Instant = optional("When the source was asked, by its own clock")
    source_count: dt.Int64 = optional("Records by the source's own count; null where it tells none")
    source_new: dt.Int64 = optional(
        "Of these, how many came since the reading began and are not here yet; they come with the next one"
    )
    read: dt.Int64 = optional("Distinct records of the slice that were read")
    moved: dt.Int64 = optional("Records that left the slice while it was read: edited or deleted meanwhile")
    missing: dt.Int64 = required("Records that the source counts and that are not here", ge=0)
    surplus: dt.Int64 = required("Records that are here and that the source counts no more", ge=0)
    landed: dt.Int64 = optional("Records in the lake that are alive", ge=0)
    redirected: dt.Int64 = optional("Records that the source has merged into others", ge=0)
    accepted: dt.Int64 = optional("Records that keep all rules", ge=0)
    quarantined: dt.Int64 = optional("Records that break a rule", ge=0)
    kept: dt.Int64 = optional("Rows of the last good build that stand in, where too many broke a rule", ge=0)
    conformed: dt.Int64 = optional("Rows of the stream in its table", ge=0)
    joined: dt.Int64 = optional("Of these, rows whose account belongs to a customer", ge=0)
    unjoined: dt.Int64 = optional("Rows that name no account, or one that is not known or in quarantine", ge=0)
    published: dt.Int64 = optional("Rows of the stream in the warehouse that holds this table", ge=0)
    derived_read_at: Instant = optional("Up to when fields that move no cursor have been read")
    is_closed: bool = required("True when nothing is lost on the way")
    gap: str = optional("What does not add up, in words")

    class Config(Table.Config):
        unique = ["connection", "stream", "slice"]
