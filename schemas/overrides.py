"""One word of a person against a computed score, with its reason and its end."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required


class Overrides(Table):
    """One word of a person against a computed score, with its reason and its end."""

    override_id: str = required("Made of customer, what it is about, author and day")
    customer_id: str = required("The customer, minted once and never re-used")
    what: str = required("retention, satisfaction, key_account, tier, or the name of a criterion")
    score: float = optional("The value that counts instead")
    tier: str = optional("The tier that counts instead", **one_of("A", "B", "C"))
    reason: str = required("Why")
    author: str = required("Who says so")
    created_on: dt.Date = required("From this day")
    expires_on: dt.Date = required("Until the day before this one")
    is_in_force: bool = required("True when it holds on as_of, and no newer one of the same thing does")
    as_of: dt.Date = required("Date that the row is about")

    class Config(Table.Config):
        unique = ["override_id"]
