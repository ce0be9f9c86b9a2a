"""One criterion of one customer: what was measured, what it scores, what it adds."""

import ibis.expr.datatypes as dt

from schemas.base import Table, optional, required, within


class KeyAccountCriteria(Table):
    """One criterion of one customer: what was measured, what it scores, what it adds."""

    customer_id: str = required("The customer, minted once and never re-used")
    criterion: str = required("Name of the criterion")
    group: str = required("growth, harmony or value_creation")
    weight: float = required("Weight as configured", ge=0)
    measured: float = optional("What was measured, in the criterion's own unit; null when there is no data")
    score: float = required("Computed score, 5.5 where there is no data", **within(1, 10))
    score_effective: float = required("The score that counts: overridden, or computed", **within(1, 10))
    contribution: float = required("weight x (score - 5.5) / sum of weights")
    override_id: str = optional("Override in force, if any")
    as_of: dt.Date = required("Date that the score is about")

    class Config(Table.Config):
        unique = ["customer_id", "criterion"]
