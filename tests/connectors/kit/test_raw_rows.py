"""From a page's bytes to raw rows."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from connectors.kit.errors import ReplyError
from connectors.kit.raw_rows import COMMON, cut, raw_schema, raw_table
from connectors.kit.stream import Stream

NOW = datetime(2026, 10, 20, 5, tzinfo=UTC)
FIELDS = {"a": "value", "b": "list.0", "c": "deep.er", "d": 'it\'s "so"', "e": "a$b[c]"}


def stream(**options) -> Stream:
    return Stream(**({"name": "s", "primary_key": "id", "fields": FIELDS} | options))


def row(record: bytes | str, **options):
    given = record.encode() if isinstance(record, str) else record
    return raw_table([given], stream(**options), NOW).to_pylist()[0]


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        (b'[1, {"a": 2}]', "", [b"1", b'{"a": 2}']),
        (b'{"results":[{"id":1}],"x":{}}', "results", [b'{"id":1}']),
        (b'{"a":{"b-c":[null]}}', "a.b-c", [b"null"]),
        (b'{"data":{"data":[1]}}', "data.data", [b"1"]),
        (b" [ ] ", "", []),
        (b'{"results":[]}', "results", []),
    ],
)
def test_cuts_a_page_into_unparsed_records(body, path, expected):
    assert [record.strip() for record in cut(body, path)] == expected


def test_a_records_bytes_stay_as_they_were_sent():
    record = b'{"id": 1.10, "big": 123456789012345678901234567890, "e": "\\u00e9"}'
    assert cut(b'{"results":[' + record + b"]}", "results") == [record]


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"results":null}', b'{"results":{}}', b"[]", b"<html>", b"5"])
def test_an_answer_without_its_list_is_no_end_of_stream(body):
    with pytest.raises(ReplyError, match=rf"the response \({len(body)} bytes\) has no list at 'results'"):
        cut(body, "results")


def test_a_page_that_is_cut_off_is_refused():
    with pytest.raises(ReplyError):
        cut(b'{"results":[{"id":1},{"id":2', "results")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ('"x"', "x"),
        ("1", "1"),
        ("1.50", "1.5"),
        ("12345678901234567", "12345678901234567"),
        ("true", "true"),
        ("false", "false"),
        ("null", None),
        ('""', ""),
        ('"null"', "null"),
        ('"é😀"', "é😀"),
        ('"\\u00e9"', "é"),
        ('[1,"a"]', '[1,"a"]'),
        ('{"k":1}', '{"k":1}'),
    ],
)
def test_a_value_becomes_its_text(given, text):
    assert row(f'{{"id":1,"value":{given}}}')["value"] == text


def test_paths_lead_into_lists_and_objects_and_odd_names():
    found = row('{"id":7,"list":["x","y"],"deep":{"er":2},"it\'s \\"so\\"":"odd","a$b[c]":"odder"}')
    assert found["_key"] == "7"
    assert [found[path] for path in FIELDS.values()] == [None, "x", "2", "odd", "odder"]


def test_what_a_record_does_not_have_is_null():
    assert [row('{"id":1,"list":[],"deep":null}')[path] for path in FIELDS.values()] == [None] * 5


@pytest.mark.parametrize("record", ["5", '"x"', "null", "[]", "{}", '{"id":null}'])
def test_what_is_no_record_lands_without_a_key(record):
    found = row(record)
    assert (found["_key"], found["_payload"]) == (None, record)


@pytest.mark.parametrize("key", ['"a\\ud800b"', '"\\udc00"'])
def test_a_lone_surrogate_spoils_neither_its_page_nor_its_row(key):
    good = b'{"id":1,"value":"good","at":"2026-01-02T03:04:05Z"}'
    bad = b'{"id":2,"value":' + key.encode() + b',"at":"2026-01-02T03:04:05Z"}'
    one, two = raw_table([good, bad], stream(cursor="at"), NOW).to_pylist()
    assert (one["_key"], one["value"], two["_key"]) == ("1", "good", "2")
    assert one["_cursor"] == two["_cursor"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert "?" in two["value"] or "�" in two["value"]


def test_one_that_the_engine_cannot_read_lands_without_a_key_and_no_other_does():
    bad = b'{"id":2,"value":"\\ud800"}'
    deep = b'{"id":3,"value":' + b"[" * 5000 + b"]" * 5000 + b"}"
    found = raw_table([bad, b"5", b'{"id":4,"value":1.50}', deep, b'{"id":5'], stream(), NOW).to_pylist()
    assert [one["_key"] for one in found] == ["2", None, "4", None, None]
    assert found[2]["value"] == "1.5"


def test_a_lone_surrogate_changes_no_text_of_records_far_from_it():
    plain = [b'{"id":%d,"value":1e22}' % number for number in range(200)]
    spoilt = [*plain[:-1], b'{"id":199,"value":"\\ud800"}']
    without, with_it = (raw_table(records, stream(), NOW).column("value").to_pylist() for records in (plain, spoilt))
    assert with_it[:100] == without[:100]
    assert with_it[-1] != without[-1]


def test_the_order_of_records_is_kept_where_some_are_read_one_by_one():
    records = [b'{"id":%d,"value":"%s"}' % (number, b"\\ud800" if number % 40 == 7 else b"x") for number in range(150)]
    assert raw_table(records, stream(), NOW).column("_key").to_pylist() == [str(number) for number in range(150)]


def test_a_nul_inside_a_text_is_kept_or_lost_but_breaks_nothing():
    found = row('{"id":1,"value":"a\\u0000b"}')
    assert found["_key"] == "1"
    assert found["value"].startswith("a")


def test_bytes_that_are_no_text_break_nothing():
    assert row(b'{"id":1,"value":"\xff"}')["_key"] == "1"


def test_bytes_that_are_no_text_spoil_no_other_row():
    good, bad = raw_table(['{"id":1,"value":"é"}'.encode(), b'{"id":2,"value":"\xff"}'], stream(), NOW).to_pylist()
    assert (good["value"], good["_payload"], bad["_key"]) == ("é", '{"id":1,"value":"é"}', "2")


def test_a_deep_record_breaks_nothing():
    deep = b"[" * 900 + b"]" * 900
    found = row(b'{"id":1,"value":' + deep + b"}")
    assert (found["_key"], found["value"]) == ("1", deep.decode())


@pytest.mark.parametrize(
    ("unit", "given", "expected"),
    [
        ("text", '"2026-01-02T03:04:05.678Z"', datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)),
        ("text", '"2026-01-02T03:04:05+02:00"', datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("text", '"2026-01-02 03:04:05"', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("text", '"yesterday"', None),
        ("text", "false", None),
        ("epoch_s", "1767323045", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("epoch_ms", '"1767323045678"', datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)),
        ("epoch_ms", '"soon"', None),
        ("epoch_s", "null", None),
    ],
)
def test_a_cursor_is_read_by_its_unit(unit, given, expected):
    assert row(f'{{"id":1,"at":{given}}}', cursor="at", cursor_unit=unit)["_cursor"] == expected


def test_an_empty_page_has_the_schema_of_a_full_one():
    empty = raw_table([], stream(), NOW)
    assert empty.schema == raw_schema(stream()) == raw_table([b"{}"], stream(), NOW).schema
    assert empty.num_rows == 0
    assert empty.schema.names[: len(COMMON)] == COMMON.names


def test_typing_records_does_not_import_pandas():
    """A nightly run in which little has changed is start-up above all, and this were a fifth of it."""
    code = (
        "import sys; from datetime import UTC, datetime; from connectors.kit.raw_rows import raw_table; "
        "from connectors.kit.stream import Stream; "
        "raw_table([b'{}'], Stream('s', 'id', {'a': 'b'}, cursor='at'), datetime.now(UTC)); "
        "sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_stamp_without_a_zone_is_utc_wherever_the_machine_stands():
    code = (
        "from datetime import UTC, datetime; from connectors.kit.raw_rows import raw_table; "
        "from connectors.kit.stream import Stream; "
        "rows = raw_table([b'{\"at\":\"2026-01-01 00:00:00\"}'], Stream('s', 'id', {}, cursor='at'), datetime.now(UTC)); "
        "print(rows.column('_cursor').to_pylist()[0].isoformat())"
    )
    there = os.environ | {"TZ": "America/New_York"}
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=there).stdout
    assert told.strip() == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9, minutes=-30))])
def test_the_time_of_reading_is_the_instant_that_was_given(zone):
    given = NOW.replace(microsecond=123456)
    assert raw_table([b"{}"], stream(), given.astimezone(zone)).to_pylist()[0]["_extracted_at"] == given


def test_a_tombstone_says_so():
    assert raw_table([b'{"id":1}'], stream(), NOW, deleted=True).to_pylist()[0]["_deleted"] is True


def test_the_payload_is_the_whole_record():
    assert msgspec.json.decode(row('{"id":1,"unmapped":[1,2]}')["_payload"]) == {"id": 1, "unmapped": [1, 2]}
