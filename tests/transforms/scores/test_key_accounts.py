"""Key accounts against the public vectors."""

import json
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.scores.criteria import Criterion, CriterionError, configured
from transforms.scores.criteria_scores import key_account_criteria
from transforms.scores.default_criteria import DEFAULTS
from transforms.scores.key_accounts import key_accounts
from transforms.scores.tiers import review_due

END = date(2026, 6, 30)
NAMES = [criterion.name for criterion in DEFAULTS]
ACCOUNT_A = (180000, 0.12, 0.35, 0.66, 0.025, 3, 78, 0.10, 70, 300, 5, 0.33, 0.42, 9, 4)
SCORES_A = (7.5333, 7.1333, 7.25, 7.6, 7.5, 4, 7.6, 4.5, 8, 6.2, 6, 7.3, 8.2, 8.5, 8.3333)
ACCOUNT_D = (400,) + (None,) * 14


def measured(con: Any, *accounts: tuple[Any, ...]) -> Any:
    schema = pa.schema([("customer_id", pa.string()), *((name, pa.float64()) for name in NAMES)])
    rows = [
        {"customer_id": f"C{index}", **dict(zip(NAMES, values, strict=True))} for index, values in enumerate(accounts)
    ]
    return con.create_table("measured", pa.Table.from_pylist(rows, schema), temp=True, overwrite=True)


def totals(con: Any, rows: Any, *accounts: tuple[Any, ...], **options: Any) -> list[dict[str, Any]]:
    people = rows(
        "customers",
        *(
            {"customer_id": f"C{index}", "status": "active", "account_manager": "Ann", "revenue_l12_amount": 1}
            for index in range(len(accounts))
        ),
    )
    missing = options.pop("missing", "neutral")
    criteria = options.pop("criteria", DEFAULTS)
    overrides = options.get("overrides", ())
    scored = key_account_criteria(
        measured(con, *accounts), as_of=END, criteria=criteria, missing=missing, overrides=overrides
    )
    scored = con.create_table("scored", scored.to_pyarrow(), temp=True, overwrite=True)
    previous = options.pop("previous", rows("key_accounts"))
    result = key_accounts(scored, people, previous, as_of=END, criteria=criteria, missing=missing, **options)
    return result.order_by("customer_id").to_pyarrow().to_pylist()


def test_weights_of_the_defaults_are_forty_thirty_thirty():
    groups = {
        group: sum(item.weight for item in DEFAULTS if item.group == group)
        for group in ("growth", "harmony", "value_creation")
    }
    assert groups == {"growth": 40, "harmony": 30, "value_creation": 30}
    assert len(DEFAULTS) == 15


def test_scores_are_those_of_the_public_example(con: Any):
    scored = key_account_criteria(measured(con, ACCOUNT_A), as_of=END, criteria=DEFAULTS).to_pyarrow().to_pylist()
    result = {row["criterion"]: row["score"] for row in scored}
    assert [result[name] for name in NAMES] == pytest.approx(SCORES_A, abs=5e-5)


def test_totals_are_those_of_the_public_example(con: Any, rows: Any):
    row = totals(con, rows, ACCOUNT_A)[0]
    assert (row["growth"], row["harmony"], row["value_creation"]) == pytest.approx((7.0646, 6.59, 7.9911), abs=1e-4)
    assert row["value"] == pytest.approx(7.2002, abs=1e-4)
    assert (row["coverage"], row["is_eligible"], row["band"], row["quadrant"]) == (1.0, True, "A", "key")


def test_one_known_number_leads_no_list(con: Any, rows: Any):
    row = totals(con, rows, ACCOUNT_D)[0]
    assert (row["value"], row["coverage"], row["is_eligible"]) == (4.96, 0.12, False)
    assert totals(con, rows, ACCOUNT_D, missing="renormalise")[0]["value"] == 1.0


def test_reasons_add_up_to_the_distance_from_neutral(con: Any, rows: Any):
    for row in totals(con, rows, ACCOUNT_A, ACCOUNT_D):
        assert sum(reason["points"] for reason in json.loads(row["reasons"])) == pytest.approx(
            row["value"] - 5.5, abs=0.011
        )


@pytest.mark.parametrize(("scores", "total"), [((8, 3, 2, 1), 2.95), ((4, 6, 8, 3), 5.2)])
def test_arithmetic_is_that_of_the_public_scoring_sheet(con: Any, rows: Any, scores: tuple[int, ...], total: float):
    anchors = tuple(float(anchor) for anchor in range(1, 11))
    weights = (0.15, 0.35, 0.20, 0.30)
    sheet = [Criterion(name, "growth", weight, anchors, name) for name, weight in zip(NAMES[:4], weights, strict=True)]
    assert totals(con, rows, (*scores, *(None,) * 11), criteria=sheet)[0]["value"] == pytest.approx(total)


def test_equal_anchors_score_their_mean_and_divide_by_nothing(con: Any):
    tied = Criterion("revenue_level", "growth", 1, (0, 0, 0, 1, 1, 2, 3, 3, 3, 3), "tied")
    result = key_account_criteria(
        measured(con, *((value, *(None,) * 14) for value in (-1, 0, 0.5, 1, 3))), as_of=END, criteria=[tied]
    )
    assert [row["score"] for row in result.order_by("customer_id").to_pyarrow().to_pylist()] == [2, 2, 3.25, 4.5, 8.5]


