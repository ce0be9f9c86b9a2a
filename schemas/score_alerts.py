"""One fall of one score of one customer."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required


class ScoreAlerts(Table):
    """One fall of one score of one customer; the next alert needs a recovery of 5 points first."""

    alert_id: str = required("customer_id/score/day: stays the same while the fall lasts")
    customer_id: str = required("The customer, minted once and never re-used")
    customer_name: str = required("Name of the customer")
    account_manager: str = optional("Name of the account manager on the day of the fall")
    score: str = required(
        "retention, satisfaction or key_account", **one_of("retention", "satisfaction", "key_account")
    )
    kind: str = required("drop: by 10 of 100 points or more; band: into a worse band", **one_of("drop", "band"))
    opened_on: dt.Date = required("Day on which the fall was detected")
    value_before: float = optional("Value that it fell from")
    value: float = required("Value on that day")
    band_before: str = optional("Band that it fell from")
    band: str = required("Band on that day")
    changes: str = optional("JSON list of {code, text, points}: why, since 30 days before")
    recovered_on: dt.Date = optional("Day on which the value was 5 points above that of the fall")
    recovered_value: float = optional("Value on the day of the recovery")
    recovered_band: str = optional("Band on the day of the recovery")

    class Config(Table.Config):
        unique = ["alert_id"]
