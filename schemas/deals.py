"""One chance to sell, open or closed."""

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.api.ibis.types import IbisData

from schemas.base import CURRENCY, EARLIEST, Instant, Money, Rate, Table, one_of, optional, required, within


class Deals(Table):
    """One chance to sell, open or closed."""

    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    deal_id: str = required("The system's own id", str_length={"min_value": 1, "max_value": 200})
    account_id: str = optional("Account in the same connection")
    name: str = optional("Name of the deal")
    owner_id: str = optional("Owner in the same connection")
    status: str = required("open, won or lost", **one_of("open", "won", "lost"))
    stage: str = optional("Stage as the system names it")
    probability: float = optional("Chance of winning, 0 to 1", **within(0, 1))
    amount: Money = optional("Amount in `currency`", **within(0, 1_000_000_000))
    currency: str = optional("ISO 4217", str_matches=CURRENCY)
    reporting_amount: Money = optional("Amount in the reporting currency")
    rate: Rate = optional("Reporting currency per unit of `currency`", gt=0)
    rate_on: dt.Date = optional("Date of the rate")
    lead_source: str = optional("Where the deal came from")
    kind: str = optional("new or existing business", **one_of("new", "existing"))
    close_on: dt.Date = optional("Closed on, or expected to close on")
    created_at: Instant = optional("Created at the source, UTC", ge=EARLIEST)
    updated_at: Instant = optional("Last modified at the source, UTC", ge=EARLIEST)

    @pa.dataframe_check(error="amount without a rate: unknown currency, or no rate near the date")
    def amount_is_converted(cls, data: IbisData) -> ir.BooleanColumn:
        table = data.table
        return table.amount.isnull() | table.reporting_amount.notnull()

    @pa.dataframe_check(error="closed before it was created")
    def closes_after_creation(cls, data: IbisData) -> ir.BooleanColumn:
        table = data.table
        return (table.status == "open") | (table.close_on >= table.created_at.date())

    class Config(Table.Config):
        unique = ["connection", "stream", "deal_id"]
