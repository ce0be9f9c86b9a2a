"""One invoice or credit note; credit notes count negative."""

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.api.ibis.types import IbisData

from schemas.base import (
    COUNTRY,
    CURRENCY,
    EARLIEST,
    Instant,
    Money,
    Rate,
    Table,
    one_of,
    optional,
    required,
    within,
)


class Invoices(Table):
    """One invoice or credit note; credit notes count negative."""

    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    invoice_id: str = required("The system's own id", str_length={"min_value": 1, "max_value": 200})
    account_id: str = required("Account in the same connection")
    number: str = optional("Number that people know it by")
    owner_id: str = optional("Owner in the same connection")
    kind: str = required("invoice or credit_note", **one_of("invoice", "credit_note"))
    status: str = required("draft, posted or cancelled", **one_of("draft", "posted", "cancelled"))
    net_amount: Money = required("Net of tax, in `currency`", **within(-1_000_000_000, 1_000_000_000))
    total_amount: Money = optional("With tax, in `currency`", **within(-1_000_000_000, 1_000_000_000))
    open_amount: Money = optional("Still to be paid, in `currency`", **within(-1_000_000_000, 1_000_000_000))
    cost_amount: Money = optional("Cost of what was sold, in `currency`")
    currency: str = required("ISO 4217", str_matches=CURRENCY)
    reporting_net_amount: Money = optional("Net amount in the reporting currency")
    reporting_open_amount: Money = optional("Open amount in the reporting currency")
    reporting_cost_amount: Money = optional("Cost in the reporting currency")
    rate: Rate = optional("Reporting currency per unit of `currency`", gt=0)
    rate_on: dt.Date = optional("Date of the rate")
    ship_to_country: str = optional("Country delivered to, ISO 3166-1 alpha-2", str_matches=COUNTRY)
    invoice_on: dt.Date = required("Date of the invoice", ge=EARLIEST)
    due_on: dt.Date = optional("To be paid by", ge=EARLIEST)
    paid_on: dt.Date = optional("Paid in full on", ge=EARLIEST)
    updated_at: Instant = optional("Last modified at the source, UTC", ge=EARLIEST)

    @pa.dataframe_check(error="amount without a rate: unknown currency, or no rate near the date")
    def amount_is_converted(cls, data: IbisData) -> ir.BooleanColumn:
        return data.table.reporting_net_amount.notnull()

    @pa.dataframe_check(error="due before it was issued")
    def due_after_issue(cls, data: IbisData) -> ir.BooleanColumn:
        return data.table.due_on >= data.table.invoice_on

    class Config(Table.Config):
        unique = ["connection", "stream", "invoice_id"]
