"""Probable matches: learnt without labels, frozen, the same in every order."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest

from engine.build import probabilistic_matching
from engine.build.probabilistic_matching import comparable, matches, mutual, predicted
from engine.config.customer_model import MatchingConfig
from engine.storage.backend import backend
from engine.storage.ledger import Ledger

pytest.importorskip("splink")
DAY = date(2026, 1, 1)
TEXTS = ("node", "connection", "account_id", "country", *probabilistic_matching.TEXTS)
WORDS = [
    a + b + c for a in ("ba", "ko", "li", "mu", "re") for b in ("dan", "fel", "gor", "nis") for c in ("to", "va", "x")
]


def key(node: str, **held: str) -> dict[str, str]:
    connection, account_id = node.split("/")
    return dict.fromkeys(TEXTS, "") | {"node": node, "connection": connection, "account_id": account_id} | held


def village() -> list[dict[str, str]]:
    """Found 400 companies that two systems hold, each with its gaps, and mistype some names."""
    chance = random.Random(5)
    rows = []
    for number in range(400):
        one = {
            "name": f"{chance.choice(WORDS)} {chance.choice(WORDS)}",
            "country": "DE",
            "postal_code": f"{chance.randrange(10000, 10999)}",
            "city": chance.choice(WORDS),
            "street": f"{chance.choice(WORDS)} {number}",
        }
        for connection in ("crm", "erp"):
            held = {"tax": f"{number + 10**8}", "phone": f"4930{number:05}", "site": f"firm{number}.de"}
            given = {name: value for name, value in held.items() if chance.random() < 0.7}
            slip = {"name": one["name"][1:]} if chance.random() < 0.1 else {}
            rows.append(key(f"{connection}/{number}", **(one | given | slip)))
    return rows


@pytest.fixture(scope="module")
def con() -> Iterator[Any]:
    opened = backend.connect(threads=1)
    yield opened
    opened.disconnect()


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def table(con: Any, rows: list[dict[str, str]]) -> Any:
    return backend.table(con, pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in TEXTS])))


def pairs(found: Any) -> set[tuple[str, str, float]]:
    return {(row["left"], row["right"], row["score"]) for row in found.to_pyarrow().to_pylist()}


def learnt(model: dict[str, Any]) -> dict[tuple[str, str, str], float]:
    """List the probabilities of each level of each comparison."""
    levels = [(one["output_column_name"], level) for one in model["comparisons"] for level in one["comparison_levels"]]
    return {
        (column, level["sql_condition"], name): level[name]
        for column, level in levels
        for name in ("m_probability", "u_probability")
        if name in level
    }


@pytest.fixture(scope="module")
def model(con) -> dict[str, Any]:
    return probabilistic_matching.fit(con, backend.keep(con, comparable(table(con, village()))))


def test_finds_the_same_companies_of_two_systems_without_being_told_any(con, ledger):
    found = matches(con, table(con, village()), ledger.model_parameters, DAY, MatchingConfig())
    joined = {(left, right) for left, right, _ in pairs(found.joining)}
    assert len(joined) > 360
    assert {left.removeprefix("crm/") == right.removeprefix("erp/") for left, right in joined} == {True}
    assert pairs(found.suggested).isdisjoint(pairs(found.joining))
    assert not [name for name in con.list_tables() if "splink" in name]
    held = ledger.model_parameters.newest("matching", DAY)
    assert held is not None
    again = matches(
        con, table(con, village()[:300]), ledger.model_parameters, DAY + timedelta(days=29), MatchingConfig()
    )
    assert ledger.model_parameters.newest("matching", DAY + timedelta(days=29)) == held  # young enough
    assert pairs(again.joining)


def test_neither_order_nor_others_change_what_was_learnt_or_found(con, model):
    rows = village()
    shuffled = random.Random(1).sample(rows, len(rows))
    given, other = (backend.keep(con, comparable(table(con, some))) for some in (rows, shuffled))
    again = probabilistic_matching.fit(con, other)
    assert len(learnt(model)) > 20
    assert learnt(again) == pytest.approx(learnt(model), rel=1e-4)
    one, two = (
        {(left, right): score for left, right, score in pairs(predicted(con, some, model, 0.5))}
        for some in (given, other)
    )
    assert one == pytest.approx(two, abs=2e-6)  # scores are rounded to six digits


def test_no_difference_alone_is_proof(model):
    levels = [
        level for one in model["comparisons"] for level in one["comparison_levels"] if not level.get("is_null_level")
    ]
    assert min(level["m_probability"] for level in levels) >= probabilistic_matching.FLOOR


def test_too_few_accounts_teach_nothing(con, ledger):
    found = matches(con, table(con, village()[:100]), ledger.model_parameters, DAY, MatchingConfig())
    assert (pairs(found.joining), pairs(found.suggested)) == (set(), set())
    assert found.notes == {"probabilistic": "too few accounts to learn from"}


@pytest.mark.parametrize(("enabled", "told"), [(False, "off"), (True, "Splink is not installed (extra: matching)")])
def test_without_it_the_rules_stand_alone(con, ledger, monkeypatch, enabled, told):
    monkeypatch.setattr(probabilistic_matching, "find_spec", lambda _: None)
    found = matches(con, table(con, village()), ledger.model_parameters, DAY, MatchingConfig(enabled=enabled))
    assert pairs(found.joining) == set()
    assert found.notes == {"probabilistic": told}


def test_a_value_that_too_many_share_is_no_block(con):
    rows = [
        key(f"crm/{n}", site="host.de", phone=f"49{n // 2}", name=f"firm {n}")
        for n in range(probabilistic_matching.MOST_PER_BLOCK + 1)
    ]
    (row,) = (
        comparable(table(con, rows))
        .agg(site=ibis._.by_site.count(), phone=ibis._.by_phone.count())
        .to_pyarrow()
        .to_pylist()
    )
    assert row == {"site": 0, "phone": probabilistic_matching.MOST_PER_BLOCK + 1}


def joined(con: Any, found: list[tuple[str, str, float]]) -> set[tuple[str, str]]:
    nodes = sorted({node for left, right, _ in found for node in (left, right)})
    rows = [dict(zip(("left", "right", "score"), one, strict=True)) for one in found]
    made = mutual(backend.table(con, pa.Table.from_pylist(rows)), table(con, [key(node) for node in nodes]), 0.99)
    return {(left, right) for left, right, _ in pairs(made)}


def test_only_the_best_of_two_that_look_alike_joins_and_none_of_equals(con):
    found = [("crm/1", "erp/1", 0.999), ("crm/1", "erp/2", 0.992), ("crm/3", "erp/3", 0.995), ("crm/3", "erp/4", 0.995)]
    found += [("crm/1", "help/1", 0.993)]
    assert joined(con, found) == {("crm/1", "erp/1"), ("crm/1", "help/1")}


def test_a_pair_without_a_rival_is_likelier_where_most_accounts_have_found_their_partner(con):
    partnered = [(f"crm/{n}", f"erp/{n}", 0.999) for n in range(8)]
    lone, rivals = [("crm/8", "erp/8", 0.95)], [("crm/9", "erp/9", 0.95), ("crm/9", "erp/8a", 0.06)]
    alone = [(f"x/{n}", f"y/{n}", 0.1) for n in range(5)]
    doubles = [("crm/20", "crm/21", 0.95), ("x/9", "y/9", 0.95)]
    joins = joined(con, [*partnered, *lone, *rivals, *alone, *doubles])
    assert joins - {(left, right) for left, right, _ in partnered} == {("crm/8", "erp/8")}
