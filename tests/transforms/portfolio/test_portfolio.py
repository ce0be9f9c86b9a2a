"""What account managers and regions are judged by."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from schemas.find import model
from transforms.portfolio.account_managers import account_managers
from transforms.portfolio.portfolio import cohorts, standings
from transforms.portfolio.regions import regions

AS_OF = date(2026, 6, 30)
START = AS_OF - timedelta(days=365)
Row = dict[str, Any]


@pytest.fixture
def judged(con: Any, rows: Any):
    """Judge customers, given by number as (revenue before the start, revenue since), by manager and by region."""

    def build(amounts: dict[str, tuple[Any, Any]], owned: Any = None, **fields: Any) -> Any:
        cross = [{"customer_id": key, "connection": "odoo", "account_id": key} for key in amounts]
        invoices = [
            {
                "connection": "odoo",
                "account_id": key,
                "status": "posted",
                "invoice_on": on,
                "reporting_net_amount": Decimal(amount),
            }
            for key, pair in amounts.items()
            for on, amount in zip((START, AS_OF), pair, strict=True)
        ]
        people = [
            {"customer_id": key, "status": "active", "country": "DE", "overdue_amount": Decimal(0)}
            | fields.get("customers", {}).get(key, {})
            for key in amounts
        ]
        spell = {"role": "account_manager", "owner_key": "mia", "owner": "Mia", "owner_region": "North"}
        spells = owned or [spell | {"customer_id": key, "valid_from": date(2024, 1, 1)} for key in amounts]
        stored = {
            name: rows(name, *table)
            for name, table in {
                "customers": people,
                "crosswalk": cross,
                "invoices": invoices,
                "ownership": spells,
                **{name: fields.get(name, []) for name in ("tickets", "activities", "retention", "satisfaction")},
                "key_accounts": fields.get("key_accounts", []),
                "handovers": fields.get("handovers", []),
            }.items()
        }
        unchanged = cohorts(
            *(stored[name] for name in ("customers", "crosswalk", "invoices", "ownership")), as_of=AS_OF
        )
        reads = ("customers", "crosswalk", "tickets", "activities", "retention", "satisfaction", "key_accounts")
        now = standings(*(stored[name] for name in (*reads, "ownership")), as_of=AS_OF, cadence_days={"A": 14})
        built = {
            "account_managers": account_managers(unchanged, now, stored["handovers"], as_of=AS_OF),
            "regions": regions(unchanged, now, as_of=AS_OF),
        }
        result = {}
        for name, table in built.items():
            columns = model(name).to_schema().columns
            assert set(columns) == set(table.columns)
            result[name] = table.to_pyarrow().to_pylist()
        return result

    return build


def year(result: list[Row], **wanted: Any) -> Row:
    (row,) = [
        row for row in result if row["period"] == "year" and all(row[name] == value for name, value in wanted.items())
    ]
    return row


PUBLIC = {"C1": ("100", "120"), "C2": ("100", "80"), "C3": ("50", "0"), "C4": ("0", "70")}


def test_rates_are_those_of_the_public_example(judged):
    row = year(judged(PUBLIC)["account_managers"])
    assert (row["logo_retention"], row["grr"], row["nrr"]) == (pytest.approx(2 / 3, abs=1e-4), 0.72, 0.8)
    assert (row["accounts_start"], row["accounts_retained"], row["accounts_lost"]) == (3, 2, 1)
    assert row["new_amount"] == 70
    assert row["account_growth"] == pytest.approx(-0.2)


def test_net_retention_is_what_came_on_top_less_what_went(judged):
    row = year(judged(PUBLIC)["account_managers"])
    moved = row["expansion_amount"] - row["contraction_amount"] - row["churned_amount"]
    assert row["base_amount"] + moved == row["end_amount"] == 200


def test_a_year_of_credit_notes_is_a_loss_and_no_retention(judged):
    row = year(judged({"C1": ("100", "-30")})["account_managers"])
    assert (row["accounts_retained"], row["grr"], row["churned_amount"]) == (0, 0, 130)


def test_a_manager_is_judged_on_the_customers_held_at_the_start(judged):
    spell = {"role": "account_manager", "customer_id": "C1"}
    owned = [
        spell | {"owner_key": "mia", "owner": "Mia", "valid_from": date(2024, 1, 1), "valid_to": date(2026, 1, 1)},
        spell | {"owner_key": "bob", "owner": "Bob", "valid_from": date(2026, 1, 1)},
    ]
    result = judged({"C1": ("100", "50")}, owned)["account_managers"]
    mia, bob = (year(result, manager_key=key) for key in ("mia", "bob"))
    assert (mia["base_amount"], mia["grr"], mia["accounts_end"]) == (100, 0.5, 0)
    assert (bob["base_amount"], bob["grr"], bob["accounts_end"]) == (0, None, 1)
    (month,) = [row for row in result if row["period"] == "month" and row["manager_key"] == "bob"]
    assert month["accounts_start"] == 1


def test_ratios_of_regions_are_taken_of_sums_and_levels_add_up(judged):
    amounts = {"C1": ("1000", "1000"), "C2": ("10", "0"), "C3": ("100", "50")}
    result = judged(amounts, customers={"C3": {"country": None}})["regions"]
    assert year(result, level="all")["logo_retention"] == pytest.approx(2 / 3, abs=1e-4)
    assert year(result, level="all")["grr"] == pytest.approx(1050 / 1110, abs=1e-4)
    assert year(result, level="country", country="DE")["grr"] == pytest.approx(1000 / 1010, abs=1e-4)
    assert year(result, level="country", country=None)["grr"] == 0.5
    assert year(result, level="region", country="DE")["region"] == "North"
    for level in ("country", "region"):
        rows = [row for row in result if row["level"] == level and row["period"] == "year"]
        assert sum(row["base_amount"] for row in rows) == 1110
        assert sum(row["accounts_end"] for row in rows) == 3


def test_how_things_stand_now(judged):
    def of(key: str, **fields: Any) -> Row:
        return {"customer_id": key, **fields}

    row = year(
        judged(
            PUBLIC,
            key_accounts=[of("C1", tier="A"), of("C2", tier="A"), of("C3", tier="C")],
            retention=[
                of("C1", value_effective=40.0, revenue_at_risk_amount=Decimal("10.50")),
                of("C2", value_effective=60.0, revenue_at_risk_amount=Decimal("0.25")),
            ],
            satisfaction=[
                of("C1", value_effective=80.0, confidence=0.9),
                of("C2", value_effective=60.0, confidence=0.0),
            ],
            tickets=[
                {"connection": "odoo", "account_id": "C1", "priority": "urgent", "status": item}
                for item in ("open", "solved")
            ],
            activities=[
                {"connection": "odoo", "account_id": key, "kind": "call", "status": "done", "happened_at": at}
                for key, at in (("C1", datetime(2026, 6, 16, tzinfo=UTC)), ("C2", datetime(2026, 6, 15, tzinfo=UTC)))
            ],
            customers={"C4": {"overdue_amount": Decimal("9.99")}},
            handovers=[of("C4", manager_key="mia", won_on=AS_OF), of("C9", manager_key="mia", won_on=START)],
        )["account_managers"]
    )
    assert (row["key_accounts"], row["key_accounts_at_risk"], row["at_risk_amount"]) == (2, 1, Decimal("10.75"))
    assert (row["contacts_due"], row["contacts_kept"], row["cadence_kept"]) == (2, 1, 0.5)
    assert (row["urgent_tickets"], row["overdue_amount"], row["accounts_received"]) == (1, Decimal("9.99"), 1)


def test_satisfaction_weighs_what_is_known(judged):
    result = judged(
        {"C1": ("1", "1"), "C2": ("1", "1")},
        satisfaction=[
            {"customer_id": "C1", "value_effective": 80.0, "confidence": 0.9},
            {"customer_id": "C2", "value_effective": 60.0, "confidence": 0.0},
        ],
    )
    assert year(result["account_managers"])["satisfaction"] == pytest.approx((80 * 1.0 + 60 * 0.1) / 1.1, abs=0.01)


def test_with_nothing_at_all_there_are_no_rates(judged):
    result = judged({"C1": ("0", "0")})
    assert {
        year(result["regions"], level="all")[rate] for rate in ("grr", "nrr", "logo_retention", "cadence_kept")
    } == {None}
