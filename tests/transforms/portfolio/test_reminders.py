"""What account managers are reminded of, and that a reminder is the same one from night to night."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from transforms.portfolio.reminders import KINDS, reminders

AS_OF = date(2026, 6, 30)  # a Tuesday
WANTED: dict[str, Any] = {
    "cadence_days": {"A": 14, "B": 30},
    "review_days": {"A": 91},
    "risk_tiers": ["A", "B"],
    "invoice_days": 15,
    "renewal_days": 60,
}
READS = (
    *("customers", "crosswalk", "deals", "invoices", "activities", "retention"),
    *("key_accounts", "score_history", "ownership", "handovers"),
)
HELD = {"connection": "hubspot", "account_id": "1"}
QUIET = {"activities": [HELD | {"kind": "note", "status": "done", "happened_at": datetime(2026, 1, 1, tzinfo=UTC)}]}


@pytest.fixture
def due(rows):
    """List the reminders of one customer; tables are given by name, as rows."""

    def build(as_of: date = AS_OF, tier: str = "A", options: Any = None, **fields: Any) -> list[dict[str, Any]]:
        about = {"customer_id": "C1", "name": "Hansa", "status": "active", "is_oversized": False, "currency": "EUR"}
        tables = {
            "crosswalk": [HELD | {"customer_id": "C1"}],
            "key_accounts": [{"customer_id": "C1", "tier": tier}],
            **fields,
            "customers": [about | fields.get("customers", {})],
        }
        table = reminders(
            *(rows(name, *tables.get(name, ())) for name in READS), as_of=as_of, **WANTED | (options or {})
        )
        return table.order_by("reminder_id").to_pyarrow().to_pylist()

    return build


def talk(on: date, kind: str = "call", **fields: Any) -> dict[str, Any]:
    return (
        HELD
        | {"kind": kind, "status": "done", "happened_at": datetime(on.year, on.month, on.day, 9, tzinfo=UTC)}
        | fields
    )


def kinds(result: list[dict[str, Any]]) -> list[str]:
    return [row["kind"] for row in result]


def only(result: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (row,) = [row for row in result if row["kind"] == kind]
    return row


def test_a_talk_is_due_when_the_days_of_the_tier_are_over(due):
    row = only(due(activities=[talk(date(2026, 6, 9))]), "contact")
    assert (row["reminder_id"], row["due_on"]) == ("C1/contact/2026-06-09", date(2026, 6, 23))
    assert row["subject"] == "Talk with Hansa"
    assert row["note"] == "Last conversation on 2026-06-09; tier A requires one every 14 days."
    assert (row["priority"], row["urgency"]) == ("high", 0.5)


def test_each_tier_has_its_own_days_and_a_tier_without_any_has_no_cadence(due):
    last = [talk(date(2026, 6, 9))]
    assert [kinds(due(tier=tier, activities=last)) for tier in "ABC"] == [["contact"], [], []]
    assert kinds(due(tier="C", activities=last, options={"cadence_days": {"C": 7}})) == ["contact"]


def test_the_same_thing_due_keeps_its_id_and_its_words_from_night_to_night(due):
    last = [talk(date(2026, 6, 9))]
    first, later = (only(due(as_of, activities=last), "contact") for as_of in (AS_OF, AS_OF + timedelta(days=5)))
    assert later["urgency"] > first["urgency"]
    moving = {"urgency", "as_of"}
    assert {key: later[key] for key in later.keys() - moving} == {key: first[key] for key in first.keys() - moving}


def test_a_reminder_goes_when_it_is_done_and_the_next_one_is_another(due):
    before = due(activities=[talk(date(2026, 6, 9))])
    assert due(activities=[talk(date(2026, 6, 9)), talk(AS_OF)]) == []
    after = due(AS_OF + timedelta(days=14), activities=[talk(date(2026, 6, 9)), talk(AS_OF)])
    assert only(after, "contact")["reminder_id"] != only(before, "contact")["reminder_id"]


@pytest.mark.parametrize(
    "no_talk",
    [
        {"kind": "note"},
        {"kind": "task"},
        {"kind": "email", "direction": "outbound"},
        {"status": "cancelled"},
        {"status": "planned"},
    ],
)
def test_a_ticked_off_task_a_note_or_an_unanswered_mail_is_no_talk(due, no_talk: dict[str, Any]):
    result = due(activities=[talk(date(2026, 6, 9)), talk(date(2026, 6, 29), **no_talk)])
    assert only(result, "contact")["reminder_id"] == "C1/contact/2026-06-09"


def test_a_meeting_planned_soon_settles_it(due):
    last = talk(date(2026, 6, 9))
    assert due(activities=[last, talk(date(2026, 7, 3), "meeting", status="planned")]) == []
    assert kinds(due(activities=[last, talk(date(2026, 7, 4), "meeting", status="planned")])) == ["contact"]


def test_no_reminder_is_due_on_a_weekend(due):
    last = talk(date(2026, 6, 13))  # a Saturday, and so is the day two weeks later
    assert only(due(activities=[last]), "contact")["due_on"] == date(2026, 6, 29)


def test_where_no_system_tells_of_activities_silence_means_nothing(due):
    never = {"customers": {"first_order_on": date(2025, 1, 1)}}
    assert due(**never) == []
    assert kinds(due(**never, **QUIET)) == ["contact", "quarterly_review"]


def test_nobody_is_sent_to_customers_that_have_gone_or_are_under_review(due):
    last = [talk(date(2026, 6, 9))]
    for about in ({"status": "churned"}, {"status": "prospect"}, {"is_oversized": True}):
        assert due(activities=last, customers=about) == []


def test_a_key_account_wants_a_meeting_a_quarter(due):
    observed_rows = [talk(date(2026, 3, 30), "meeting"), talk(date(2026, 6, 29))]
    row = only(due(activities=observed_rows), "quarterly_review")
    assert (row["reminder_id"], row["due_on"]) == ("C1/quarterly_review/2026-03-30", date(2026, 6, 29))
    assert due(tier="B", activities=observed_rows) == []


def fallen(score: str, **fields: Any) -> dict[str, Any]:
    stored = {"score": score, "as_of": AS_OF, "low_since": date(2026, 6, 1)}
    low = {
        "retention": {"band": "critical", "low_value": 48.4, "low_band": "at_risk"},
        "satisfaction": {"band": "F", "low_value": 44.0, "low_band": "D", "confidence": 0.4},
    }
    return {"customer_id": "C1"} | stored | low[score] | fields


def test_a_fall_of_retention_is_one_reminder_by_the_day_it_fell(due):
    row = only(due(score_history=[fallen("retention")]), "retention_fell")
    assert (row["reminder_id"], row["due_on"]) == ("C1/retention_fell/2026-06-01", date(2026, 6, 8))
    assert row["note"] == "Retention was 48 of 100 (at risk) on 2026-06-01."


def test_a_customer_that_is_better_now_and_one_of_a_tier_that_is_not_watched_raise_nothing(due):
    assert due(score_history=[fallen("retention", band="watch")]) == []
    assert due(tier="C", score_history=[fallen("retention")]) == []


def test_other_days_of_the_history_change_nothing(due):
    later = fallen("retention", as_of=date(2026, 7, 1), low_since=date(2026, 7, 1))
    assert due(score_history=[fallen("retention"), later]) == due(score_history=[fallen("retention")])


def test_low_satisfaction_counts_where_it_is_known_well_enough(due):
    row = only(due(score_history=[fallen("satisfaction")]), "satisfaction_low")
    assert row["note"] == "Satisfaction was 44 of 100 (grade D) on 2026-06-01."
    assert due(score_history=[fallen("satisfaction", confidence=0.2)]) == []


def invoice(number: str, due_on: date, amount: str, **fields: Any) -> dict[str, Any]:
    base = {
        "invoice_id": number,
        "kind": "invoice",
        "status": "posted",
        "currency": "EUR",
        "invoice_on": date(2026, 1, 1),
    }
    return HELD | base | {"due_on": due_on, "open_amount": Decimal(amount)} | fields


def test_overdue_invoices_are_one_reminder_by_the_oldest(due):
    late = [invoice("9", date(2026, 5, 1), "100.10"), invoice("2", date(2026, 6, 1), "50.05")]
    row = only(due(tier="C", invoices=[*late, invoice("3", date(2026, 6, 20), "7")]), "invoice_overdue")
    assert row["reminder_id"] == "C1/invoice_overdue/2026-05-01/hubspot/9"
    assert row["note"] == "2 invoices are overdue: 150.15 EUR; the oldest since 2026-05-01."
    assert row["priority"] == "high"  # of tier C, but far beyond its day


def test_an_invoice_that_is_paid_credited_or_not_long_overdue_raises_nothing(due):
    old = date(2026, 5, 1)
    fine = [invoice("1", old, "0"), invoice("2", old, "-5", kind="credit_note"), invoice("3", date(2026, 6, 15), "5")]
    assert due(invoices=[*fine, invoice("4", old, "5", status="draft")]) == []


def test_amounts_of_different_currencies_are_never_added(due):
    late = [invoice("1", date(2026, 5, 1), "100"), invoice("2", date(2026, 6, 1), "50", currency="USD")]
    note = only(due(invoices=late), "invoice_overdue")["note"]
    assert note == "2 invoices are overdue; the oldest since 2026-05-01."


def test_open_deals_of_existing_business_are_renewals_when_their_day_comes(due):
    deal = HELD | {"deal_id": "7", "status": "open", "kind": "existing", "close_on": date(2026, 8, 29)}
    row = only(due(deals=[deal]), "renewal")
    assert (row["reminder_id"], row["due_on"]) == ("C1/renewal/hubspot/7", date(2026, 8, 29))
    for other in ({"status": "won"}, {"kind": "new"}, {"close_on": date(2026, 8, 30)}, {"close_on": date(2026, 3, 1)}):
        assert due(deals=[deal | other]) == []


def test_a_handover_is_due_until_it_is_accepted(due):
    waiting = {
        "customer_id": "C1",
        "connection": "hubspot",
        "deal_id": "7",
        "executive": "Eve",
        "won_on": date(2026, 6, 10),
        "due_on": date(2026, 6, 24),
        "status": "overdue",
    }
    row = only(due(handovers=[waiting]), "handover")
    assert row["subject"] == "Take over Hansa from sales"
    assert row["note"] == "Won on 2026-06-10 by Eve; no conversation with the account manager since."
    assert due(handovers=[waiting | {"status": "accepted"}]) == []
    assert due(handovers=[waiting | {"won_on": date(2026, 1, 1)}]) == []


def test_the_reminder_is_its_managers_of_today(due):
    spell = {"customer_id": "C1", "role": "account_manager", "owner_ids": '{"hubspot":"5"}'}
    owners = [
        spell | {"owner": "Old", "valid_from": date(2026, 1, 1), "valid_to": date(2026, 6, 1)},
        spell | {"owner": "Mia", "owner_email": "mia@acme.com", "valid_from": date(2026, 6, 1)},
        spell | {"owner": "Eve", "role": "account_executive", "valid_from": date(2026, 6, 1)},
    ]
    row = only(due(activities=[talk(date(2026, 6, 9))], ownership=owners), "contact")
    assert (row["owner"], row["owner_email"], row["owner_ids"]) == ("Mia", "mia@acme.com", '{"hubspot":"5"}')


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_can_be_turned_off(due, kind: str):
    everything: dict[str, Any] = {
        "activities": [talk(date(2026, 1, 1), "meeting")],
        "score_history": [fallen("retention"), fallen("satisfaction")],
        "invoices": [invoice("1", date(2026, 5, 1), "100")],
        "deals": [HELD | {"deal_id": "7", "status": "open", "kind": "existing", "close_on": AS_OF}],
        "handovers": [
            {
                "customer_id": "C1",
                "connection": "hubspot",
                "deal_id": "7",
                "won_on": date(2026, 6, 10),
                "due_on": date(2026, 6, 24),
                "status": "overdue",
            }
        ],
    }
    assert set(kinds(due(**everything))) == set(KINDS)
    rest = [item for item in KINDS if item != kind]
    assert set(kinds(due(**everything, options={"kinds": rest}))) == set(rest)
    assert kinds(due(**everything, options={"kinds": [kind]})) == [kind]


def test_with_all_kinds_off_there_is_an_empty_table(due):
    assert due(activities=[talk(date(2026, 1, 1))], options={"kinds": []}) == []
