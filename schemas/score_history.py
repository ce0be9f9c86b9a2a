"""One score of one customer on one day."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required, within


class ScoreHistory(Table):
    """One score of one customer on one day."""

    customer_id: str = required("The customer, minted once and never re-used")
    score: str = required(
        "retention, satisfaction or key_account", **one_of("retention", "satisfaction", "key_account")
    )
    as_of: dt.Date = required("Date that the score is about")
    value: float = optional("Effective value")
    band: str = required("Band, grade or tier")
    confidence: float = optional("Confidence or coverage, 0 to 1", **within(0, 1))
    model_version: str = required("Version of the model")
    reasons: str = required("JSON list of {code, text, points}")

    class Config(Table.Config):
        unique = ["customer_id", "score", "as_of"]
