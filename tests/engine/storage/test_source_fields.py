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
    ledger.source_fields.replace("crm", "accounts", [VAT, NAME], NOON)
    ledger.source_fields.replace("crm", "deals", [replace(VAT, stream="deals", change="new")], NOON)
    return ledger


def test_come_back_as_they_were_kept(kept: Ledger):
    assert kept.source_fields.records("crm", "accounts") == [NAME, VAT]
    assert [one.stream for one in kept.source_fields.records("crm")] == ["accounts", "accounts", "deals"]
    assert kept.source_fields.records("erp") == []
    assert len(kept.source_fields.records()) == 3


def test_what_is_kept_anew_replaces_the_streams_own_only(kept: Ledger):
    kept.source_fields.replace("crm", "accounts", [], NOON)
    assert [one.stream for one in kept.source_fields.records()] == ["deals"]


def test_accepting_closes_what_is_open_of_one_stream_or_of_all(kept: Ledger):
    assert [one.path for one in kept.source_fields.accept("crm", "accounts")] == ["name"]
    assert [one.stream for one in kept.source_fields.records() if one.change] == ["deals"]
    assert len(kept.source_fields.accept("crm")) == 1
    assert kept.source_fields.accept("crm") == []


def test_accepting_that_a_field_is_gone_ends_its_absence_at_once(kept: Ledger):
    gone = replace(VAT, is_gone=True, gone_at=NOON, change="gone", retyped_from="text")
    kept.source_fields.replace("crm", "accounts", [gone], NOON)
    kept.source_fields.accept("crm", "accounts")
    assert kept.source_fields.records("crm", "accounts") == [replace(VAT, is_gone=True, gone_at=NOON, back_at=NOON)]


def test_accepting_another_change_leaves_an_earlier_absence_as_it_was(kept: Ledger):
    back = NOON + timedelta(days=1)
    was = replace(VAT, gone_at=NOON, back_at=back, change="retyped", retyped_from="text")
    kept.source_fields.replace("crm", "accounts", [was], NOON)
    kept.source_fields.accept("crm", "accounts")
    assert kept.source_fields.records("crm", "accounts") == [replace(VAT, gone_at=NOON, back_at=back)]


def test_files_are_looked_at_once_and_a_compaction_never(ledger: Ledger):
    one, two, all_ = (Written("raw/crm/accounts", name, 1, 1, "x") for name in ("one", "two", "all"))
    other = Written("raw/crm/deals", "other", 1, 1, "x")
    ledger.files.add([one, other], "run")
    assert ledger.source_fields.unobserved_files("crm", "accounts") == [one]
    ledger.source_fields.replace("crm", "accounts", [VAT], NOON)
    assert ledger.source_fields.unobserved_files("crm", "accounts") == []
    ledger.files.add([two], "run")
    assert ledger.source_fields.unobserved_files("crm", "accounts") == [two]
    ledger.files.replace([one, two], all_, COMPACTION)
    assert ledger.source_fields.unobserved_files("crm", "accounts") == []
