"""People's judgements: the newest word on a pair is in force, and none is lost."""

import pytest

from engine.storage.ledger import Ledger

CRM, ERP, DESK = ("crm", "1"), ("erp", "7"), ("desk", "3")


def in_force(ledger: Ledger) -> list[tuple[str, str, str]]:
    return [(row["left_account_id"], row["verdict"], row["right_account_id"]) for row in ledger.judgements.in_force()]


def test_the_newest_judgement_of_a_pair_is_in_force_whatever_the_order_of_its_accounts(ledger: Ledger):
    ledger.judgements.add(CRM, ERP, "same", "ada", "one tax id, mistyped")
    ledger.judgements.add(CRM, DESK, "same", "ada", "one address")
    ledger.judgements.add(ERP, CRM, "different", "ben", "sold in May")
    assert in_force(ledger) == [("1", "same", "3"), ("7", "different", "1")]


def test_a_withdrawn_judgement_stays_in_the_log_but_is_not_in_force(ledger: Ledger):
    ledger.judgements.add(CRM, ERP, "same", "ada", "one tax id, mistyped")
    assert ledger.judgements.withdraw(ERP, CRM, "ben", "it was another Acme")
    assert ledger.judgements.in_force() == []
    rows = ledger.judgements.history()
    assert [(row["verdict"], row["by"], row["why"]) for row in rows] == [
        ("same", "ada", "one tax id, mistyped"),
        ("forgotten", "ben", "it was another Acme"),
    ]
    assert rows[0]["at"].tzinfo
    ledger.judgements.add(CRM, ERP, "same", "ada", "it was this Acme after all")
    assert in_force(ledger) == [("1", "same", "7")]


def test_repeating_a_judgement_stores_nothing(ledger: Ledger):
    assert ledger.judgements.add(CRM, ERP, "same", "belvedere", "created from it")
    assert not ledger.judgements.add(ERP, CRM, "same", "belvedere", "created from it")
    assert not ledger.judgements.withdraw(CRM, DESK, "ada", "nothing was said")
    assert len(ledger.judgements.history()) == 1


@pytest.mark.parametrize(
    ("account", "other", "verdict", "by", "reason"),
    [
        (CRM, CRM, "same", "ada", "why not"),
        (CRM, ERP, "perhaps", "ada", "it might be"),
        (CRM, ERP, "same", " ", "one tax id"),
        (CRM, ERP, "same", "ada", ""),
    ],
)
def test_an_invalid_judgement_is_refused(ledger: Ledger, account, other, verdict, by, reason):
    with pytest.raises(ValueError, match="unknown verdict|against itself|an author and a reason"):
        ledger.judgements.add(account, other, verdict, by, reason)
    assert ledger.judgements.history() == []
