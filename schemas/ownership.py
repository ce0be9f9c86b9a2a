"""Who looked after a customer, from when to when."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required


class Ownership(Table):
    """Who looked after a customer, from when to when, as recorded by each build."""

    customer_id: str = required("The customer, minted once and never re-used")
    role: str = required("account_manager or account_executive", **one_of("account_manager", "account_executive"))
    owner_key: str = optional("The person across systems: e-mail, else connection/owner_id; null when there was none")
    owner: str = optional("Name")
    owner_email: str = optional("E-mail address")
    owner_ids: str = optional("JSON object: connection -> owner_id of that person")
    owner_region: str = optional("Region that the person works in")
    valid_from: dt.Date = required("First as_of of this owner")
    valid_to: dt.Date = optional("First as_of of the next owner; null while current")

    class Config(Table.Config):
        unique = ["customer_id", "role", "valid_from"]
