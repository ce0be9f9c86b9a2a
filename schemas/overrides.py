"""A person's override of a computed score, with reason and end."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required


class Overrides(Table):
    """A person's override of a computed score, with reason and end."""

    override_id: str = required("Id made of customer, overridden value, author and day")
    customer_id: str = required("The customer, minted once and never re-used")
    what: str = required("retention, satisfaction, key_account, tier, or the name of a criterion")
    score: float = optional("Value used instead of the computed one")
    tier: str = optional("Tier used instead of the computed one", **one_of("A", "B", "C"))
    reason: str = required("Reason for the override")
    author: str = required("Author of the override")
    created_on: dt.Date = required("First day of the override")
    expires_on: dt.Date = required("Day after the last day of the override")
    is_in_force: bool = required("True when it is valid on as_of and no newer override of the same value is")
    as_of: dt.Date = required("Date that the row is about")

    class Config(Table.Config):
        unique = ["override_id"]
