"""Criteria that users write themselves."""

from datetime import date
from typing import Any

import ibis
import pytest

from transforms.scores.criteria import CriterionError, configured, version
from transforms.scores.custom_criteria import with_own
from transforms.scores.default_criteria import DEFAULTS

AS_OF = date(2026, 6, 30)
RISING = list(range(1, 11))
OWN = {"group": "growth", "weight": 5, "anchors": RISING}


@pytest.fixture
def measure(con: Any, rows: Any):
    """Measure two customers, the first of which has three orders, by one criterion of one's own."""

    def build(**fields: Any) -> list[float | None]:
        orders = rows(
            "orders",
            *({"connection": "odoo", "order_id": str(day), "ordered_on": date(2026, 6, day)} for day in (1, 2, 30)),
        )
        customers = rows(
            "customers", {"customer_id": "C1", "employees": 40, "name": "Hansa"}, {"customer_id": "C2", "deals_won": 0}
        )
        tables = {"customers": customers, "orders": orders.mutate(customer_id=ibis.literal("C1"))}
        criteria = [item for item in configured({"loyalty": OWN | fields}, DEFAULTS) if item.name == "loyalty"]
        result = with_own(customers.select("customer_id"), tables, criteria, as_of=AS_OF)
        return [row["loyalty"] for row in result.order_by("customer_id").to_pyarrow().to_pylist()]

    return build


def test_an_expression_sums_up_the_rows_of_a_customer(measure):
    assert measure(table="orders", sql="count(*)") == [3.0, None]
    assert measure(table="orders", sql="count(*) FILTER (WHERE ordered_on > as_of - 10)") == [1.0, None]


def test_criteria_over_several_tables_are_measured_side_by_side(con: Any, rows: Any):
    customers = rows("customers", {"customer_id": "C1", "employees": 40, "deals_won": 3})
    orders = rows("orders", {"connection": "odoo", "order_id": "1"}).mutate(customer_id=ibis.literal("C1"))
    own = {"size": OWN | {"sql": "employees"}, "loyalty": OWN | {"table": "orders", "sql": "count(*)"}}
    criteria = [item for item in configured(own, DEFAULTS) if item.name in own]
    tables = {"customers": customers, "orders": orders}
    result = with_own(customers.select("customer_id"), tables, criteria, as_of=AS_OF)
    assert result.to_pyarrow().to_pylist() == [{"customer_id": "C1", "size": 40.0, "loyalty": 1.0}]


def test_a_plain_column_of_the_customer_is_itself(measure):
    assert measure(sql="employees / 10") == [4.0, None]


def test_what_is_no_number_is_no_data(measure):
    assert measure(sql="name") == [None, None]
    assert measure(sql="1.0 / deals_won") == [None, None]


def test_a_manual_criterion_has_no_data_until_a_person_scores_it(measure):
    assert measure(manual=True) == [None, None]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sql": "sum("}, "not an SQL expression"),
        ({"sql": "1, 2"}, "one expression"),
        ({"sql": "employees FROM customers"}, "one expression"),
        ({"sql": "(SELECT max(employees) FROM customers)"}, "must not contain a subquery"),
        ({"sql": "employes"}, "no column 'employes'"),
        ({"sql": "count(*)", "table": "order"}, "no table 'order'; choices: customers, orders"),
        ({"sql": "nonsense(employees)"}, "(?i)nonsense"),
        ({"sql": "employees", "manual": True}, "either `sql` or"),
        ({}, "needs `sql` or `manual: true`"),
        ({"sql": "employees", "anchors": None}, "needs anchors"),
        ({"sql": "employees", "group": "other"}, "group must be one of"),
        ({"sql": "employees", "label": 'a "good" one'}, "quotes"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(measure, fields: dict[str, Any], message: str):
    with pytest.raises(CriterionError, match=message) as caught:
        measure(**fields)
    assert "loyalty" in str(caught.value)


def test_defaults_can_be_turned_off_reweighed_and_replaced():
    chosen = configured(
        {
            "reputation": {"enabled": False},
            "revenue_level": {"weight": 20},
            "product_breadth": {"sql": "count(DISTINCT name)", "table": "deals"},
        },
        DEFAULTS,
    )
    named = {item.name: item for item in chosen}
    assert len(named) == 14
    assert named["revenue_level"].weight == 20
    assert named["product_breadth"].anchors == next(item for item in DEFAULTS if item.name == "product_breadth").anchors


def test_anchors_of_the_user_stand_before_calibrated_ones_and_those_before_the_defaults():
    fields = {"revenue_level": {"anchors": RISING}}
    calibrated = {"revenue_level": [5] * 10, "reputation": [*range(0, 20, 2)]}
    chosen = {item.name: item for item in configured(fields, DEFAULTS, calibrated)}
    assert chosen["revenue_level"].anchors == tuple(RISING)
    assert chosen["reputation"].anchors == tuple(range(0, 20, 2))


def test_the_version_is_another_when_anything_that_counts_is():
    plain = configured({}, DEFAULTS)
    for change in (
        {"reputation": {"weight": 5}},
        {"reputation": {"anchors": RISING}},
        {"reputation": {"manual": True}},
        {"reputation": {"sql": "employees"}},
    ):
        assert version(configured(change, DEFAULTS), "neutral") != version(plain, "neutral")
    assert version(plain, "zero") != version(plain, "neutral")
