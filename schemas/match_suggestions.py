"""Two accounts that may be the same customer, for a person to judge."""

from schemas.base import Table, required, within


class MatchSuggestions(Table):
    """Two accounts that may be the same customer, for a person to judge."""

    left_connection: str = required("Connection of the first account")
    left_account_id: str = required("The first account")
    right_connection: str = required("Connection of the second account")
    right_account_id: str = required("The second account")
    rule: str = required("Rule that suggests it: probabilistic, domain, phone or name_country")
    score: float = required("Probability that they are one customer, 0 to 1", **within(0, 1))

    class Config(Table.Config):
        unique = ["left_connection", "left_account_id", "right_connection", "right_account_id"]
