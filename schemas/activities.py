"""One call, e-mail, meeting, task or note with a customer."""

from schemas.base import EARLIEST, Instant, Table, one_of, optional, required


class Activities(Table):
    """One call, e-mail, meeting, task or note with a customer."""

    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    activity_id: str = required("The system's own id", str_length={"min_value": 1, "max_value": 200})
    account_id: str = optional("Account in the same connection")
    contact_id: str = optional("Person at the customer, in the same connection")
    contact_title: str = optional("Job title of that person")
    owner_id: str = optional("Owner in the same connection")
    kind: str = required("call, email, meeting, task or note", **one_of("call", "email", "meeting", "task", "note"))
    direction: str = optional("inbound, outbound or both", **one_of("inbound", "outbound", "both"))
    status: str = optional("planned, done or cancelled", **one_of("planned", "done", "cancelled"))
    subject: str = optional("Subject line")
    happened_at: Instant = required("When it happened or will happen, UTC", ge=EARLIEST)
    updated_at: Instant = optional("Last modified at the source, UTC", ge=EARLIEST)

    class Config(Table.Config):
        unique = ["connection", "stream", "activity_id"]
