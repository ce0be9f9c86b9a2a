"""One customer as one system holds it."""

import ibis.expr.datatypes as dt

from schemas.base import COUNTRY, DOMAIN, EARLIEST, Instant, Money, Table, optional, required


class Accounts(Table):
    """One customer as one system holds it."""

    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    account_id: str = required("The system's own id", str_length={"min_value": 1, "max_value": 200})
    name: str = required("Name as the system holds it", str_length={"min_value": 1, "max_value": 500})
    tax_id: str = optional("VAT or tax number as the system holds it")
    domain: str = optional("Registered domain of the web site, lower case", str_matches=DOMAIN)
    email: str = optional("Main e-mail address")
    phone: str = optional("Main phone number as the system holds it")
    street: str = optional("Street and number")
    postal_code: str = optional("Postal code")
    city: str = optional("City")
    region: str = optional("State, province or sales region")
    country: str = optional("Country, ISO 3166-1 alpha-2", str_matches=COUNTRY)
    industry: str = optional("Industry as the system names it")
    employees: dt.Int64 = optional("Number of employees", ge=0)
    owner_id: str = optional("Owner in the same connection")
    parent_id: str = optional("Parent account in the same connection")
    credit_limit_amount: Money = optional("Credit limit, in the currency of the company that keeps the books")
    link_id: str = optional("Id of this customer's account in the linked connection (customer model: links)")
    merged_ids: str = optional("Ids merged into this account at the source, separated by ;")
    is_active: bool = required("False when the system has archived or blocked the account")
    created_at: Instant = optional("Created at the source, UTC", ge=EARLIEST)
    updated_at: Instant = optional("Last modified at the source, UTC", ge=EARLIEST)

    class Config(Table.Config):
        unique = ["connection", "stream", "account_id"]
