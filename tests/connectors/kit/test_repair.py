"""Broken text in what a source sends: replaced, counted, and nothing else touched."""

import json

import msgspec
import pytest

from connectors.kit.http.response import parsed
from connectors.kit.raw_rows import cut
from connectors.kit.repair import Repairs, read_json, repaired

BROKEN = {
    "lone high": (rb'{"id":"r","name":"a\ud83d b"}', {"id": "r", "name": "a� b"}, 1, 0),
    "lone low": (rb'{"id":"r","name":"a\uDE00 b"}', {"id": "r", "name": "a� b"}, 1, 0),
    "reversed pair": (rb'{"id":"r","name":"a\ude00\ud83d b"}', {"id": "r", "name": "a�� b"}, 2, 0),
    "high at the end": (rb'{"id":"r","name":"a\ud83d"}', {"id": "r", "name": "a�"}, 1, 0),
    "low at the start": (rb'{"id":"r","name":"\ude00a"}', {"id": "r", "name": "�a"}, 1, 0),
    "high before another escape": (rb'{"id":"r","name":"\ud83d\n"}', {"id": "r", "name": "�\n"}, 1, 0),
    "high before a pair": (rb'{"id":"r","name":"\ud83d\ud83d\ude00"}', {"id": "r", "name": "�😀"}, 1, 0),
    "in a name": (rb'{"id":"r","na\ud83dme":"a"}', {"id": "r", "na�me": "a"}, 1, 0),
    "as bytes": (b'{"id":"r","name":"a\xed\xa0\xbd b"}', {"id": "r", "name": "a� b"}, 1, 0),
    "bytes that are no UTF-8": (b'{"id":"r","name":"a\xff b"}', {"id": "r", "name": "a� b"}, 1, 0),
    "half an emoji in bytes": (b'{"id":"r","name":"a\xf0\x9f\x98"}', {"id": "r", "name": "a�"}, 1, 0),
    "NaN": (b'{"id":"r","n":NaN}', {"id": "r", "n": None}, 0, 1),
    "Infinity": (b'{"id":"r","n":[Infinity, -Infinity]}', {"id": "r", "n": [None, None]}, 0, 2),
    "a number too large": (b'{"id":"r","n":[1e999, -1.5E+400, 1e100]}', {"id": "r", "n": [None, None, 1e100]}, 0, 2),
    "a line break in a text": (b'{"id":"r","name":"a\nb"}', {"id": "r", "name": "a\nb"}, 0, 0),
}


@pytest.mark.parametrize(("record", "expected", "characters", "numbers"), BROKEN.values(), ids=BROKEN)
def test_a_broken_character_is_replaced_and_counted(record, expected, characters, numbers):
    count = Repairs()
    assert json.loads(repaired(record, count)) == expected
    assert count == Repairs(characters, numbers)


@pytest.mark.parametrize(("record", "expected"), [one[:2] for one in BROKEN.values()], ids=BROKEN)
def test_a_page_with_a_broken_character_is_cut_and_parsed_all_the_same(record, expected):
    page = b'{"results":[{"id":"ok"},' + record + b"]}"
    whole, cuts = Repairs(), Repairs()
    assert parsed(page, whole) == {"results": [{"id": "ok"}, expected]}
    assert read_json(cut(page, "results", cuts)[1], repairs=cuts) == expected
    assert cuts == whole


def test_a_byte_order_mark_is_skipped():
    assert cut(b'\xef\xbb\xbf{"results":[{"id":1}]}', "results") == [b'{"id":1}']
    assert parsed(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize(
    "text",
    [
        rb'{"a":"\\ud83d"}',  # an escaped backslash, then five letters
        rb'{"a":"\ud83d\ude00"}',
        rb'{"a":"NaN, -Infinity","NaN":"\"NaN\""}',
        '{"a":"é � 😀"}'.encode(),
        b'{"big":123456789012345678901234567890,"x":1.10}',
    ],
)
def test_what_is_right_stays_byte_for_byte(text):
    count = Repairs()
    assert repaired(text, count) == text
    assert count == Repairs()


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'{"a":', b"[1,,2]", b'"\\', b'"', b"NaNa", b"[tru]"])
def test_what_is_no_json_stays_unreadable(body):
    with pytest.raises(msgspec.DecodeError):
        read_json(body)


def test_a_page_of_another_shape_is_not_looked_at_for_broken_text(monkeypatch):
    def never(*_):
        raise AssertionError("repaired")

    monkeypatch.setattr("connectors.kit.repair.repaired", never)
    with pytest.raises(msgspec.ValidationError):
        read_json(b'{"a":[]}', msgspec.json.Decoder(dict[str, int]))
    assert read_json(b'{"a":[]}') == {"a": []}


def test_quotes_without_an_end_take_no_longer_the_more_they_are():
    body = b'"' + b'\\"' * 2_000_000
    assert repaired(body) == body


def test_the_notes_say_how_much_was_replaced():
    assert list(Repairs().notes()) == []
    assert list(Repairs(1, 1).notes()) == [
        "1 character that is not valid Unicode was replaced by �",
        "1 number that is NaN or infinite was replaced by null",
    ]
    assert next(Repairs(2).notes()) == "2 characters that are not valid Unicode were replaced by �"
