"""Values read from a payload later on are those that typing gives on arrival."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from connectors.kit.raw_rows import raw_table
from connectors.kit.stream import Stream
from transforms.conform.payload import is_structure, lacks, text_at

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STREAM = Stream("accounts", primary_key="id", fields={"name": "a", "city": "b.c"})


@pytest.fixture
def raw(con: Any):
    """Let records arrive, each with the text of `a`, beside a city and what else is given."""

    def arrive(*texts: str) -> Any:
        records = [f'{{"id":"{n}","a":"{text}","b":{{"c":"Berlin"}}}}'.encode() for n, text in enumerate(texts)]
        return con.create_table("raw", raw_table(records, STREAM, NOON), temp=True, overwrite=True)

    return arrive


ODD = (
    r"\ud800",
    r"\uDC00",
    r"a\ud800b\udfffc",
    r"\ud800\ud800",
    r"\udc00\ud800",
    r"\ud83d\ud83d\ude00",
    r"\ud83d\ude00\ude00",
    r"\ud83d\u0041",
    r"\ud83dx\ude00",
    r"\ud83d\nx",
    r"\n\ud83d\t",
    r"\\\ud800",
    r"\\ud800 \ud800",
    r"\\\\ud800\ude00\ud800",
    r"\ud83d\\ude00",
    r"\"\ud800\"",
    r"\u00e4\ud800\u00e4",
    "ä\\ud800\U0001f600",
)
WHOLE = (
    r"\ud83d\ude00",
    r"\uD83D\uDE00",
    r"\\ud800",
    r"\\\ud83d\ude00",
    r"\ud7ff\ue000",
    "\U0001f600",
    "plain",
    "ud800",
)


@pytest.mark.parametrize("text", [*ODD, *WHOLE])
def test_a_text_reads_as_it_did_on_arrival(raw, text: str):
    table = raw(text)
    (row,) = table.select("a", name=text_at(table, "a"), city=text_at(table, "b.c")).to_pyarrow().to_pylist()
    assert row["name"] == row["a"]
    assert row["city"] == "Berlin"


def test_a_lone_surrogate_hides_nothing_of_its_record_nor_of_others(raw):
    table = raw("plain", *ODD, *WHOLE)
    looks = {"is_gone": lacks(table, "b.c"), "is_absent": lacks(table, "x"), "is_structure": is_structure(table, "b")}
    result = table.select("a", name=text_at(table, "a"), **looks).to_pyarrow().to_pylist()
    assert [row["name"] for row in result] == [row["a"] for row in result]
    assert all(not row["is_gone"] and row["is_absent"] and row["is_structure"] for row in result)


def test_the_text_of_an_object_that_holds_one_can_be_read(con):
    payload = r'{"a":{"b":["x\ud800"],"c":1}}'
    table = con.create_table("raw", pa.table({"_payload": [payload]}), temp=True, overwrite=True)
    assert table.select(text=text_at(table, "a")).to_pyarrow().to_pylist() == [{"text": '{"b":["x?"],"c":1}'}]
