"""One request for help."""

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.api.ibis.types import IbisData

from schemas.base import EARLIEST, Instant, Table, one_of, optional, required


class Tickets(Table):
    """One request for help."""

    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    ticket_id: str = required("The system's own id", str_length={"min_value": 1, "max_value": 200})
    account_id: str = optional("Account in the same connection")
    subject: str = optional("Subject line")
    owner_id: str = optional("Owner in the same connection")
    status: str = required(
        "new, open, pending, hold, solved or closed",
        **one_of("new", "open", "pending", "hold", "solved", "closed"),
    )
    priority: str = optional("urgent, high, normal or low", **one_of("urgent", "high", "normal", "low"))
    first_reply_minutes: float = optional("Minutes from creation to the first reply", ge=0)
    resolution_minutes: float = optional("Minutes from creation to the last solution", ge=0)
    agent_minutes: float = optional("Minutes of work spent", ge=0)
    reopens: dt.Int64 = optional("How often it was reopened", ge=0)
    solved_at: Instant = optional("Solved at, UTC", ge=EARLIEST)
    created_at: Instant = required("Created at the source, UTC", ge=EARLIEST)
    updated_at: Instant = optional("Last modified at the source, UTC", ge=EARLIEST)

    @pa.dataframe_check(error="solved before it was created")
    def solved_after_creation(cls, data: IbisData) -> ir.BooleanColumn:
        return data.table.solved_at >= data.table.created_at

    class Config(Table.Config):
        unique = ["connection", "stream", "ticket_id"]
