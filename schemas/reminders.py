"""One thing that an account manager should do."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required


class Reminders(Table):
    """One thing that an account manager should do; the row goes when it is done, or no longer due."""

    reminder_id: str = required("customer_id/kind/trigger: the same from night to night while the same thing is due")
    customer_id: str = required("The customer, minted once and never re-used")
    customer_name: str = required("Name of the customer")
    kind: str = required(
        "contact, quarterly_review, retention_fell, satisfaction_low, invoice_overdue, renewal or handover",
        **one_of(
            "contact",
            "quarterly_review",
            "retention_fell",
            "satisfaction_low",
            "invoice_overdue",
            "renewal",
            "handover",
        ),
    )
    owner: str = optional("Name of the account manager; null when there is none")
    owner_email: str = optional("E-mail address of the account manager")
    owner_ids: str = optional("JSON object: connection -> owner_id of the account manager")
    subject: str = required("What to do, in one line")
    note: str = required("Why, in plain words; changes only when the facts do")
    due_on: dt.Date = required("To be done by: a weekday, unless a contract or invoice names the day")
    priority: str = required("high, normal or low", **one_of("high", "normal", "low"))
    urgency: float = required("Periods overdue, times the revenue at risk: for sorting; moves every day", ge=0)
    tier: str = required("Tier of the customer", **one_of("A", "B", "C"))
    as_of: dt.Date = required("Date that the row is about")

    class Config(Table.Config):
        unique = ["reminder_id"]
