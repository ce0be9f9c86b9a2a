"""Looks at a stream's fields, one after the other, against the shape that was accepted."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.kit.base import SourceField
from engine.extract.schema_drift.field_history import GONE_AFTER, Drift, drift, renewed
from engine.extract.schema_drift.json_fields import FieldObservation
from engine.storage.stores.source_fields import FieldRecord

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Counts = tuple[str, int]


class Stream:
    """One stream, looked at night after night."""

    def __init__(self) -> None:
        self.seen: list[FieldRecord] = []
        self.used: set[str] = set()
        self.nights = 0

    def describes(self, **fields: str) -> Drift:
        """Let the source describe itself."""
        return self._look({path: SourceField(path, kind) for path, kind in fields.items()})

    def shows(self, rows: int, **fields: Counts) -> Drift:
        """Let so many records show their fields: each with its kind, and in how many it is."""
        described = {path: SourceField(path, kind) for path, (kind, count) in fields.items() if count}
        return self._look(described, rows, {path: count for path, (_, count) in fields.items()})

    def _look(self, fields: dict[str, SourceField], rows: int | None = None, counts: dict | None = None) -> Drift:
        look = FieldObservation(NOON + timedelta(days=self.nights), fields, rows, counts or {})
        self.seen = renewed(self.seen, look, "crm", "accounts", self.used.__contains__)
        self.nights += 1
        return drift(self.seen)

    def accept(self) -> None:
        self.seen = [one.accepted() for one in self.seen]

    def __getitem__(self, path: str) -> FieldRecord:
        return next(one for one in self.seen if one.path == path)


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_the_first_look_is_the_accepted_shape(stream):
    assert not stream.describes(id="char", name="char")
    assert not stream.describes(id="char", name="char")


def test_what_is_open_stays_open_until_it_is_accepted(stream):
    stream.describes(id="char", name="char", size="integer")
    changed = Drift(("vat",), ("name",), ("size (integer to char)",))
    for _ in range(3):
        assert stream.describes(id="char", size="char", vat="char") == changed
    stream.accept()
    assert not stream.describes(id="char", size="char", vat="char")
    assert str(changed) == "new: vat; gone: name; retyped: size (integer to char)"


def test_a_new_field_that_is_used_is_known(stream):
    stream.describes(id="char")
    assert stream.describes(id="char", vat="char").new == ("vat",)
    stream.used = {"vat"}
    assert not stream.describes(id="char", vat="char")
    stream.used = set()
    assert not stream.describes(id="char", vat="char")


def test_a_field_that_went_before_anybody_accepted_it_is_forgotten(stream):
    stream.describes(id="char")
    stream.describes(id="char", vat="char")
    assert not stream.describes(id="char")
    assert [one.path for one in stream.seen] == ["id"]


def test_a_field_that_comes_back_was_away_for_a_time(stream):
    stream.describes(id="char", vat="char")
    stream.describes(id="char")
    assert stream["vat"].gone_at == NOON + timedelta(days=1)
    assert stream["vat"].back_at is None
    stream.describes(id="char")
    assert not stream.describes(id="char", vat="char")
    assert (stream["vat"].gone_at, stream["vat"].back_at) == (NOON + timedelta(days=1), NOON + timedelta(days=3))
    assert stream.describes(id="char").gone == ("vat",)
    assert (stream["vat"].gone_at, stream["vat"].back_at) == (NOON + timedelta(days=1), None)


def test_a_field_that_was_accepted_as_gone_is_new_when_it_comes_back(stream):
    stream.describes(id="char", vat="char")
    stream.describes(id="char")
    stream.accept()
    assert stream["vat"].gone_at == stream["vat"].back_at
    assert stream.describes(id="char", vat="char").new == ("vat",)
    assert stream["vat"].gone_at is None


def test_a_type_that_changes_back_is_no_change(stream):
    stream.describes(size="integer")
    assert stream.describes(size="char").retyped == ("size (integer to char)",)
    assert stream.describes(size="float").retyped == ("size (integer to float)",)
    assert not stream.describes(size="integer")


def test_a_retyped_field_that_goes_and_comes_back_is_retyped_still(stream):
    stream.describes(size="integer")
    stream.describes(size="char")
    assert stream.describes().gone == ("size",)
    assert stream.describes(size="char") == Drift(retyped=("size (integer to char)",))


class TestByRecords:
    def test_a_field_that_every_record_had_is_gone_when_several_lack_it(self, stream):
        stream.shows(100, id=("number", 100), vat=("text", 100))
        assert stream.shows(GONE_AFTER, id=("number", GONE_AFTER)).gone == ("vat",)
        assert stream["vat"].gone_at == NOON + timedelta(days=1)

    def test_a_single_record_proves_little(self, stream):
        stream.shows(20, id=("number", 20), vat=("text", 20))
        assert not stream.shows(1, id=("number", 1))
        assert stream.shows(5, id=("number", 5), vat=("text", 5)) == Drift()

    @pytest.mark.parametrize("records", [5, 60, 500])
    def test_a_field_that_no_record_shows_any_more_is_gone_though_only_one_a_night_tells(self, stream, records):
        nights = GONE_AFTER
        stream.shows(records, id=("number", records), vat=("text", records))
        found = [stream.shows(1, id=("number", 1)).gone for _ in range(nights)]
        assert found == [()] * (nights - 1) + [("vat",)]
        assert stream["vat"].gone_at == NOON + timedelta(days=1), "since the first record that lacked it"

    def test_nights_in_which_nothing_landed_prove_nothing(self, stream):
        stream.shows(60, id=("number", 60), vat=("text", 60))
        for _ in range(9):
            assert not stream.shows(0)
        assert not stream.shows(GONE_AFTER - 1, id=("number", GONE_AFTER - 1))
        assert stream.shows(1, id=("number", 1)).gone == ("vat",)
        assert stream["vat"].gone_at == NOON + timedelta(days=10)

    def test_the_records_without_a_field_that_is_seen_again_tell_how_many_may_lack_it(self, stream):
        stream.shows(60, id=("number", 60), vat=("text", 60))
        stream.shows(1, id=("number", 1))
        stream.shows(1, id=("number", 1), vat=("text", 1))
        assert (stream["vat"].seen_in, stream["vat"].seen_of) == (61, 62)
        assert not stream.shows(1000, id=("number", 1000))

    def test_a_field_that_is_seen_now_and_then_is_not_gone(self, stream):
        stream.shows(400, id=("number", 400), vat=("text", 400))
        for _ in range(9):
            assert not stream.shows(1, id=("number", 1))
            assert not stream.shows(40, id=("number", 40), vat=("text", 40))

    def test_a_field_that_comes_back_and_goes_slowly_once_more_is_gone_since_it_went_first(self, stream):
        stream.shows(100, vat=("text", 100))
        for count in (0, 0, 9, 0, 0):
            found = stream.shows(max(count, GONE_AFTER // 2 + 1), vat=("text", count))
        assert found.gone == ("vat",)
        assert (stream["vat"].gone_at, stream["vat"].back_at) == (NOON + timedelta(days=1), None)

    def test_a_field_that_not_every_record_has_is_never_gone(self, stream):
        stream.shows(100, id=("number", 100), note=("text", 90))
        assert not stream.shows(1000, id=("number", 1000))

    def test_nothing_is_gone_where_nothing_landed(self, stream):
        stream.shows(100, id=("number", 100))
        assert not stream.shows(0)

    def test_an_empty_value_changes_no_type(self, stream):
        stream.shows(9, a=("text", 9), b=("", 9))
        assert not stream.shows(9, a=("", 9), b=("text", 9))
        assert stream["b"].type == "text"

    def test_what_was_mixed_may_be_anything(self, stream):
        stream.shows(9, a=("mixed", 9))
        assert not stream.shows(2, a=("number", 2))
        assert not stream.shows(2, a=("object", 2))
        assert stream["a"].type == "mixed"

    def test_a_text_that_becomes_an_object_is_retyped(self, stream):
        stream.shows(9, a=("text", 9))
        assert stream.shows(2, a=("object", 2)).retyped == ("a (text to object)",)
