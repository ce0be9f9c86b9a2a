"""The fields of sources in the ledger: stored, accepted, observed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.storage.ledger import Ledger
from engine.storage.manifest import COMPACTION, Written
from engine.storage.stores.source_fields import FieldRecord

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VAT = FieldRecord("crm", "accounts", "vat", "char", "VAT", True, NOON, NOON)
NAME = replace(VAT, path="name", change="new", seen_in=3, seen_of=4, missed=2, missed_at=NOON)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    ledger.source_fields.replace("crm", "accounts", [VAT, NAME], NOON)
    ledger.source_fields.replace("crm", "deals", [replace(VAT, stream="deals", change="new")], NOON)
    return ledger


def test_fields_are_read_as_they_were_stored(filled: Ledger):
    assert filled.source_fields.records("crm", "accounts") == [NAME, VAT]
    assert [record.stream for record in filled.source_fields.records("crm")] == ["accounts", "accounts", "deals"]
    assert filled.source_fields.records("erp") == []
    assert len(filled.source_fields.records()) == 3


def test_replacing_the_fields_of_a_stream_leaves_those_of_others(filled: Ledger):
    filled.source_fields.replace("crm", "accounts", [], NOON)
    assert [record.stream for record in filled.source_fields.records()] == ["deals"]


def test_accepting_closes_what_is_open_of_one_stream_or_of_all(filled: Ledger):
    assert [record.path for record in filled.source_fields.accept("crm", "accounts")] == ["name"]
    assert [record.stream for record in filled.source_fields.records() if record.change] == ["deals"]
    assert len(filled.source_fields.accept("crm")) == 1
    assert filled.source_fields.accept("crm") == []


def test_accepting_that_a_field_is_gone_ends_its_absence_at_once(filled: Ledger):
    absent = replace(VAT, is_gone=True, gone_at=NOON, change="gone", retyped_from="text")
    filled.source_fields.replace("crm", "accounts", [absent], NOON)
    filled.source_fields.accept("crm", "accounts")
    assert filled.source_fields.records("crm", "accounts") == [replace(VAT, is_gone=True, gone_at=NOON, back_at=NOON)]


def test_accepting_another_change_leaves_an_earlier_absence_as_it_was(filled: Ledger):
    back = NOON + timedelta(days=1)
    was = replace(VAT, gone_at=NOON, back_at=back, change="retyped", retyped_from="text")
    filled.source_fields.replace("crm", "accounts", [was], NOON)
    filled.source_fields.accept("crm", "accounts")
    assert filled.source_fields.records("crm", "accounts") == [replace(VAT, gone_at=NOON, back_at=back)]


def test_files_are_observed_once_and_compacted_ones_never(ledger: Ledger):
    first, second, compacted = (Written("raw/crm/accounts", name, 1, 1, "x") for name in ("one", "two", "all"))
    other = Written("raw/crm/deals", "other", 1, 1, "x")
    ledger.files.add([first, other], "run")
    assert ledger.source_fields.unobserved_files("crm", "accounts") == [first]
    ledger.source_fields.replace("crm", "accounts", [VAT], NOON)
    assert ledger.source_fields.unobserved_files("crm", "accounts") == []
    ledger.files.add([second], "run")
    assert ledger.source_fields.unobserved_files("crm", "accounts") == [second]
    ledger.files.replace([first, second], compacted, COMPACTION)
    assert ledger.source_fields.unobserved_files("crm", "accounts") == []
