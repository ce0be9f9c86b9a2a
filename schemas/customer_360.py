"""One row per customer for a quick overview: record, three scores, bands, strongest reasons."""

import ibis.expr.datatypes as dt

from schemas.base import Instant, Money, Table, optional, required


class Customer360(Table):
    """One row per customer for a quick overview: record, three scores, bands, strongest reasons."""

    customer_id: str = required("The customer, minted once and never re-used")
    name: str = required("Name")
    country: str = optional("Country, ISO 3166-1 alpha-2")
    account_manager: str = optional("Name of the account manager")
    account_executive: str = optional("Name of the account executive")
    status: str = required("active, prospect or churned")
    connections: str = required("Connections that hold the customer")
    is_oversized: bool = required("True when too many accounts were joined: to be reviewed, not written back")
    currency: str = required("Reporting currency of all amounts")
    revenue_l12_amount: Money = required("Net revenue in the 365 days up to as_of")
    open_amount: Money = required("Receivables still open")
    weighted_pipeline_amount: Money = required("Open deals, each times its probability")
    tickets_open: dt.Int64 = required("Tickets not yet solved")
    last_order_on: dt.Date = optional("Last order or invoice")
    last_contact_at: Instant = optional("Last completed activity, UTC")
    retention_score: float = optional("Retention, 0 to 100; the last one of a churned customer")
    retention_band: str = required("Band of the retention score")
    retention_change: float = optional("Change since 30 days before, or since the nearest built day")
    retention_reason: str = optional("Strongest reason in words")
    satisfaction_score: float = optional("Satisfaction, 0 to 100; the last one of a churned customer")
    satisfaction_band: str = required("Grade of the satisfaction score")
    satisfaction_change: float = optional("Change since 30 days before, or since the nearest built day")
    satisfaction_confidence: float = required("Confidence of the satisfaction score, 0 to 1")
    satisfaction_reason: str = optional("Strongest reason in words")
    key_account_score: float = optional("Key-account total, 1 to 10; the last one of a churned customer")
    key_account_change: float = optional("Change since 30 days before, or since the nearest built day")
    key_account_tier: str = required("Tier that counts")
    key_account_rank: dt.Int64 = optional("Rank among the eligible")
    key_account_reason: str = optional("Strongest reason in words")
    as_of: dt.Date = required("Date that the row is about")

    class Config(Table.Config):
        unique = ["customer_id"]
