"""The sightings of fields in the ledger."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.storage.ledger import Ledger
from engine.storage.manifest import COMPACTION, Written
from engine.storage.source_fields import FieldRecord

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VAT = FieldRecord("crm", "accounts", "vat", "char", "VAT", True, NOON, NOON)
NAME = replace(VAT, path="name", change="new", seen_in=3, seen_of=4, missed=2, missed_at=NOON)


@pytest.fixture
def kept(ledger: Ledger) -> Ledger:
    ledger.keep_sightings("crm", "accounts", [VAT, NAME], NOON)
    ledger.keep_sightings("crm", "deals", [replace(VAT, stream="deals", change="new")], NOON)
    return ledger


def test_come_back_as_they_were_kept(kept: Ledger):
    assert kept.sightings("crm", "accounts") == [NAME, VAT]
    assert [one.stream for one in kept.sightings("crm")] == ["accounts", "accounts", "deals"]
    assert kept.sightings("erp") == []
    assert len(kept.sightings()) == 3


def test_what_is_kept_anew_replaces_the_streams_own_only(kept: Ledger):
    kept.keep_sightings("crm", "accounts", [], NOON)
    assert [one.stream for one in kept.sightings()] == ["deals"]


def test_accepting_closes_what_is_open_of_one_stream_or_of_all(kept: Ledger):
    assert [one.path for one in kept.accept_sightings("crm", "accounts")] == ["name"]
    assert [one.stream for one in kept.sightings() if one.change] == ["deals"]
    assert len(kept.accept_sightings("crm")) == 1
    assert kept.accept_sightings("crm") == []


def test_accepting_that_a_field_is_gone_ends_its_absence_at_once(kept: Ledger):
    gone = replace(VAT, is_gone=True, gone_at=NOON, change="gone", retyped_from="text")
    kept.keep_sightings("crm", "accounts", [gone], NOON)
    kept.accept_sightings("crm", "accounts")
    assert kept.sightings("crm", "accounts") == [replace(VAT, is_gone=True, gone_at=NOON, back_at=NOON)]


def test_accepting_another_change_leaves_an_earlier_absence_as_it_was(kept: Ledger):
    back = NOON + timedelta(days=1)
    was = replace(VAT, gone_at=NOON, back_at=back, change="retyped", retyped_from="text")
    kept.keep_sightings("crm", "accounts", [was], NOON)
    kept.accept_sightings("crm", "accounts")
    assert kept.sightings("crm", "accounts") == [replace(VAT, gone_at=NOON, back_at=back)]


def test_files_are_looked_at_once_and_a_compaction_never(ledger: Ledger):
    one, two, all_ = (Written("raw/crm/accounts", name, 1, 1, "x") for name in ("one", "two", "all"))
    other = Written("raw/crm/deals", "other", 1, 1, "x")
    ledger.add([one, other], "run")
    assert ledger.not_looked_at("crm", "accounts") == [one]
    ledger.keep_sightings("crm", "accounts", [VAT], NOON)
    assert ledger.not_looked_at("crm", "accounts") == []
    ledger.add([two], "run")
    assert ledger.not_looked_at("crm", "accounts") == [two]
    ledger.replace([one, two], all_, COMPACTION)
    assert ledger.not_looked_at("crm", "accounts") == []
