"""How the list of key accounts changes when one criterion's weight is 10 % higher or lower."""

import ibis.expr.datatypes as dt

from schemas.base import Table, optional, required


class KeyAccountSensitivity(Table):
    """How the suggested tier A changes when one criterion's weight is 10 % higher or lower."""

    criterion: str = required("Name of the criterion")
    change_pct: dt.Int64 = required("Change of its weight in percent: -10 or 10", isin=[-10, 10])
    weight: float = required("Weight as configured", ge=0)
    places: dt.Int64 = required("Places of tier A", ge=0)
    members: dt.Int64 = required("Customers in the suggested tier A as it is", ge=0)
    entering: dt.Int64 = required("Customers that would enter it", ge=0)
    leaving: dt.Int64 = required("Customers that would leave it", ge=0)
    enter: str = optional("Ids of those that would enter, ten at most")
    leave: str = optional("Ids of those that would leave, ten at most")
    is_stable: bool = required("True when the list stays as it is")
    as_of: dt.Date = required("Date that the row is about")

    class Config(Table.Config):
        unique = ["criterion", "change_pct"]
