"""Folders of CSV, JSON Lines and Parquet."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.files.connector import Files
from connectors.kit.errors import ReplyError, SettingsError
from connectors.kit.repair import Repairs
from connectors.kit.settings import load
from connectors.kit.stream import Slice
from engine.config.connection import ConnectionConfig
from engine.config.project import Project
from engine.extract.run import extract


@pytest.fixture
def opened(tmp_path: Path):
    """Write a file and open a connector that reads it as the stream `s`."""

    def make(name: str | None = None, content: bytes | str = b"", **stream) -> Files:
        if name:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        given = {"path": name or "*", "fields": {"account_id": "id", "name": "name"}} | stream
        return Files("folder", load(Files, "folder", {"root": str(tmp_path), "streams": {"s": given}}))

    return make


def rows(connector: Files) -> list[tuple]:
    pages = list(connector.read(connector.streams[0], Slice()))
    assert pages[-1].checkpoint is None
    assert pages[-1].total == sum(page.records.num_rows for page in pages)
    return [
        (row["_key"], *[row[path] for path in page.records.column_names[5:]])
        for page in pages
        for row in page.records.to_pylist()
    ]


def test_reads_a_csv_by_its_head(opened):
    found = opened("a.csv", 'id,name\n1,"Müller, GmbH"\n2,"two\nlines"\n3,\n')
    assert rows(found) == [
        ("a.csv:1", "1", "Müller, GmbH"),
        ("a.csv:2", "2", "two\nlines"),
        ("a.csv:3", "3", ""),
    ]


def test_the_mark_that_spreadsheets_put_in_front_is_no_part_of_the_head(opened):
    assert rows(opened("a.csv", "\ufeffid;name\r\n1;x\r\n", delimiter=";")) == [("a.csv:1", "1", "x")]


def test_heads_a_file_that_has_none(opened):
    assert rows(opened("a.tsv", "1\tx\n", names=["id", "name"], delimiter="\t")) == [("a.tsv:1", "1", "x")]


def test_columns_may_stand_apart_by_any_number_of_blanks(opened):
    found = opened("a.txt", "  id   name\n 1     x \n\n  2\ty\n", delimiter="whitespace")
    assert rows(found) == [("a.txt:1", "1", "x"), ("a.txt:2", "2", "y")]


def test_a_blank_line_is_no_record(opened):
    assert len(rows(opened("a.csv", "id,name\n1,x\n\n2,y\n\n"))) == 2


def test_a_short_row_lacks_its_last_columns(opened):
    assert rows(opened("a.csv", "id,name\n1\n")) == [("a.csv:1", "1", None)]


def test_an_empty_file_has_no_rows(opened):
    assert rows(opened("a.csv", "")) == rows(opened("a.csv", "id,name\n")) == []


def test_another_encoding_can_be_named(opened):
    content = "id,name\n1,Müller\n".encode("latin-1")
    assert rows(opened("a.csv", content, encoding="latin-1")) == [("a.csv:1", "1", "Müller")]
    with pytest.raises(SettingsError, match=r"a\.csv: not valid utf-8; set encoding"):
        rows(opened("a.csv", content))
    with pytest.raises(SettingsError, match="unknown encoding 'klingon'"):
        rows(opened("a.csv", content, encoding="klingon"))


def test_reads_json_lines(opened):
    found = opened("a.jsonl", '{"id":1,"name":{"first":"x"}}\n\n{"id":"2"}\n', fields={"a": "id", "b": "name.first"})
    assert rows(found) == [("a.jsonl:1", "1", "x"), ("a.jsonl:2", "2", None)]


@pytest.mark.parametrize(("line", "said"), [("{", "not JSON"), ("5", "not an object"), ("[" * 100_000, "not JSON")])
def test_names_the_line_that_is_none(opened, line, said):
    with pytest.raises(ReplyError, match=f"a.jsonl, line 2: {said}"):
        rows(opened("a.jsonl", f'{{"id":1}}\n{line}\n'))


def test_reads_parquet_with_its_types(opened, tmp_path: Path):
    stamp = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - as the file has it
    columns = {"id": [1, None], "name": [Decimal("1.50"), None], "d": [date(2026, 1, 2), None], "t": [stamp, None]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = opened(path="a.parquet", fields={"a": "id", "b": "name", "c": "d", "e": "t"})
    assert rows(found) == [
        ("a.parquet:1", "1", "1.50", "2026-01-02", "2026-01-02T03:04:05"),
        ("a.parquet:2", None, None, None, None),
    ]


def test_a_file_that_is_no_parquet_is_told(opened):
    with pytest.raises(ReplyError, match=r"a\.parquet: cannot be read as parquet"):
        rows(opened("a.parquet", b"nothing of the kind"))


def test_a_cell_beyond_reason_is_told(opened):
    with pytest.raises(ReplyError, match=r"a\.csv: cannot be read as csv"):
        rows(opened("a.csv", "id,name\n1," + "x" * 200_000 + "\n"))


def test_dates_are_read_by_their_format_and_what_is_none_stays(opened):
    content = "id,name\n1,31.12.2025\n2,soon\n3,\n4\n"
    found = [row[2] for row in rows(opened("a.csv", content, dates={"name": "%d.%m.%Y"}))]
    assert found == ["2025-12-31", "soon", "", None]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, ["a.csv:1", "a.csv:2"]),
        ("id", ["1", None]),
        (["id", "name"], ["1|x", None]),
        ("nothing", [None, None]),
    ],
)
def test_a_key_is_a_column_or_several_or_the_place(opened, key, expected):
    found = rows(opened("a.csv", "id,name\n1,x\n,y\n", primary_key=key))
    assert [row[0] for row in found] == expected


def test_a_column_of_our_own_name_does_not_pass_for_the_key(opened):
    assert rows(opened("a.csv", "_row,id,name\nother,1,x\n", primary_key="id"))[0][0] == "1"


def test_files_of_one_name_in_two_folders_are_two_files(opened):
    opened("2024/a.csv", "id,name\n1,x\n")
    found = rows(opened("2025/a.csv", "id,name\n1,x\n", path="*/a.csv"))
    assert [row[0] for row in found] == ["2024/a.csv:1", "2025/a.csv:1"]


def test_goes_on_after_any_batch(opened):
    connector = opened("a.csv", "id,name\n" + "".join(f"{number},x\n" for number in range(8)))
    connector.batch_rows = 3
    stream = connector.streams[0]
    pages = list(connector.read(stream, Slice()))
    assert [page.checkpoint for page in pages] == [{"rows": 3}, {"rows": 6}, None]
    keys = [page.records.column("_key").to_pylist() for page in pages]
    for number, page in enumerate(pages[:-1], start=1):
        left = connector.read(stream, Slice(), page.checkpoint)
        assert [one.records.column("_key").to_pylist() for one in left] == keys[number:]


def test_a_file_that_is_missing_is_told_with_what_is_there(opened):
    opened("invoices.csv", "id\n")
    with pytest.raises(SettingsError, match=r"no file below .* matches 'invoice\.csv'; did you mean invoices\.csv\?"):
        opened(path="invoice.csv").check()


def test_a_folder_that_is_missing_is_told(tmp_path: Path):
    given = {"root": str(tmp_path / "none"), "streams": {"s": {"path": "a.csv"}}}
    with pytest.raises(SettingsError, match=r"connection 'folder': settings\.root: no folder"):
        Files("folder", load(Files, "folder", given)).check()


@pytest.mark.parametrize("path", ["../secret.csv", "/etc/passwd", "", "../*"])
def test_nothing_outside_of_the_folder_is_read(opened, tmp_path: Path, path):
    connector = opened("in/a.csv", "id\n1\n", path=path)
    (tmp_path / "secret.csv").write_text("id\n1\n")
    inside = load(Files, "folder", {"root": str(tmp_path / "in"), "streams": {"s": {"path": path}}})
    with pytest.raises(SettingsError, match=r"no file below .* matches|is not a pattern of files below settings\.root"):
        Files("folder", inside).check()
    connector.close()


def test_a_link_that_leads_out_is_not_followed(opened, tmp_path: Path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "b.csv"
    outside.write_text("id,name\n9,z\n")
    (tmp_path / "b.csv").symlink_to(outside)
    assert [row[1] for row in rows(opened("a.csv", "id,name\n1,x\n", path="*.csv"))] == ["1"]


def test_a_format_that_no_name_tells_must_be_set(opened):
    with pytest.raises(SettingsError, match="the format cannot be told from the name"):
        rows(opened("a.dat", "id\n"))
    assert rows(opened("a.dat", "id,name\n1,x\n", format="csv")) == [("a.dat:1", "1", "x")]


def test_a_delimiter_is_one_character(opened):
    with pytest.raises(SettingsError, match=r"streams\.s\.delimiter"):
        opened("a.csv", "id\n", delimiter="||")


def test_discovers_the_columns(opened):
    assert [field.path for field in opened("a.csv", "id,name\n1,x\n").discover()["s"]] == ["id", "name"]
    assert opened("a.csv", "id,name\n").discover() == {"s": []}


TWICE = "id,name\n5,a\n6,b\n5,c\n,d\n,d\n6,e\n5,f\n"


def test_a_key_that_comes_twice_counts_once_and_rows_without_one_each(opened):
    connector = opened("a.csv", TWICE, primary_key="id")
    connector.batch_rows = 2
    pages = list(connector.read(connector.streams[0], Slice()))
    assert (sum(len(page.rows) for page in pages), pages[-1].total) == (7, 4)
    assert list(connector.read(connector.streams[0], Slice(), {"rows": 4}))[-1].total == 4


def test_a_reading_names_keys_that_come_twice(opened):
    def notes(text: str, **more: Any) -> tuple[str, ...]:
        connector = opened("a.csv", text, **more)
        return list(connector.read(connector.streams[0], Slice()))[-1].notes

    assert notes(TWICE, primary_key="id") == (
        "duplicate keys: 2 keys occur more than once, such as '5'; only one row per key is stored",
    )
    assert notes("id\n5\n5\n", primary_key="id") == (
        "duplicate keys: 1 key occurs more than once, such as '5'; only one row per key is stored",
    )
    assert notes(TWICE) == notes("id,name\n5,a\n", primary_key="id") == ()


@pytest.mark.parametrize("batch", [2, 20_000])
def test_a_stream_in_which_a_key_comes_twice_is_not_short(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(Files, "batch_rows", batch)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(TWICE)
    stream = {"path": "*.csv", "primary_key": "id", "fields": {"account_id": "id", "name": "name"}}
    config = ConnectionConfig(connector="files", settings={"root": str(tmp_path / "in"), "streams": {"s": stream}})
    project = Project(tmp_path / "defs", tmp_path, connections={"folder": config})
    for number in range(2):
        result = next(iter(extract(project, "folder", f"run-{number}")))
        (balance,) = project.ledger.slice_counts.for_stream("folder", "s")
        assert (result.status, balance.source_count, balance.moved, balance.missing) == ("done", 4, 0, 0)


def counted(connector: Files) -> Repairs:
    return list(connector.read(connector.streams[0], Slice()))[-1].repairs


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_half_an_emoji_is_replaced_and_counted(opened, name):
    half = b"\xed\xa0\xbd"  # U+D83D, written as if it were a character
    content = {
        "a.csv": b"id,name\n1,ok\n2,a" + half + b" b\n",
        "a.jsonl": b'{"id":"1","name":"ok"}\n{"id":"2","name":"a' + half + b' b"}\n',
    }[name]
    found = opened(name, content)
    assert rows(found) == [(f"{name}:1", "1", "ok"), (f"{name}:2", "2", "a\N{REPLACEMENT CHARACTER} b")]
    assert counted(found) == Repairs(1)


def test_an_escaped_half_and_numbers_that_are_none_do_not_stop_a_file(opened):
    lines = [r'{"id":"1","name":"a\ud83d"}', '{"id":"2","name":NaN}', '{"id":"3","name":-Infinity}', '{"id":1e999}']
    found = opened("a.jsonl", "\n".join(lines))
    named = [row[2] for row in rows(found)]
    assert named == ["a\N{REPLACEMENT CHARACTER}", None, None, None]
    assert counted(found) == Repairs(1, 3)


def test_a_head_with_half_an_emoji_names_a_column_all_the_same(opened):
    found = opened("a.csv", b"id,name,more\xed\xb8\x80\n1,x,y\n")
    assert [field.path for field in found.discover()["s"]] == ["id", "name", "more\N{REPLACEMENT CHARACTER}"]


def test_bytes_that_are_no_text_are_replaced_where_that_is_asked_for(opened):
    content = "id,name\n1,Müller\n".encode("latin-1")
    with pytest.raises(SettingsError, match="or invalid_text: replace"):
        rows(opened("a.csv", content))
    found = opened("a.csv", content, invalid_text="replace")
    assert rows(found) == [("a.csv:1", "1", "M\N{REPLACEMENT CHARACTER}ller")]
    assert counted(found) == Repairs(1)


def test_texts_of_a_parquet_file_that_are_no_utf8_are_replaced(opened, tmp_path):
    raw = pa.array([b"a\xff", None, "é".encode()])
    texts = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    numbers = pa.array([float("nan"), float("inf"), None])
    pq.write_table(pa.table({"id": ["1", "2", "3"], "name": texts, "n": numbers}), tmp_path / "a.parquet")
    found = opened(None, path="a.parquet")
    assert [row[2] for row in rows(found)] == ["a\N{REPLACEMENT CHARACTER}", None, "é"]
    assert counted(found) == Repairs(1, 2)


def test_a_whole_number_of_any_size_stays_what_it_is(opened):
    assert rows(opened("a.jsonl", '{"id":123456789012345678901234567890,"name":1.10}'))[0][1:] == (
        "123456789012345678901234567890",
        "1.1",
    )
