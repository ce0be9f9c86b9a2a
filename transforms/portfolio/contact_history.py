"""What counts as having talked with a customer: calls, meetings, and e-mails that came from there."""

from datetime import date

import ibis
import ibis.expr.types as ir


def talks(activities: ir.Table, crosswalk: ir.Table) -> ir.Table:
    """List each customer's calls, meetings and e-mails by day; an e-mail that only went out is no talk.

    Tasks and notes are none either: else a reminder that was ticked off would count as the talk it asked for.
    """
    account_customers = crosswalk.select("connection", "account_id", "customer_id")
    owned = activities.inner_join(account_customers, ["connection", "account_id"])
    is_talk = owned.kind.isin(["call", "meeting"]) | ((owned.kind == "email") & (owned.direction != "outbound"))
    spoken = owned.filter(is_talk.coalesce(owned.kind == "email"))
    return spoken.select(
        "customer_id",
        "connection",
        "owner_id",
        "kind",
        "contact_id",
        status=spoken.status,
        on=spoken.happened_at.date(),
    )


def past_talks(talks: ir.Table, as_of: date) -> ir.Table:
    """Keep the talks that have taken place."""
    return talks.filter(talks.status.coalesce("done") == "done", talks.on <= as_of)


def planned_talks(talks: ir.Table, as_of: date) -> ir.Table:
    """Keep the calls and meetings that are to come."""
    to_come = talks.status.coalesce("planned") == "planned"
    return talks.filter(to_come, talks.on >= as_of, talks.kind != "email")


def last_talks(talks: ir.Table, as_of: date) -> ir.Table:
    """Tell of each customer the last talk, the last meeting, and the next one planned."""
    past, to_come = past_talks(talks, as_of), planned_talks(talks, as_of)
    last = past.group_by("customer_id").agg(talked_on=past.on.max(), met_on=past.on.max(where=past.kind == "meeting"))
    coming = to_come.group_by("customer_id").agg(planned_on=to_come.on.min())
    both = last.outer_join(coming, "customer_id")
    return both.select(
        "talked_on", "met_on", "planned_on", customer_id=both.customer_id.coalesce(both.customer_id_right)
    )


def activity_coverage(activities: ir.Table) -> ir.Table:
    """Answer one row, `is_known`: False where no system tells of activities, and silence means nothing."""
    return activities.agg(is_known=ibis._.count() > 0)
