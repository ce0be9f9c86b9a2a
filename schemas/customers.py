"""One customer: the unified record, each field with its provenance."""

import ibis.expr.datatypes as dt

from schemas.base import Instant, Money, Table, one_of, optional, required


class Customers(Table):
    """One customer: the unified record, each field with its provenance."""

    customer_id: str = required("The customer, minted once and never re-used")
    name: str = required("Surviving name")
    tax_id: str = optional("Surviving tax number")
    domain: str = optional("Surviving domain")
    email: str = optional("Surviving e-mail address")
    phone: str = optional("Surviving phone number")
    street: str = optional("Surviving street")
    postal_code: str = optional("Surviving postal code")
    city: str = optional("Surviving city")
    region: str = optional("Surviving region")
    country: str = optional("Surviving country, ISO 3166-1 alpha-2")
    industry: str = optional("Surviving industry")
    employees: dt.Int64 = optional("Surviving number of employees")
    account_manager: str = optional("Name of the account manager")
    account_executive: str = optional("Name of the account executive")
    status: str = required("active, prospect or churned", **one_of("active", "prospect", "churned"))
    connections: str = required("Connections that hold the customer, in order, separated by ', '")
    accounts_count: dt.Int64 = required("Number of accounts joined into the customer", ge=1)
    is_oversized: bool = required("True when too many accounts were joined: to be reviewed, not written back")
    currency: str = required("Reporting currency of all amounts")
    revenue_l12_amount: Money = required("Net revenue in the 365 days up to as_of")
    revenue_p12_amount: Money = required("Net revenue in the 365 days before that year")
    revenue_amount: Money = required("Net revenue of all time")
    open_amount: Money = required("Receivables still open")
    overdue_amount: Money = required("Receivables past their due date")
    payment_state: str = optional(
        "overdue, open or paid, by its receivables; null when it never had an invoice",
        **one_of("overdue", "open", "paid"),
    )
    last_invoice_on: dt.Date = optional("Last posted invoice")
    pipeline_amount: Money = required("Amount of open deals")
    weighted_pipeline_amount: Money = required("Open deals, each times its probability")
    deals_won: dt.Int64 = required("Deals won", ge=0)
    deals_lost: dt.Int64 = required("Deals lost", ge=0)
    tickets_open: dt.Int64 = required("Tickets not yet solved", ge=0)
    first_order_on: dt.Date = optional("First order or invoice")
    last_order_on: dt.Date = optional("Last order or invoice")
    last_contact_at: Instant = optional("Last completed activity, UTC")
    provenance: str = required("JSON: field -> connection, account_id, at")

    class Config(Table.Config):
        unique = ["customer_id"]
