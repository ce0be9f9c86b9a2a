"""One score of one customer on one day."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required, within


class ScoreHistory(Table):
    """One score of one customer on one day: what it was, why, and what has changed since the day compared with."""

    customer_id: str = required("The customer, minted once and never re-used")
    score: str = required(
        "retention, satisfaction or key_account", **one_of("retention", "satisfaction", "key_account")
    )
    as_of: dt.Date = required("Date that the score is about")
    state: str = required(
        "scored; no_data: too little is known; frozen: the customer has churned",
        **one_of("scored", "no_data", "frozen"),
    )
    value: float = optional("Computed value; null when frozen or without data")
    value_effective: float = optional("The value that counts: overridden, or computed")
    band: str = required("Band, grade or tier in force; churned when frozen")
    band_computed: str = optional("Band without an override; of key accounts the tier of the last review")
    confidence: float = optional("Confidence or coverage, 0 to 1", **within(0, 1))
    last_value: float = optional("The last value that counted, kept when frozen")
    last_on: dt.Date = optional("Date of the last value that counted")
    compared_on: dt.Date = optional("Day compared with: 30 days before, or the nearest built day")
    band_before: str = optional("Band on that day")
    delta: float = optional("Change of the value that counts since that day")
    changes: str = optional("JSON list of {code, text, points}: the points sum up to delta, within .01")
    low_since: dt.Date = optional("Day on which the score fell into its worst bands, until it is 5 points above them")
    low_value: float = optional("Value on that day")
    low_band: str = optional("Band on that day")
    override_id: str = optional("Override in force, if any")
    model_version: str = required("Version of the model")
    reasons: str = required("JSON list of {code, text, points}")
    parts: str = optional("JSON object of code: points, all reasons; changes are computed from them")

    class Config(Table.Config):
        unique = ["customer_id", "score", "as_of"]
