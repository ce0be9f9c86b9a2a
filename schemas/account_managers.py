"""Retention and current state of an account manager's customers, in one period."""

import ibis.expr.datatypes as dt

from schemas.base import Money, Table, one_of, optional, required


class AccountManagers(Table):
    """Retention and current state of the customers that an account manager had at the start of a period."""

    period: str = required("month, quarter or year, up to as_of", **one_of("month", "quarter", "year"))
    manager_key: str = required("The person across systems: e-mail, else connection/owner_id")
    manager: str = optional("Name")
    region: str = optional("Region that the person works in")
    starts_on: dt.Date = required("First day of the period: as_of minus 30, 91 or 365 days")
    accounts_start: dt.Int64 = required("Customers with revenue in the 12 months up to the start", ge=0)
    accounts_retained: dt.Int64 = required("Those of them with revenue in the 12 months up to as_of", ge=0)
    accounts_lost: dt.Int64 = required("Those of them without revenue in those 12 months", ge=0)
    accounts_end: dt.Int64 = required("Active customers looked after now", ge=0)
    base_amount: Money = required("Net revenue in the 12 months up to the start, of those that had some")
    retained_amount: Money = required("Retained revenue: per customer, the smaller amount of the two years")
    end_amount: Money = required("Their net revenue in the 12 months up to as_of")
    expansion_amount: Money = required("Expansion: revenue growth of retained customers")
    contraction_amount: Money = required("Contraction: revenue decline of retained customers")
    churned_amount: Money = required("Churned revenue: base amount less end amount of lost customers")
    new_amount: Money = required("Net revenue up to as_of of customers that had none at the start; in no ratio")
    logo_retention: float = optional("accounts_retained / accounts_start")
    grr: float = optional("Gross revenue retention: retained_amount / base_amount")
    nrr: float = optional("Net revenue retention: end_amount / base_amount")
    account_growth: float = optional("nrr - 1")
    satisfaction: float = optional("Satisfaction of active customers now, weighted by confidence + .1")
    key_accounts: dt.Int64 = required("Customers of tier A now", ge=0)
    key_accounts_at_risk: dt.Int64 = required("Those with retention or satisfaction below 50", ge=0)
    at_risk_amount: Money = required("Revenue at risk now")
    contacts_due: dt.Int64 = required("Customers whose tier has a contact cadence", ge=0)
    contacts_kept: dt.Int64 = required("Those contacted in time", ge=0)
    cadence_kept: float = optional("contacts_kept / contacts_due")
    overdue_amount: Money = required("Receivables past their due date now")
    urgent_tickets: dt.Int64 = required("Urgent tickets open now", ge=0)
    as_of: dt.Date = required("Last day of the period")
    accounts_received: dt.Int64 = required("Customers handed over since the start", ge=0)

    class Config(Table.Config):
        unique = ["period", "manager_key"]
