"""One answer of a customer to a survey."""

import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.api.ibis.types import IbisData

from schemas.base import EARLIEST, Instant, Table, one_of, optional, required


class Ratings(Table):
    """One answer of a customer to a survey."""

    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    rating_id: str = required("The system's own id", str_length={"min_value": 1, "max_value": 200})
    account_id: str = optional("Account in the same connection; else found through the ticket")
    ticket_id: str = optional("Ticket that was rated, in the same connection")
    kind: str = required("csat, nps or ces", **one_of("csat", "nps", "ces"))
    score: float = required("The answer, on the scale from score_min to score_max")
    score_min: float = required("Worst answer of the scale")
    score_max: float = required("Best answer of the scale")
    comment: str = optional("What the customer wrote")
    rated_at: Instant = required("Answered at, UTC", ge=EARLIEST)
    updated_at: Instant = optional("Last modified at the source, UTC", ge=EARLIEST)

    @pa.dataframe_check(error="score outside its scale")
    def score_is_on_its_scale(cls, data: IbisData) -> ir.BooleanColumn:
        table = data.table
        return (table.score >= table.score_min) & (table.score <= table.score_max)

    class Config(Table.Config):
        unique = ["connection", "stream", "rating_id"]
