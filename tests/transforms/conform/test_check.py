"""Good rows go on, broken ones to quarantine with all their reasons, none is lost."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import ibis
import pandera.ibis as pa
import pyarrow as arrow
import pytest
from pandera.api.ibis.types import IbisData

from schemas.base import Table, one_of, optional, required, within
from schemas.find import model, tables
from transforms.conform.check import ShapeError, check, check_result, reason_counts
from transforms.conform.rule_sql import RuleError, rules

OWN = {"_record_id": arrow.string(), "_payload": arrow.string(), "_unreadable": arrow.string()}
DEAL = {
    "connection": "crm",
    "stream": "deals",
    "status": "won",
    "amount": Decimal("10.00"),
    "currency": "EUR",
    "reporting_amount": Decimal("10.00"),
    "close_on": date(2026, 1, 2),
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
}


@pytest.fixture
def deals(rows):
    """Make conformed deals: a good one for each number, changed by what is given."""

    def make(*changes: dict[str, Any]) -> Any:
        table = [
            {
                **DEAL,
                "deal_id": str(number),
                "_record_id": str(number),
                "_payload": f'{{"n": {number}}}',
                **change,
            }
            for number, change in enumerate(changes)
        ]
        return rows("deals", *table, **OWN)

    return make


def quarantined(checked: Any) -> dict[str, str]:
    return {row["record_id"]: row["reasons"] for row in checked.quarantine.to_pyarrow().to_pylist()}


def test_parts_rows_exactly_and_keeps_the_columns_of_both_schemas(deals):
    checked = check(deals({}, {"currency": "euro"}, {"status": "lost"}), model("deals"))
    accepted, quarantine = checked.accepted.to_pyarrow(), checked.quarantine.to_pyarrow()
    assert sorted(accepted["deal_id"].to_pylist()) == ["0", "2"]
    assert accepted.schema.names == list(model("deals").to_schema().columns)
    assert quarantine.to_pylist() == [
        {
            "table": "deals",
            "connection": "crm",
            "stream": "deals",
            "record_id": "1",
            "reasons": "currency: not an allowed form",
            "payload": '{"n": 1}',
        }
    ]
    assert check_result(ibis.memtable(accepted), model("deals")).to_pyarrow().num_rows == 0
    assert check_result(ibis.memtable(quarantine), model("quarantine")).to_pyarrow().num_rows == 0


BROKEN = [
    ({"status": None}, "status: missing"),
    ({"status": "maybe"}, "status: not one of open, won, lost"),
    ({"deal_id": "x" * 201}, "deal_id: not 1 to 200 characters long"),
    ({"probability": 1.5}, "probability: not from 0 to 1"),
    ({"probability": float("nan")}, "probability: not a number; probability: not from 0 to 1"),
    ({"amount": Decimal("-0.01")}, "amount: not from 0 to 1000000000"),
    ({"rate": Decimal(0)}, "rate: not above 0"),
    ({"created_at": datetime(1970, 1, 1, tzinfo=UTC)}, "created_at: before 1990-01-01"),
    ({"close_on": date(2025, 12, 31)}, "closed before it was created"),
    ({"reporting_amount": None}, "amount without a rate: unknown currency, or no rate near the date"),
    ({"name": None, "close_on": None, "probability": None, "created_at": None}, None),
    ({"_unreadable": "probability: not a number"}, "probability: not a number"),
    ({"_unreadable": "status: not a word", "status": None}, "status: not a word"),
    (
        {"_unreadable": "amount: not a decimal number", "status": "x", "currency": "eur"},
        "amount: not a decimal number; status: not one of open, won, lost; currency: not an allowed form",
    ),
]


def test_names_every_broken_rule_in_the_order_of_the_schema(deals):
    checked = check(deals(*(change for change, _ in BROKEN)), model("deals"))
    broken = quarantined(checked)
    assert broken == {str(number): reasons for number, (_, reasons) in enumerate(BROKEN) if reasons}
    assert checked.accepted.to_pyarrow().num_rows + len(broken) == len(BROKEN)


def test_a_key_that_is_there_twice_breaks_all_its_rows(deals):
    checked = check(deals({}, {"deal_id": "0"}, {}, {"deal_id": None}, {"deal_id": None}), model("deals"))
    assert quarantined(checked) == {
        "0": "connection, stream, deal_id: not unique",
        "1": "connection, stream, deal_id: not unique",
        "3": "deal_id: missing",
        "4": "deal_id: missing",
    }
    assert checked.accepted.to_pyarrow().num_rows == 1


def test_a_word_of_another_column_does_not_hide_that_one_is_missing(deals):
    checked = check(deals({"_unreadable": "my status: odd", "status": None}), model("deals"))
    assert quarantined(checked) == {"0": "my status: odd; status: missing"}


def test_counts_the_rows_of_each_reason(deals):
    checked = check(deals({"status": "x"}, {"status": "y", "currency": "z"}, {}), model("deals"))
    result = reason_counts(checked.quarantine).to_pyarrow().to_pylist()
    assert sorted((row["reason"], row["rows"]) for row in result) == [
        ("currency: not an allowed form", 1),
        ("status: not one of open, won, lost", 2),
    ]


def test_instants_with_the_precision_of_parquet_are_fine(deals, con, tmp_path):
    con.to_parquet(deals({}), tmp_path / "deals.parquet")
    again = con.read_parquet(tmp_path / "deals.parquet")
    assert check(again, model("deals")).accepted.to_pyarrow().num_rows == 1


def test_wrong_columns_or_types_stop_it_before_any_row_is_looked_at(deals):
    wrong = deals({}).drop("name").mutate(surname=ibis.literal("x"), amount=ibis.literal(1.5))
    with pytest.raises(ShapeError, match="no column name; unknown column surname; amount is float64, not decimal"):
        check(wrong, model("deals"))
    with pytest.raises(ShapeError, match="no column since"):
        check_result(ibis.memtable(arrow.table({"customer_id": ["C1"]})), model("crosswalk"))


def test_broken_rows_of_a_result_are_named_by_key_without_values(rows):
    good = {"rate_on": date(2026, 1, 1), "currency": "USD", "per_eur": 1.1, "quoted_on": date(2026, 1, 1)}
    table = rows("fx_rates", good, {**good, "currency": "us"}, {**good, "currency": "GBP", "per_eur": None})
    assert sorted(check_result(table, model("fx_rates")).to_pyarrow().to_pylist(), key=str) == [
        {"rate_on": date(2026, 1, 1), "currency": "GBP", "reasons": "per_eur: missing"},
        {"rate_on": date(2026, 1, 1), "currency": "us", "reasons": "currency: not an allowed form"},
    ]


@pytest.mark.parametrize("name", tables())
def test_every_schema_compiles(name):
    schema = model(name).to_schema()
    table = ibis.table({key: column.dtype.type for key, column in schema.columns.items()}, name=name)
    assert all(rule.words for rule in rules(table, schema))


class Things(Table):
    name: str = optional("", str_startswith="a", str_endswith="z", str_contains="m")
    count: int = optional("", gt=1, le=9, ne=5)
    kind: str = optional("", notin=["x"], str_length={"max_value": 3})
    size: float = optional("", lt=2.0)
    level: int = optional("", eq=1)
    share: float = optional("", in_range={"min_value": 0, "max_value": 1, "include_max": False})
    on: ibis.dtype("date") = optional("", ge="2020-01-01")
    code: str = optional("", str_matches="[A-Z]+$")
    long: str = optional("", str_length={"min_value": 3})

    @pa.check("count", error="odd")
    def is_even(cls, data: IbisData) -> Any:
        return data.table[data.key] % 2 == 0


def test_builtin_and_custom_rules_speak_for_themselves(con):
    schema = Things.to_schema()
    values = {
        "name": "bb", "count": 5, "kind": "xxxx", "size": 2.0, "level": 2, "share": 1.0,
        "on": date(2019, 12, 31), "code": "aB", "long": "ab",
    }  # fmt: skip
    fitting = {
        "name": "amz", "count": 4, "kind": "y", "size": 1.0, "level": 1, "share": 0.5,
        "on": date(2020, 1, 1), "code": "AB", "long": "abc",
    }  # fmt: skip
    types = {key: column.dtype.type.to_pyarrow() for key, column in schema.columns.items()}
    built = arrow.Table.from_pylist([values, fitting, dict.fromkeys(values)], schema=arrow.schema(types))
    table = con.create_table("things", built, temp=True)
    result = rules(table, schema)
    broken = table.select(**{f"{number}": rule.broken for number, rule in enumerate(result)}).to_pyarrow().to_pylist()
    assert sorted(rule.words for number, rule in enumerate(result) if broken[0][str(number)]) == sorted(
        [
            "name: does not start with a",
            "name: does not end with z",
            "name: not an allowed form",
            "count: is 5",
            "count: odd",
            "kind: longer than 3 characters",
            "size: not below 2.0",
            "level: not 1",
            "share: not from 0 to 1",
            "on: before 2020-01-01",
            "code: not an allowed form",
            "long: shorter than 3 characters",
        ]
    )
    assert not any(broken[1].values())
    assert not any(broken[2].values())


class Scalar(Table):
    size: float = required("")

    @pa.dataframe_check
    def mean_is_low(cls, data: IbisData) -> Any:
        return data.table.size.mean() < 5


class ByElement(Table):
    size: float = required("")

    @pa.check("size", element_wise=True)
    def is_small(cls, value: Any) -> Any:
        return value < 5


class Unique(Table):
    size: float = pa.Field(unique=True)


class Set(Table):
    size: float = required("", unique_values_eq=[1.0])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Scalar, "row: check 'mean_is_low' must give one yes or no for each row"),
        (ByElement, "size: check 'is_small' works value by value"),
        (Unique, "size: name a unique column in Config.unique instead"),
        (Set, "size: check 'unique_values_eq' is not compiled yet"),
    ],
)
def test_refuses_rules_that_one_pass_cannot_hold(broken, message):
    with pytest.raises(RuleError, match=message):
        rules(ibis.table({"size": "float64"}, name="things"), broken.to_schema())


def test_helpers_of_the_schemas_are_covered():
    assert one_of("a") == {"isin": ["a"]}
    assert within(0, 1) == {"in_range": {"min_value": 0, "max_value": 1}}
