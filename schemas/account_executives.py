"""Results of an account executive, in one period."""

import ibis.expr.datatypes as dt

from schemas.base import Money, Table, one_of, optional, required


class AccountExecutives(Table):
    """What an account executive has won in a period, how fast, and how many of those customers stayed."""

    period: str = required("month, quarter or year, up to as_of", **one_of("month", "quarter", "year"))
    executive_key: str = required("The person across systems: e-mail, else connection/owner_id")
    executive: str = optional("Name")
    region: str = optional("Region that the person works in")
    starts_on: dt.Date = required("First day of the period: as_of minus 30, 91 or 365 days")
    new_accounts: dt.Int64 = required("Customers won: nothing bought in the 365 days before", ge=0)
    new_bookings_amount: Money = required("Amounts of the deals that won them")
    new_revenue_amount: Money = required("Net invoices of those customers since, up to as_of")
    deals_won: dt.Int64 = required("Deals won", ge=0)
    deals_lost: dt.Int64 = required("Deals lost", ge=0)
    win_rate: float = optional("deals_won / (deals_won + deals_lost)")
    cycle_days: float = optional("Mean days from the creation of won deals to their close")
    weighted_pipeline_amount: Money = required("Open deals now, each times its probability")
    handovers: dt.Int64 = required("Handovers that were due or accepted in the period", ge=0)
    handovers_on_time: dt.Int64 = required("Those accepted in time", ge=0)
    handover_rate: float = optional("handovers_on_time / handovers")
    early_accounts: dt.Int64 = required("Customers won 12 to 24 months ago", ge=0)
    early_churned: dt.Int64 = required("Those of them that bought nothing in the last 12 months", ge=0)
    early_churn: float = optional("early_churned / early_accounts")
    as_of: dt.Date = required("Last day of the period")

    class Config(Table.Config):
        unique = ["period", "executive_key"]
