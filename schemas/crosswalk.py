"""The customer of each account, and the rule that matched it."""

import ibis.expr.datatypes as dt

from schemas.base import Table, required, within


class Crosswalk(Table):
    """The customer of each account, and the rule that matched it."""

    customer_id: str = required("The customer, minted once and never re-used")
    connection: str = required("Connection of the account")
    account_id: str = required("Account in that connection")
    rule: str = required(
        "Rule that joined it: link, redirect, tax_id, judgement, domain, phone, name_postcode, probabilistic or alone"
    )
    score: float = required("Probability that the match is right, 0 to 1", **within(0, 1))
    since: dt.Date = required("Date of the first build that contained the account")
    base_id: str = required("Customer by the match rules alone, without judgements")
    first_id: str = required("Customer in that first build")
    is_oversized: bool = required("True when the customer has too many accounts: to be reviewed, not written back")

    class Config(Table.Config):
        unique = ["connection", "account_id"]
