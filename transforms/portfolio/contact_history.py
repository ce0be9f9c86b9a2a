"""Conversations with customers: calls, meetings, and e-mails that came from the customer."""

from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.joins import with_customer


def talks(activities: ir.Table, crosswalk: ir.Table) -> ir.Table:
    """Return each customer's calls, meetings and e-mails, with their day.

    Grain: one activity. An e-mail that we sent is no conversation, an e-mail of unknown direction is one.
    Tasks and notes are left out: a completed reminder task would otherwise count as the conversation it asked for.
    """
    owned = with_customer(activities, crosswalk)
    is_talk = owned.kind.isin(["call", "meeting"]) | ((owned.kind == "email") & (owned.direction != "outbound"))
    spoken = owned.filter(is_talk.coalesce(owned.kind == "email"))
    columns = ("customer_id", "connection", "owner_id", "kind", "contact_id", "status")
    return spoken.select(*columns, on=spoken.happened_at.date())


def past_talks(talks: ir.Table, as_of: date) -> ir.Table:
    """Return the conversations that took place by a date."""
    return talks.filter(talks.status.coalesce("done") == "done", talks.on <= as_of)


def planned_talks(talks: ir.Table, as_of: date) -> ir.Table:
    """Return the calls and meetings planned for a date or later."""
    is_planned = talks.status.coalesce("planned") == "planned"
    return talks.filter(is_planned, talks.on >= as_of, talks.kind != "email")


def last_talks(talks: ir.Table, as_of: date) -> ir.Table:
    """Return the days of each customer's last conversation, last meeting and next planned one.

    Grain: customer_id.
    """
    past, planned = past_talks(talks, as_of), planned_talks(talks, as_of)
    last = past.group_by("customer_id").agg(talked_on=past.on.max(), met_on=past.on.max(where=past.kind == "meeting"))
    coming = planned.group_by("customer_id").agg(planned_on=planned.on.min())
    both = last.outer_join(coming, "customer_id")
    customer = both.customer_id.coalesce(both.customer_id_right)
    return both.select("talked_on", "met_on", "planned_on", customer_id=customer)


def activity_coverage(activities: ir.Table) -> ir.Table:
    """Return one row, `is_known`: false where no system has activities, so that their absence means nothing."""
    return activities.agg(is_known=ibis._.count() > 0)
