"""One new customer that passes from its account executive to its account manager."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required


class Handovers(Table):
    """One new customer that passes from its account executive to its account manager."""

    customer_id: str = required("The customer, minted once and never re-used")
    connection: str = required("Connection of the deal")
    deal_id: str = required("The deal that won the customer")
    executive_key: str = optional("Who won it: e-mail, else connection/owner_id")
    executive: str = optional("Name of who won it")
    manager_key: str = optional("Who takes over: e-mail, else connection/owner_id")
    manager: str = optional("Name of who takes over")
    won_on: dt.Date = required("Day the deal was won")
    due_on: dt.Date = required("Date by which the handover should be accepted")
    accepted_on: dt.Date = optional("First conversation of the manager with the customer since then")
    status: str = required("pending, accepted or overdue", **one_of("pending", "accepted", "overdue"))
    is_rewin: bool = required("True when the customer had bought before, more than 365 days ago")
    missing_items: str = optional("What is still missing: manager, contact, order, meeting; separated by ', '")
    as_of: dt.Date = required("Date that the row is about")

    class Config(Table.Config):
        unique = ["customer_id", "connection", "deal_id"]
