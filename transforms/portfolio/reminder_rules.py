"""The kinds of reminders, one function each: customer, trigger, due date, subject, note and period.

The trigger is the fact that makes the task due; it is part of the reminder's id, which stays while the fact does.
Notes contain dates, never a number of days ago: a note that changed every night would be delivered every night.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import as_text
from transforms.joins import with_customer

SOON = 3  # days before the due date that a reminder appears; a conversation planned within them settles it
RESPONSE_DAYS = 7  # to respond to the fall of a score
STALE = 90  # days after which an overdue handover or renewal is dropped
RISKY = ("at_risk", "critical")
POOR = ("D", "F")
MIN_CONFIDENCE = 0.3  # of a satisfaction score, below which its fall is no reason to act


def contact(people: ir.Table, *, as_of: date, cadence_days: Mapping[str, int]) -> ir.Table:
    """A customer without a conversation for as long as its tier allows."""
    since = ibis.greatest(people.talked_on, people.accepted_on).coalesce(people.first_order_on)
    quiet = _due_by_tier(people.filter(people.is_known), since, cadence_days, as_of)
    return _reminder(
        quiet,
        "contact",
        trigger=quiet.since.cast("string"),
        due_on=_weekday(quiet.due_on),
        subject=as_text("Talk with ") + quiet.customer_name,
        note=_cadence_note(
            quiet, quiet.talked_on, "No call, meeting or e-mail from the customer is on record", "Last conversation on "
        ),
        period=quiet.period,
    )


def quarterly_review(people: ir.Table, *, as_of: date, review_days: Mapping[str, int]) -> ir.Table:
    """A customer without a meeting for as long as its tier allows (a quarter for key accounts)."""
    since = people.met_on.coalesce(people.accepted_on).coalesce(people.first_order_on)
    late = _due_by_tier(people.filter(people.is_known), since, review_days, as_of)
    return _reminder(
        late,
        "quarterly_review",
        trigger=late.since.cast("string"),
        due_on=_weekday(late.due_on),
        subject=as_text("Hold the quarterly review with ") + late.customer_name,
        note=_cadence_note(late, late.met_on, "No meeting is on record", "Last meeting on "),
        period=late.period,
    )


def retention_fell(people: ir.Table, score_history: ir.Table) -> ir.Table:
    """A customer whose retention is at risk or critical, by the day on which it fell."""
    fallen = _low_scores(people, score_history, "retention", RISKY)
    return _reminder(
        fallen,
        "retention_fell",
        trigger=fallen.low_since.cast("string"),
        due_on=_answer_by(fallen.low_since),
        subject=as_text("Win back ") + fallen.customer_name + ": unlikely to order soon",
        note=_fall_note(fallen, "Retention was ", " of 100 (", fallen.low_band.replace("_", " ")),
        period=ibis.literal(RESPONSE_DAYS),
    )


def satisfaction_low(people: ir.Table, score_history: ir.Table) -> ir.Table:
    """A customer with satisfaction D or F, where the score is confident enough."""
    confident = score_history.filter(score_history.confidence >= MIN_CONFIDENCE)
    fallen = _low_scores(people, confident, "satisfaction", POOR)
    return _reminder(
        fallen,
        "satisfaction_low",
        trigger=fallen.low_since.cast("string"),
        due_on=_answer_by(fallen.low_since),
        subject=as_text("Ask ") + fallen.customer_name + " why it is dissatisfied",
        note=_fall_note(fallen, "Satisfaction was ", " of 100 (grade ", fallen.low_band),
        period=ibis.literal(RESPONSE_DAYS),
    )


def invoice_overdue(people: ir.Table, invoices: ir.Table, crosswalk: ir.Table, *, as_of: date, days: int) -> ir.Table:
    """A customer with invoices overdue by more than `days`: one reminder, by the oldest of them.

    The note has the amount only where all invoices share a currency: a converted amount would change every day.
    """
    t = people.inner_join(_overdue(invoices, crosswalk, as_of, days), "customer_id")
    count = ibis.ifelse(t.number == 1, "1 invoice is", t.number.cast("string") + " invoices are")
    amount = as_text(": ") + t.amount.cast("string") + " " + t.owed_in
    shared = ibis.ifelse(t.currencies == 1, amount, "")
    return _reminder(
        t,
        "invoice_overdue",
        trigger=t.oldest,
        due_on=_weekday(t.oldest_on + ibis.literal(timedelta(days=days + 1))),
        subject=as_text("Ask ") + t.customer_name + " about overdue invoices",
        note=count + " overdue" + shared + "; the oldest since " + t.oldest_on.cast("string") + ".",
        period=ibis.literal(days + 1),
    )


def renewal(people: ir.Table, deals: ir.Table, crosswalk: ir.Table, *, as_of: date, days: int) -> ir.Table:
    """An open deal of existing business that closes soon; a stand-in, because no source has contracts yet."""
    soon = (deals.status == "open") & (deals.kind == "existing") & (deals.close_on <= as_of + timedelta(days=days))
    coming = with_customer(deals.filter(soon, deals.close_on >= as_of - timedelta(days=STALE)), crosswalk)
    coming = coming.select("customer_id", "close_on", key=coming.connection + "/" + coming.deal_id).distinct()
    t = people.inner_join(coming, "customer_id")
    return _reminder(
        t,
        "renewal",
        trigger=t.key,
        due_on=t.close_on,
        subject=as_text("Renew with ") + t.customer_name,
        note=as_text("An open deal of existing business is expected to close on ") + t.close_on.cast("string") + ".",
        period=ibis.literal(days),
    )


def handover(people: ir.Table, handovers: ir.Table, *, as_of: date) -> ir.Table:
    """A new customer that its account manager has not contacted since it was won."""
    waiting = handovers.filter(handovers.status != "accepted", handovers.won_on >= as_of - timedelta(days=STALE))
    waiting = waiting.select(
        "customer_id", "executive", "won_on", "due_on", key=waiting.connection + "/" + waiting.deal_id
    )
    t = people.inner_join(waiting, "customer_id")
    return _reminder(
        t,
        "handover",
        trigger=t.key,
        due_on=_weekday(t.due_on),
        subject=as_text("Take over ") + t.customer_name + " from sales",
        note=as_text("Won on ")
        + t.won_on.cast("string")
        + ibis.ifelse(t.executive.isnull(), "", as_text(" by ") + t.executive)
        + "; no conversation with the account manager since.",
        period=ibis.literal(14),
    )


def _cadence_note(t: ir.Table, last: ir.DateValue, never: str, last_text: str) -> ir.StringValue:
    """Say when the last contact was, and how often the tier requires one."""
    when = ibis.ifelse(last.isnull(), never, as_text(last_text) + t.since.cast("string"))
    return when + "; tier " + t.tier + " requires one every " + t.period.cast("string") + " days."


def _fall_note(t: ir.Table, score: str, of: str, band: ir.StringValue) -> ir.StringValue:
    value = t.low_value.round(0).cast("int64").cast("string")
    return as_text(score) + value + of + band + ") on " + t.low_since.cast("string") + "."


def _overdue(invoices: ir.Table, crosswalk: ir.Table, as_of: date, days: int) -> ir.Table:
    """Sum up each customer's invoices that are overdue by more than `days`."""
    is_late = (invoices.status == "posted") & (invoices.kind == "invoice") & (invoices.invoice_on <= as_of)
    is_late = is_late & (invoices.open_amount > 0) & (invoices.due_on < as_of - timedelta(days=days))
    late = with_customer(invoices.filter(is_late), crosswalk)
    return late.group_by("customer_id").agg(
        oldest=(late.due_on.cast("string") + "/" + late.connection + "/" + late.invoice_id).min(),
        oldest_on=late.due_on.min(),
        number=late.count(),
        currencies=late.currency.nunique(),
        owed_in=late.currency.min(),
        amount=late.open_amount.sum().cast("decimal(18, 2)"),
    )


