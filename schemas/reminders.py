"""One task for an account manager."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required


class Reminders(Table):
    """One task for an account manager; the row disappears when the task is done or no longer due."""

    reminder_id: str = required("customer_id/kind/trigger: the same in every build while the task is due")
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
    note: str = required("Reason, in plain words; changes only when the facts change")
    due_on: dt.Date = required("Due date: a weekday, except for a renewal")
    priority: str = required("high, normal or low", **one_of("high", "normal", "low"))
    urgency: float = required("Periods overdue times relative revenue at risk, for sorting; changes every day", ge=0)
    tier: str = required("Tier of the customer", **one_of("A", "B", "C"))
    as_of: dt.Date = required("Date that the row is about")

    class Config(Table.Config):
        unique = ["reminder_id"]
