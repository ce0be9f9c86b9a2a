"""Which account of which connection is which customer, and by which rule we know."""

import ibis.expr.datatypes as dt

from schemas.base import Table, required, within


class Crosswalk(Table):
    """Which account of which connection is which customer, and by which rule we know."""

    customer_id: str = required("The customer, minted once and never re-used")
    connection: str = required("Connection of the account")
    account_id: str = required("Account in that connection")
    rule: str = required(
        "Rule that joined it: link, redirect, tax_id, judgement, domain, phone, name_postcode, probabilistic or alone"
    )
    score: float = required("How sure, 0 to 1", **within(0, 1))
    since: dt.Date = required("Date of the build that first knew it")
    base_id: str = required("The customer that it would be without anybody's judgement")
    first_id: str = required("The customer that it was when it was first known")
    is_oversized: bool = required("True when the cluster is above the size cap: review, no write-back")

    class Config(Table.Config):
        unique = ["connection", "account_id"]