def _due_by_tier(people: ir.Table, since: ir.DateValue, days: Mapping[str, int], as_of: date) -> ir.Table:
    """Return the active customers that are due by the days of their tier, unless a conversation is planned soon."""
    if not days:
        return people.mutate(since=since, period=ibis.literal(1), due_on=since).limit(0)
    period = ibis.cases(*((people.tier == tier, ibis.literal(n, "int64")) for tier, n in days.items()))
    due = ibis.cases(*((people.tier == tier, since + ibis.literal(timedelta(days=n))) for tier, n in days.items()))
    t = people.mutate(since=since, period=period, due_on=due.cast("date"))
    latest = ibis.greatest(t.due_on, ibis.literal(as_of)) + ibis.literal(timedelta(days=SOON))
    is_planned = (t.planned_on <= latest).coalesce(False)
    return t.filter(t.status == "active", t.due_on <= as_of + timedelta(days=SOON), ~is_planned)


def _low_scores(people: ir.Table, scores: ir.Table, score: str, bands: Sequence[str]) -> ir.Table:
    """Return the watched customers whose score is in these bands, with the day on which it fell."""
    low = scores.filter(scores.score == score, scores.band.isin(bands), scores.low_since.notnull())
    t = people.inner_join(low.select("customer_id", "low_since", "low_value", "low_band"), "customer_id")
    return t.filter(t.status == "active", t.is_watched)


def _reminder(
    table: ir.Table,
    kind: str,
    *,
    trigger: ir.StringValue,
    due_on: ir.DateValue,
    subject: ir.StringValue,
    note: ir.StringValue,
    period: ir.IntegerValue,
) -> ir.Table:
    return table.select(
        "customer_id",
        kind=as_text(kind),
        trigger=trigger,
        due_on=due_on.cast("date"),
        subject=subject,
        note=note,
        period=period.cast("int64"),
    )


def _answer_by(since: ir.DateValue) -> ir.DateValue:
    return _weekday(since + ibis.literal(timedelta(days=RESPONSE_DAYS)))


def _weekday(day: ir.DateValue) -> ir.DateValue:
    """Move a Saturday or Sunday to the Monday after."""
    day = day.cast("date")
    weekday = day.day_of_week.index()
    later = [(weekday == weekend, day + ibis.literal(timedelta(days=7 - weekend))) for weekend in (5, 6)]
    return ibis.cases(*later, else_=day).cast("date")
