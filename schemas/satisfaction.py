"""Satisfaction score of each customer, its confidence, and reasons."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required, within


class Satisfaction(Table):
    """Satisfaction score of each customer, its confidence, and reasons."""

    customer_id: str = required("The customer, minted once and never re-used")
    value: float = required("0 to 100, shrunk to the portfolio", **within(0, 100))
    value_effective: float = required("The value that counts: overridden, or computed", **within(0, 100))
    confidence: float = required("Share of the value that rests on the customer's own data", **within(0, 1))
    confidence_band: str = required(
        "high, medium, low or insufficient", **one_of("high", "medium", "low", "insufficient")
    )
    band: str = required(
        "Grade A to F, or unknown below the lowest confidence", **one_of("A", "B", "C", "D", "F", "unknown")
    )
    csat: float = optional("Component csat, 0 to 100")
    nps: float = optional("Component nps, 0 to 100")
    ces: float = optional("Component ces, 0 to 100")
    sla_first: float = optional("Component first reply in time, 0 to 100")
    sla_resolution: float = optional("Component solved in time, 0 to 100")
    reopen: float = optional("Component not reopened, 0 to 100")
    backlog: float = optional("Component backlog, 0 to 100")
    csat_low: float = optional("Wilson interval of the good ratings, lower end, 0 to 1")
    csat_high: float = optional("Wilson interval of the good ratings, upper end, 0 to 1")
    response_rate: float = optional("Share of the solved tickets that were rated, 0 to 1", **within(0, 1))
    response_low: float = optional("Wilson interval of the response rate, lower end", **within(0, 1))
    response_high: float = optional("Wilson interval of the response rate, upper end", **within(0, 1))
    ratings: dt.Int64 = required("Ratings in the window", ge=0)
    tickets: dt.Int64 = required("Tickets in the window", ge=0)
    reasons: str = required("JSON list of {code, text, points}: the points sum up to value - portfolio value")
    override_id: str = optional("Override in force, if any")
    model_version: str = required("Version of the priors")
    as_of: dt.Date = required("Date that the score is about")

    class Config(Table.Config):
        unique = ["customer_id"]
