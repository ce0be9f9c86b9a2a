"""Raw rows become the columns of a table: the newest version, typed, in our words."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from schemas.find import model
from schemas.mapping import Constant, Field
from transforms.conform.conform import conform, latest, newest
from transforms.conform.contract_rules import Absence, Terms

STAMP = pa.timestamp("us", "UTC")
RAW = pa.schema(
    [
        ("_key", pa.string()),
        ("_cursor", STAMP),
        ("_deleted", pa.bool_()),
        ("_extracted_at", STAMP),
        ("_payload", pa.string()),
        ("_generation", pa.int64()),
        ("_sequence", pa.int64()),
    ]
)


def at(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC)


@pytest.fixture
def raw(con):
    """Make raw rows of whole records, with a text column for each of the given paths."""

    def make(*records: dict[str, Any], paths: tuple[str, ...] = ()) -> Any:
        rows = []
        for number, record in enumerate(records):
            about = {name: record.pop(name) for name in [*RAW.names, "_columns"] if name in record}
            key = None if "id" not in record else str(record["id"])
            columns = {path: about.get("_columns", {}).get(path) for path in paths}
            base = {"_key": key, "_deleted": False, "_extracted_at": at(9), "_payload": json.dumps(record)}
            base |= {"_generation": 0, "_sequence": number}
            rows.append({**base, **columns, **about})
        schema = pa.schema([*RAW, *((path, pa.string()) for path in paths)])
        return con.create_table("raw", pa.Table.from_pylist(rows, schema=schema), temp=True, overwrite=True)

    return make


def read(table: Any, name: str, fields: Any, **values: Any) -> list[dict[str, Any]]:
    result = conform(table, connection="crm", stream="s", table=name, fields=fields, **values).to_pyarrow()
    return sorted(result.to_pylist(), key=lambda row: (row["_record_id"] is None, row["_record_id"]))


def payloads(table: Any) -> list[dict[str, Any]]:
    result = [json.loads(text) for text in table.to_pyarrow()["_payload"].to_pylist()]
    return sorted(result, key=str)


def test_the_newest_row_counts_by_generation_then_cursor_then_extraction_then_sequence(raw):
    table = raw(
        {"id": 1, "v": "old", "_cursor": at(1), "_extracted_at": at(9)},
        {"id": 1, "v": "new", "_cursor": at(2), "_extracted_at": at(8)},
        {"id": 2, "v": "old", "_extracted_at": at(1)},
        {"id": 2, "v": "new", "_extracted_at": at(2)},
        {"id": 3, "v": "b", "_cursor": at(1)},
        {"id": 3, "v": "a", "_cursor": at(1)},
        {"id": 4, "v": "lost by a restore", "_cursor": at(5)},
        {"id": 4, "v": "restored", "_cursor": at(2), "_generation": 1},
    )
    assert payloads(latest(table)) == [
        {"id": 1, "v": "new"},
        {"id": 2, "v": "new"},
        {"id": 3, "v": "a"},
        {"id": 4, "v": "restored"},
    ]


def test_a_tombstone_ends_a_record_until_it_is_seen_alive_again(raw):
    table = raw(
        {"id": 1, "_cursor": at(1), "_extracted_at": at(1)},
        {"id": 1, "_deleted": True, "_extracted_at": at(5)},
        {"id": 2, "_cursor": at(1), "_extracted_at": at(1)},
        {"id": 2, "_deleted": True, "_extracted_at": at(5)},
        {"id": 2, "_cursor": at(1), "_extracted_at": at(6), "again": True},
        {"id": 3, "_deleted": True, "_cursor": at(3), "_extracted_at": at(3)},
        {"id": 3, "_cursor": at(4), "_extracted_at": at(4)},
        {"id": 4, "_cursor": at(1), "_extracted_at": at(5)},
        {"id": 4, "_deleted": True, "_extracted_at": at(5)},
        {"id": 5, "_cursor": at(1), "_extracted_at": at(6)},
        {"id": 5, "_deleted": True, "_extracted_at": at(5), "_generation": 1},
    )
    assert payloads(latest(table)) == [{"again": True, "id": 2}, {"id": 3}]
    tombstones = newest(table).filter(lambda rows: rows._deleted)
    assert sorted(tombstones.to_pyarrow()["_key"].to_pylist()) == ["1", "4", "5"]


def test_rows_without_a_key_are_kept_once_for_each_payload(raw):
    table = raw({"v": 1, "_extracted_at": at(1)}, {"v": 1, "_extracted_at": at(2)}, {"v": 2})
    assert payloads(latest(table)) == [{"v": 1}, {"v": 2}]


def test_reads_every_type_from_text(raw):
    fields = {
        "deal_id": "id",
        "name": "title",
        "amount": "amount",
        "currency": "cur",
        "probability": Field("chance", unit="percent"),
        "close_on": "closes",
        "created_at": Field("made", unit="epoch_ms"),
        "updated_at": "changed",
        "status": (Field("stage", values={"9": "won", "8": "lost"}), Constant("open")),
    }
    table = raw(
        {
            "id": 7,
            "title": "  Big deal ",
            "amount": "1234.5",
            "cur": "eur",
            "chance": 45,
            "closes": "2026-01-31T23:30:00-05:00",
            "made": 1700000000123,
            "changed": "2026-01-02T03:04:05.678+0200",
            "stage": 9,
        },
        {
            "id": 8,
            "title": "   ",
            "amount": 1e2,
            "made": "/Date(1700000000000+0000)/",
            "changed": "2026-01-02 03:04:05",
            "stage": 1,
        },
    )
    first, second = read(table, "deals", fields)
    assert {name: value for name, value in first.items() if value is not None and name != "_payload"} == {
        "connection": "crm",
        "stream": "s",
        "deal_id": "7",
        "name": "Big deal",
        "amount": Decimal("1234.50"),
        "currency": "EUR",
        "probability": 0.45,
        "close_on": date(2026, 1, 31),
        "created_at": datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC),
        "updated_at": datetime(2026, 1, 2, 1, 4, 5, 678000, tzinfo=UTC),
        "status": "won",
        "_record_id": "7",
    }
    assert (second["name"], second["amount"], second["status"]) == (None, Decimal("100.00"), "open")
    assert second["created_at"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert second["updated_at"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert second["_unreadable"] is None


def test_has_exactly_the_columns_of_the_schema_and_its_own_four(raw):
    table = conform(raw({"id": 1}), connection="crm", stream="s", table="tickets", fields={"subject": "t"})
    columns = model("tickets").to_schema().columns
    assert table.columns == (*columns, "_payload", "_record_id", "_cursor", "_unreadable")
    assert [table[name].type() for name in columns] == [column.dtype.type for column in columns.values()]
    assert table.to_pyarrow()["ticket_id"].to_pylist() == ["1"]


def test_says_which_text_could_not_be_read(raw):
    fields = {"name": "n", "employees": "e", "is_active": "a", "created_at": "c", "country": "l"}
    table = raw(
        {"id": 1, "n": "A\0B", "e": "250.7", "a": "maybe", "c": "yesterday"},
        {"id": 2, "n": "A", "e": "250.0"},
    )
    bad, good = read(table, "accounts", fields)
    assert bad["_unreadable"] == (
        "name: contains a NUL character; employees: not a whole number; is_active: not true or false; created_at: not a timestamp"
    )
    assert (good["_unreadable"], good["employees"], good["is_active"]) == (None, 250, True)


def test_money_is_read_from_text_or_not_at_all(raw):
    texts = ["1,234.50", "NaN", "Infinity", "1e30", "twelve"]
    result = read(raw(*({"id": n, "amount": text} for n, text in enumerate(texts))), "deals", {"amount": "amount"})
    assert [(row["amount"], row["_unreadable"]) for row in result] == [(None, "amount: not a decimal number")] * 5


def test_instants_are_iso_or_nothing(raw):
    texts = ["infinity", "epoch", "01/02/2026", "2026-02-30", "20260102", "2026-01-02T99:00"]
    result = read(raw(*({"id": n, "at": text} for n, text in enumerate(texts))), "accounts", {"updated_at": "at"})
    assert [(row["updated_at"], row["_unreadable"]) for row in result] == [(None, "updated_at: not a timestamp")] * 6


def test_instants_without_an_offset_are_utc(raw):
    texts = {
        "2026-01-02": 0,
        "2026-01-02T05:00:00Z": 5,
        "2026-01-02 05:00 UTC": 5,
        "2026-01-02T07:00:00 +02:00": 5,
    }
    result = read(raw(*({"id": n, "at": text} for n, text in enumerate(texts))), "accounts", {"updated_at": "at"})
    assert [row["updated_at"] for row in result] == [datetime(2026, 1, 2, hour, tzinfo=UTC) for hour in texts.values()]


def test_durations_come_in_minutes(raw):
    fields = {
        "first_reply_minutes": Field("s", unit="seconds"),
        "resolution_minutes": Field("ms", unit="milliseconds"),
    }
    (row,) = read(raw({"id": 1, "s": 90, "ms": 120000}), "tickets", fields)
    assert (row["first_reply_minutes"], row["resolution_minutes"]) == (1.5, 2.0)


def test_words_for_null_do_not_eat_a_no_or_a_translated_word(raw):
    fields = {
        "name": "name",
        "phone": "phone",
        "is_active": "active",
        "industry": Field("partner", values={"false": "person", "true": "company"}),
    }
    (row,) = read(
        raw({"id": 1, "name": "A", "phone": False, "active": False, "partner": False}),
        "accounts",
        fields,
        nulls=("false",),
    )
    assert (row["phone"], row["is_active"], row["industry"]) == (None, False, "person")


def test_words_that_are_not_listed_give_otherwise_or_leave_it_to_the_next(raw):
    fields = {
        "status": Field("state", values={"done": "solved"}, otherwise="open"),
        "priority": (Field("urgency", values={"1": "high"}), Field("level", values={"low": "low"})),
    }
    table = raw({"id": 1, "state": "weird", "urgency": 3, "level": "low"}, {"id": 2, "urgency": 1, "level": "low"})
    first, second = read(table, "tickets", fields)
    assert (first["status"], first["priority"]) == ("open", "low")
    assert (second["status"], second["priority"]) == (None, "high")


def test_a_path_that_an_older_file_lacks_is_read_from_the_payload(raw):
    fields = {"name": "props.name", "account_id": "id", "parent_id": "parent.0"}
    record = {"id": 1, "props": {"name": "Acme"}, "parent": [12, "Mother"]}
    table = raw({**record, "_columns": {"props.name": "Newer"}}, {**record, "id": 2}, paths=("props.name",))
    assert [(row["name"], row["parent_id"]) for row in read(table, "accounts", fields)] == [
        ("Newer", "12"),
        ("Acme", "12"),
    ]
    assert [row["name"] for row in read(table, "accounts", fields, sparse=())] == ["Newer", None]


def test_accounts_have_domains_countries_and_merged_ids_in_one_form(raw):
    fields = {"domain": "site", "country": "land", "merged_ids": "merged"}
    table = raw(
        {"id": 1, "site": "https://www.Acme.com/de", "land": "Deutschland", "merged": [3, 4]},
        {"id": 2, "site": "n/a", "land": "Atlantis", "merged": "5;6"},
    )
    first, second = read(table, "accounts", fields)
    assert (first["domain"], first["country"], first["merged_ids"]) == ("acme.com", "DE", "3;4")
    assert (second["domain"], second["country"], second["merged_ids"]) == (None, "Atlantis", "5;6")


def test_credit_notes_are_negative_whatever_the_source_says(raw):
    fields = {"kind": "kind", "net_amount": "net", "open_amount": "open"}
    table = raw(
        {"id": 1, "kind": "credit_note", "net": "10.00", "open": "-4"},
        {"id": 2, "kind": "invoice", "net": "-10.00", "open": "4"},
        {"id": 3, "net": "10.00"},
    )
    assert [(row["net_amount"], row["open_amount"]) for row in read(table, "invoices", fields)] == [
        (Decimal("-10.00"), Decimal("-4.00")),
        (Decimal("-10.00"), Decimal("4.00")),
        (Decimal("10.00"), None),
    ]


def test_ratings_are_csat_and_owners_active_unless_the_source_says_otherwise(raw):
    assert read(raw({"id": 1}), "ratings", {"score": "s"})[0]["kind"] == "csat"
    assert read(raw({"id": 1}), "owners", {"name": "n"})[0]["is_active"] is True
    assert read(raw({"id": 1, "kind": "nps"}), "ratings", {"kind": "kind"})[0]["kind"] == "nps"


def test_a_misspelt_column_is_refused_with_the_right_choices(raw):
    with pytest.raises(ValueError, match="accounts has no column 'contry' to map; choices: country"):
        conform(raw({"id": 1}), connection="crm", stream="s", table="accounts", fields={"contry": "c"})


class TestTerms:
    SINCE = Absence("vat", at(5))
    FIELDS = {"tax_id": "vat", "employees": "size", "name": "name"}

    def test_an_object_or_a_list_is_no_text_but_a_text_may_begin_with_a_bracket(self, raw):
        fields = {"name": "name", "city": ("town", "place"), "merged_ids": "merged"}
        table = raw(
            {"id": 1, "name": "[sic] Ltd", "town": "{x}", "merged": [3, 4]},
            {"id": 2, "name": {"first": "A"}, "town": None, "place": ["Ulm"]},
            {"id": 3, "name": "A", "town": "Ulm", "place": ["Ulm"]},
            {"id": 4, "name": '{"a": 1}', "town": " [1]"},
            paths=("place",),
        )
        result = read(table, "accounts", fields)
        assert [row["_unreadable"] for row in result] == [
            None,
            "name: not text but an object or a list; city: not text but an object or a list",
            None,
            None,
        ]
        assert [row["merged_ids"] for row in result] == ["3;4", None, None, None]

    def test_a_row_read_while_a_field_was_gone_is_set_aside(self, raw):
        table = raw(
            {"id": 1, "_extracted_at": at(4)},  # read before: the field was there, and it had none
            {"id": 2, "_extracted_at": at(5)},
            {"id": 3, "_extracted_at": at(6), "vat": None},  # it is there, and empty
            {"id": 4, "_extracted_at": at(6), "vat": "DE1"},
            {"id": 5, "_extracted_at": at(8)},
        )
        result = read(table, "accounts", self.FIELDS, terms=Terms(absences={"vat": Absence("vat", at(5), at(8))}))
        assert [row["_record_id"] for row in result if row["_unreadable"]] == ["2"]
        assert result[1]["_unreadable"] == "tax_id: field vat no longer exists at the source"
        still = read(table, "accounts", self.FIELDS, terms=Terms(absences={"vat": self.SINCE}))
        assert [row["_record_id"] for row in still if row["_unreadable"]] == ["2", "5"]

    def test_another_field_of_the_column_stands_in_but_a_constant_does_not(self, raw):
        fields = {"tax_id": ("vat", "other", Constant("none"))}
        table = raw({"id": 1, "other": "DE2"}, {"id": 2})
        result = read(table, "accounts", fields, terms=Terms(absences={"vat": self.SINCE}))
        assert [row["_unreadable"] for row in result] == [None, "tax_id: field vat no longer exists at the source"]

    def test_a_part_of_a_field_is_gone_with_it(self, raw):
        table = raw({"id": 1, "owner": [7, "A"]}, {"id": 2})
        terms = Terms(absences={"owner.0": Absence("owner", at(5))})
        result = read(table, "accounts", {"owner_id": "owner.0"}, terms=terms)
        assert [row["_unreadable"] for row in result] == [
            None,
            "owner_id: field owner.0 no longer exists at the source",
        ]

    def test_values_against_the_contract_are_left_out_and_named(self, raw):
        table = raw(
            {"id": 1, "name": "A", "vat": ["x"], "size": "many", "_extracted_at": at(4)},
            {"id": 2, "name": "A\0", "vat": "DE1", "size": 5},
            {"id": 3, "name": "B", "size": 6},
        )
        result = read(table, "accounts", self.FIELDS, terms=Terms(True, absences={"vat": self.SINCE}))
        assert [(row["tax_id"], row["employees"], row["_discarded"], row["_unreadable"]) for row in result] == [
            (None, None, "tax_id: not text but an object or a list; employees: not a whole number", None),
            ("DE1", 5, None, "name: contains a NUL character"),  # a name is required: nothing can stand in for it
            (None, 6, "tax_id: field vat no longer exists at the source", None),
        ]

    def test_a_new_field_that_is_refused_takes_its_row_along_where_it_has_a_value(self, raw):
        table = raw(
            {"id": 1, "new": {"x": "y"}},
            {"id": 2, "new": {"x": None}},
            {"id": 3, "new": {"x": False}},
            {"id": 4, "new": {"x": []}},
            {"id": 5},
        )
        result = read(table, "accounts", {"account_id": "id"}, nulls=("false",), terms=Terms(refused=("new.x",)))
        assert [row["_unreadable"] for row in result] == ["new.x: new field, not accepted yet", None, None, None, None]


def test_a_field_may_have_words_of_its_own_for_null(raw):
    table = raw({"id": 1, "limit": "0.0"}, {"id": 2, "limit": "10.0"})
    result = read(table, "accounts", {"credit_limit_amount": Field("limit", nulls=("0", "0.0"))})
    assert [row["credit_limit_amount"] for row in result] == [None, Decimal("10.00")]