def test_falling_anchors_mirror(con: Any):
    late = next(item for item in DEFAULTS if item.name == "payment_discipline")
    result = key_account_criteria(
        measured(con, *((*(None,) * 14, value) for value in (120, 90, 2, 0))), as_of=END, criteria=[late]
    )
    assert [row["score"] for row in result.order_by("customer_id").to_pyarrow().to_pylist()] == [1, 1, 9, 10]


def test_anchors_that_neither_rise_nor_fall_are_refused():
    with pytest.raises(CriterionError, match="rise or fall"):
        configured({"reputation": {"anchors": [1, 2, 1, 2, 1, 2, 1, 2, 1, 2]}}, DEFAULTS)


def test_a_criterion_that_is_not_there_is_named_with_the_choices():
    with pytest.raises(CriterionError, match="revenue_levle.*revenue_level"):
        configured({"revenue_levle": {"weight": 3}}, DEFAULTS)


def test_an_override_counts_while_it_is_in_force(con: Any, rows: Any):
    fields = {
        "customer_id": "C0",
        "what": "reputation",
        "score": 10.0,
        "override_id": "o1",
        "reason": "flagship",
        "author": "Ann",
    }
    valid = fields | {"created_on": date(2026, 6, 1), "expires_on": date(2026, 12, 1)}
    over = fields | {"created_on": date(2025, 1, 1), "expires_on": END}
    plain, forced, expired = (
        totals(con, rows, ACCOUNT_A, overrides=rows_)[0]["value"] for rows_ in ((), (valid,), (over,))
    )
    assert forced == pytest.approx(plain + 4 * (10 - 6.2) / 100, abs=1e-4)
    assert expired == plain


def test_other_customers_never_move_a_score(con: Any, rows: Any):
    alone = totals(con, rows, ACCOUNT_A)[0]["value"]
    small = (10, *(None,) * 14)
    assert totals(con, rows, ACCOUNT_A, *(small,) * 30)[0]["value"] == alone


def test_a_member_stays_until_the_next_review(con: Any, rows: Any):
    better, worse = (400000, *ACCOUNT_A[1:]), ACCOUNT_A
    last = rows(
        "key_accounts", {"customer_id": "C1", "tier_computed": "A"}, {"customer_id": "C0", "tier_computed": "C"}
    )
    unchanged = totals(con, rows, better, worse, previous=last, capacity=1, is_review=False)
    assert [(row["band"], row["tier"]) for row in unchanged] == [("A", "C"), ("B", "A")]


def test_at_a_review_free_places_go_by_rank(con: Any, rows: Any):
    best, middle, last = (900000, *ACCOUNT_A[1:]), (400000, *ACCOUNT_A[1:]), ACCOUNT_A
    before = rows(
        "key_accounts", {"customer_id": "C2", "tier_computed": "A"}, {"customer_id": "C0", "tier_computed": "C"}
    )
    result = totals(con, rows, best, middle, last, previous=before, capacity=2, is_review=True)
    assert [row["tier"] for row in result] == ["A", "B", "A"]  # rank 3 is within 1.5 times 2 places, so it stays


def test_a_customer_that_comes_between_reviews_waits_for_the_next_one(con: Any, rows: Any):
    (row,) = totals(con, rows, ACCOUNT_A, is_review=False)
    assert (row["band"], row["tier"], row["next_review_on"]) == ("A", "C", date(2026, 7, 1))


def test_a_tier_set_by_hand_counts_until_it_expires(con: Any, rows: Any):
    word = {"customer_id": "C0", "what": "tier", "tier": "C", "override_id": "o1", "created_on": date(2026, 6, 1)}
    stored, over = (
        totals(con, rows, ACCOUNT_A, overrides=[word | {"expires_on": day}])[0] for day in (date(2026, 7, 1), END)
    )
    assert (stored["tier_computed"], stored["tier"], stored["override_id"]) == ("A", "C", "o1")
    assert (over["tier"], over["override_id"]) == ("A", None)


def test_a_total_set_by_hand_ranks_and_the_computed_one_stays_beside_it(con: Any, rows: Any):
    word = {"customer_id": "C1", "what": "key_account", "score": 9.5, "override_id": "o1"}
    word |= {"created_on": date(2026, 6, 1), "expires_on": date(2026, 7, 1)}
    first, second = totals(con, rows, ACCOUNT_A, ACCOUNT_A, overrides=[word])
    assert (second["value"], second["value_effective"], second["rank"]) == (first["value"], 9.5, 1)


def test_of_two_words_on_one_thing_the_newer_counts(con: Any, rows: Any):
    word = {"customer_id": "C0", "what": "tier", "expires_on": date(2027, 1, 1)}
    older = word | {"tier": "C", "override_id": "z", "created_on": date(2026, 5, 1)}
    newer = word | {"tier": "B", "override_id": "a", "created_on": date(2026, 6, 1)}
    later = word | {"tier": "C", "override_id": "b", "created_on": date(2026, 7, 1)}
    assert totals(con, rows, ACCOUNT_A, overrides=[newer, older, later])[0]["tier"] == "B"


def test_reviews_fall_on_the_first_day_of_a_quarter():
    assert review_due(None, END, 3)
    assert not review_due(date(2026, 4, 1), END, 3)
    assert review_due(END, date(2026, 7, 1), 3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12)), min_size=15, max_size=15))
def test_every_score_lies_between_one_and_ten(con: Any, values: list[float | None]):
    scored = key_account_criteria(measured(con, tuple(values)), as_of=END, criteria=DEFAULTS).to_pyarrow().to_pylist()
    assert all(1 <= row["score"] <= 10 for row in scored)
    assert all(abs(row["contribution"]) <= row["weight"] * 4.5 / 100 + 1e-9 for row in scored)
