"""One payment received or sent."""

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.api.ibis.types import IbisData

from schemas.base import CURRENCY, EARLIEST, Instant, Money, Rate, Table, one_of, optional, required, within


class Payments(Table):
    """One payment received or sent."""

    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    payment_id: str = required("The system's own id", str_length={"min_value": 1, "max_value": 200})
    account_id: str = optional("Account in the same connection")
    invoice_id: str = optional("Invoice in the same connection that it settles")
    kind: str = required("inbound or outbound", **one_of("inbound", "outbound"))
    status: str = required("draft, posted or cancelled", **one_of("draft", "posted", "cancelled"))
    amount: Money = required("Amount in `currency`", **within(0, 1_000_000_000))
    currency: str = required("ISO 4217", str_matches=CURRENCY)
    reporting_amount: Money = optional("Amount in the reporting currency")
    rate: Rate = optional("Reporting currency per unit of `currency`", gt=0)
    rate_on: dt.Date = optional("Date of the rate")
    paid_on: dt.Date = required("Date of the payment", ge=EARLIEST)
    updated_at: Instant = optional("Last modified at the source, UTC", ge=EARLIEST)

    @pa.dataframe_check(error="amount without a rate: unknown currency, or no rate near the date")
    def amount_is_converted(cls, data: IbisData) -> ir.BooleanColumn:
        return data.table.reporting_amount.notnull()

    class Config(Table.Config):
        unique = ["connection", "stream", "payment_id"]
