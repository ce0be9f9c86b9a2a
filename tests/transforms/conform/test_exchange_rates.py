"""Exchange rates for every calendar day, and money converted exactly."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.find import model
from transforms.conform.check import check_result
from transforms.conform.ecb_rates import QUOTES, quotes
from transforms.conform.exchange_rates import convert, fx_rates, half_even

MONEY = pa.decimal128(18, 2)
CURRENCIES = ("EUR", "USD", "JPY", "IDR", "XXX")


@pytest.fixture(scope="module")
def shipped(con):
    """The rates of the shipped file, spread over the calendar."""
    published = con.create_table("published", quotes(), temp=True)
    return con.create_table("shipped", fx_rates(published), temp=True)


@pytest.fixture
def spread(con):
    """Spread a few quotes; gives {(day, currency): (per_eur, quoted_on)}."""

    def make(*rows: tuple[date, str, float], **fields: Any) -> dict[tuple[date, str], tuple[float, date]]:
        table = pa.Table.from_pylist([dict(zip(QUOTES.names, row, strict=True)) for row in rows], schema=QUOTES)
        result = fx_rates(con.create_table("few", table, temp=True, overwrite=True), **fields)
        return {
            (row["rate_on"], row["currency"]): (row["per_eur"], row["quoted_on"])
            for row in result.to_pyarrow().to_pylist()
        }

    return make


@pytest.fixture
def change(con, shipped):
    """Convert amounts given as (currency, amount, day)."""

    def make(
        *rows: tuple[str | None, Any, date | None],
        to: str = "EUR",
        as_of: date = date(2026, 6, 30),
        **fields: Any,
    ):
        table = pa.table(
            {
                "key": list(range(len(rows))),
                "currency": pa.array([row[0] for row in rows], pa.string()),
                "amount": pa.array([None if row[1] is None else Decimal(row[1]) for row in rows], MONEY),
                "on": pa.array([row[2] for row in rows], pa.date32()),
            }
        )
        result = convert(
            con.create_table("amounts", table, temp=True, overwrite=True),
            shipped,
            reporting_currency=to,
            amounts={"amount": "reporting_amount"},
            as_of=as_of,
            **{"date": "on", **fields},
        ).to_pyarrow()
        return sorted(result.to_pylist(), key=lambda row: row["key"])

    return make


def test_a_day_without_a_quote_uses_the_last_one_while_it_is_young(spread):
    friday = date(2026, 5, 1)
    result = spread((friday, "USD", 1.1), (date(2026, 5, 4), "USD", 1.2), max_rate_age_days=3)
    assert {day.day: rate for (day, currency), rate in result.items() if currency == "USD"} == {
        1: (1.1, friday),
        2: (1.1, friday),
        3: (1.1, friday),
        4: (1.2, date(2026, 5, 4)),
        5: (1.2, date(2026, 5, 4)),
        6: (1.2, date(2026, 5, 4)),
        7: (1.2, date(2026, 5, 4)),
    }


def test_a_gap_longer_than_the_age_has_no_rates(spread):
    result = spread((date(2026, 5, 1), "USD", 1.1), (date(2026, 5, 9), "USD", 1.2), max_rate_age_days=2)
    assert sorted(day.day for day, currency in result if currency == "USD") == [1, 2, 3, 9, 10, 11]


def test_a_currency_that_gave_way_to_the_euro_keeps_its_irrevocable_rate(spread):
    result = spread((date(2022, 12, 30), "HRK", 7.5365), (date(2023, 1, 6), "HRK", 9.9), until=date(2026, 2, 1))
    assert result[date(2022, 12, 31), "HRK"] == (7.5365, date(2022, 12, 30))
    assert result[date(2023, 1, 1), "HRK"] == (7.5345, date(2023, 1, 1))
    assert result[date(2023, 1, 6), "HRK"] == (7.5345, date(2023, 1, 1))
    assert result[date(2026, 2, 1), "HRK"] == (7.5345, date(2023, 1, 1))
    assert result[date(2026, 1, 1), "BGN"] == (1.95583, date(2026, 1, 1))
    assert (date(2026, 2, 2), "HRK") not in result


def test_the_shipped_file_obeys_the_schema(shipped):
    assert check_result(shipped, model("fx_rates")).to_pyarrow().num_rows == 0


def test_a_saturday_uses_fridays_rate_and_not_mondays(change):
    rows = change(("USD", "100", date(2014, 3, 28)), ("USD", "100", date(2014, 3, 29)))
    assert [(row["reporting_amount"], row["rate"], row["rate_on"]) for row in rows] == [
        (Decimal("72.68"), Decimal("0.72679701"), date(2014, 3, 28))
    ] * 2


def test_the_same_currency_needs_no_quote(change):
    (row,) = change(("XXX", "5.05", date(1990, 1, 1)), to="XXX")
    assert (row["reporting_amount"], row["rate"], row["rate_on"]) == (
        Decimal("5.05"),
        Decimal(1),
        date(1990, 1, 1),
    )


def test_without_a_rate_there_is_no_amount(change):
    rows = change(
        ("XXX", "5", date(2026, 1, 2)),
        (None, "5", date(2026, 1, 2)),
        ("USD", "5", date(1998, 1, 1)),
        ("RUB", "5", date(2023, 1, 1)),
        ("USD", None, date(2026, 1, 2)),
        ("USD", "9999999999999999", date(2026, 1, 2)),
    )
    assert {row["reporting_amount"] for row in rows} == {None}
    assert [row["rate"] is None for row in rows] == [True, True, True, True, False, False]


def test_later_days_and_no_day_are_looked_up_at_as_of(change):
    as_of = date(2014, 3, 28)
    rows = change(("USD", "100", date(2099, 1, 1)), ("USD", "100", None), as_of=as_of)
    rows += change(("USD", "100", date(2010, 1, 4)), as_of=as_of, date=None)
    assert {(row["reporting_amount"], row["rate_on"]) for row in rows} == {(Decimal("72.68"), as_of)}


def test_may_leave_the_rate_of_another_day_alone(change):
    (row,) = change(("USD", "100", date(2014, 3, 28)), rate=False)
    assert sorted(row) == ["amount", "currency", "key", "on", "reporting_amount"]


def test_keeps_the_columns_in_place_and_replaces_empty_ones(rows, shipped):
    deal = {"deal_id": "1", "amount": Decimal(10), "currency": "EUR", "close_on": date(2026, 1, 2)}
    table = rows("deals", deal)
    amounts = {"amount": "reporting_amount"}
    result = convert(table, shipped, reporting_currency="EUR", date="close_on", amounts=amounts, as_of=date(2026, 2, 1))
    assert result.columns == table.columns
    assert result.to_pyarrow()["reporting_amount"].to_pylist() == [Decimal("10.00")]
    assert result.schema() == table.schema()


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amounts=st.lists(
        st.tuples(
            st.sampled_from(CURRENCIES),
            st.decimals(-1_000_000_000, 1_000_000_000, places=2),
            st.dates(date(2026, 1, 1), date(2026, 6, 30)),
        ),
        min_size=40,
        max_size=60,
    ),
    to=st.sampled_from(["EUR", "USD", "IDR"]),
)
def test_amounts_are_exact_quotients_rounded_half_to_even(change, shipped, amounts, to):
    in_2026 = shipped.filter(shipped.rate_on >= date(2026, 1, 1)).to_pyarrow().to_pylist()
    per_eur = {(row["rate_on"], row["currency"]): Fraction(str(row["per_eur"])) for row in in_2026}
    for row in change(*amounts, to=to):
        own, ours = (
            Fraction(1) if currency == "EUR" else per_eur.get((row["on"], currency))
            for currency in (row["currency"], to)
        )
        expected = None if own is None else round(Fraction(row["amount"]) * ours / own, 2)
        result = row["reporting_amount"]
        assert (None if result is None else Fraction(result)) == expected


def test_ties_go_to_the_even_cent(con):
    fields = ["0.005", "0.015", "-0.005", "-0.015", "2.675", "2.67500001", "2.665", None]
    column = pa.array([None if text is None else Decimal(text) for text in fields], pa.decimal128(38, 8))
    table = con.create_table("ties", pa.table({"given": column}), temp=True)
    result = table.select("given", rounded=half_even(table.given)).to_pyarrow().to_pylist()
    expected = ["0.00", "0.02", "0.00", "-0.02", "2.68", "2.68", "2.66", None]
    assert sorted(map(str, (row["rounded"] for row in result))) == sorted(map(str, map(_decimal, expected)))


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
