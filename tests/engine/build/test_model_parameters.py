"""Parameters are kept: scores do not move because other customers did, and the horizon not at all."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest

from engine.build.model_parameters import CHOICE, Retention, priors_for, retention_for
from engine.config.customer_model import RetentionConfig, SatisfactionConfig
from engine.storage.backend import backend
from engine.storage.ledger import Ledger
from tests.engine.cdnow import events, order_days
from transforms.scores import satisfaction_priors
from transforms.scores.models import bgbb
from transforms.scores.satisfaction_priors import Priors

DAY = date(1998, 3, 31)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture(scope="module")
def con() -> Iterator[Any]:
    opened = backend.connect(threads=1)
    yield opened
    opened.disconnect()


@pytest.fixture(scope="module")
def bought(con: Any) -> ir.Table:
    return order_days(con)


def fitted(ledger: Ledger, bought: ir.Table, later: int = 0, **settings: Any) -> Retention:
    return retention_for(
        ledger.model_parameters, bought, DAY + timedelta(days=later), RetentionConfig(**settings), "order"
    )


def test_a_fit_is_used_for_a_week(ledger: Ledger, bought: ir.Table):
    first = fitted(ledger, bought)
    assert fitted(ledger, bought, later=6) == first
    week, month = (fitted(ledger, bought, later=days) for days in (7, 30))
    assert (week.fitted_on, first.fitted_on) == (DAY + timedelta(days=7), DAY)
    assert week.version == first.version  # the same complete months
    assert month.version != first.version


@pytest.fixture
def other_digits(monkeypatch: pytest.MonkeyPatch):
    """Let the search for parameters end a hair elsewhere, as it does with another BLAS or processor."""
    search = bgbb.most_likely
    monkeypatch.setattr(bgbb, "most_likely", lambda *given: search(*given) * (1 + 1e-6))


def test_a_fit_is_named_by_its_data_not_by_the_digits_of_the_search(
    tmp_path: Path, bought: ir.Table, request: pytest.FixtureRequest
):
    here, there = (Ledger(f"sqlite:///{tmp_path / name}.db") for name in ("here", "there"))
    first = fitted(here, bought)
    request.getfixturevalue("other_digits")
    other = fitted(there, bought)
    assert first.fit.values != other.fit.values
    assert first.version == other.version
    assert other.fit.loglik == pytest.approx(first.fit.loglik, abs=1e-4)


def test_the_order_of_the_rows_does_not_name_another_fit(tmp_path: Path, bought: ir.Table):
    for model in ("bgbb", "mbgcnbd"):
        one, two = (
            fitted(Ledger(f"sqlite:///{tmp_path / (model + name)}.db"), rows, model=model, horizon_months=6)
            for name, rows in (("a", bought), ("b", bought.order_by(bought.on.desc(), "customer_id")))
        )
        assert one.version == two.version


def test_the_same_data_keeps_the_numbers_of_the_last_fit(
    ledger: Ledger, bought: ir.Table, request: pytest.FixtureRequest
):
    first = fitted(ledger, bought)
    request.getfixturevalue("other_digits")
    week = fitted(ledger, bought, later=7)
    assert (week.fit, week.version, week.fitted_on) == (first.fit, first.version, DAY + timedelta(days=7))


def earlier(ledger: Ledger, values: dict[str, Any]) -> None:
    """Store a fit as the version before did: named by its parameters, without a revision."""
    old = {name: value for name, value in values.items() if name != "revision"}
    ledger.model_parameters.save("retention", "bgbb-0ldname0-h12", DAY, old)


def test_a_fit_stored_under_an_earlier_name_keeps_it_until_the_data_changes(
    ledger: Ledger, bought: ir.Table, other_digits: None
):
    new = fitted(ledger, bought)
    earlier(ledger, ledger.model_parameters.newest("retention", DAY).values)
    assert fitted(ledger, bought, later=3).version == "bgbb-0ldname0-h12"
    for days in (7, 14):  # fitted to the same complete months: no score may say that the model changed
        again = fitted(ledger, bought, later=days)
        assert (again.version, again.fitted_on) == ("bgbb-0ldname0-h12", DAY + timedelta(days=days))
        assert again.fit == new.fit
    assert fitted(ledger, bought, later=30).version not in ("bgbb-0ldname0-h12", new.version)


def test_a_fit_stored_under_an_earlier_name_gives_way_to_one_of_other_data(ledger: Ledger, bought: ir.Table):
    new = fitted(ledger, bought)
    values = ledger.model_parameters.newest("retention", DAY).values
    earlier(ledger, values | {"loglik": values["loglik"] - 0.01})
    assert fitted(ledger, bought, later=7).version == new.version


def observations(con: Any, *rated: tuple[float, int], backlog: float = 80.0) -> ir.Table:
    names = ("csat", "nps", "ces", "sla_first", "sla_resolution", "reopen")
    rows = [
        {f"k_{name}": k * (name == "csat") for name in names}
        | {f"n_{name}": n * (name == "csat") for name in names}
        | {"backlog": backlog}
        for k, n in rated
    ]
    return backend.table(con, pa.Table.from_pylist(rows))


RATED = [(float(number % 5), 4 + number % 3) for number in range(60)]


def priors(ledger: Ledger, seen: ir.Table, later: int = 0, **settings: Any) -> Priors:
    return priors_for(ledger.model_parameters, seen, DAY + timedelta(days=later), SatisfactionConfig(**settings))


def test_priors_are_named_by_their_data_and_keep_their_numbers(
    tmp_path: Path, con: Any, monkeypatch: pytest.MonkeyPatch
):
    here, there = (Ledger(f"sqlite:///{tmp_path / name}.db") for name in ("here", "there"))
    seen, shuffled = observations(con, *RATED), observations(con, *reversed(RATED))
    first = priors(here, seen)
    search = satisfaction_priors._fitted
    monkeypatch.setattr(satisfaction_priors, "_fitted", lambda *given: (search(*given)[0], search(*given)[1] * 1.0001))
    other = priors(there, shuffled)
    assert other.m != first.m
    assert other.version == first.version
    assert priors(here, shuffled, later=400) == first
    assert priors(here, observations(con, *RATED, (4.0, 4)), later=900).version != first.version
    assert priors(there, seen, later=1, weights={"csat": 0.5}).version != first.version


def test_priors_stored_under_an_earlier_name_keep_it_until_the_data_changes(ledger: Ledger, con: Any):
    seen = observations(con, *RATED)
    new = priors(ledger, seen)
    old = replace(new, statistics=None)
    values = {"pi": dict(old.pi), "m": dict(old.m), "backlog": old.backlog}
    ledger.model_parameters.save("satisfaction", old.version, DAY, values)
    for days in (1, 400, 800):
        assert priors(ledger, seen, later=days).version == old.version
    changed = priors(ledger, observations(con, *RATED, *[(0.0, 9)] * 9), later=1200)
    assert changed.statistics is not None
    assert changed.version != old.version


def test_the_horizon_is_chosen_once_and_kept(ledger: Ledger, con: Any, bought: ir.Table):
    """CDNOW's customers order too rarely for 3 months: the horizon is longer, and stays when everybody orders often."""
    first = fitted(ledger, bought)
    assert first.horizon > 3
    days = [DAY - timedelta(days=30 * month + number % 20) for number in range(60) for month in range(12)]
    often = events(con, *{(f"C{number}", day) for number in range(60) for day in days[number::60]})
    assert (
        retention_for(ledger.model_parameters, often, DAY, RetentionConfig(refit_days=0), "invoice").horizon
        == first.horizon
    )
    assert fitted(ledger, bought, horizon_months=3).horizon == 3


def test_another_model_another_event_or_another_horizon_is_fitted_at_once(ledger: Ledger, bought: ir.Table):
    first = fitted(ledger, bought, horizon_months=6)
    other = fitted(ledger, bought, horizon_months=6, model="mbgnbd")
    assert (first.model.name, other.model.name) == ("bgbb", "mbgnbd")
    assert other.version.startswith("mbgnbd-")
    assert fitted(ledger, bought, horizon_months=12, model="mbgnbd").version.endswith("-h12")
    again = retention_for(
        ledger.model_parameters, bought, DAY, RetentionConfig(horizon_months=12, model="mbgnbd"), "invoice"
    )
    assert ledger.model_parameters.newest("retention", DAY).values["event"] == "invoice"
    assert again.fit == fitted(ledger, bought, horizon_months=12, model="mbgnbd").fit


def test_every_model_is_fitted_and_kept_with_its_version(ledger: Ledger, bought: ir.Table):
    for name in ("bgbb", "bgnbd", "mbgnbd", "mbgcnbd", "rfm", "recency"):
        first = fitted(ledger, bought, model=name, horizon_months=6)
        held = ledger.model_parameters.newest("retention", DAY)
        assert (held.version, held.values["model"]) == (first.version, name)
        assert fitted(ledger, bought, model=name, horizon_months=6) == first
        assert first.fit.customers > 1000


def test_auto_follows_the_last_backtest_and_only_the_last(ledger: Ledger, bought: ir.Table):
    assert fitted(ledger, bought).model.name == "bgbb"
    ledger.model_parameters.save(CHOICE, "rfm", DAY + timedelta(days=1), {"model": "rfm"})
    assert fitted(ledger, bought).model.name == "bgbb"  # of an earlier date: the choice was not known
    assert fitted(ledger, bought, later=1).model.name == "rfm"
    assert fitted(ledger, bought, later=1, model="mbgnbd").model.name == "mbgnbd"
    ledger.model_parameters.save(CHOICE, "bgbb", DAY + timedelta(days=2), {"model": "bgbb"})
    assert fitted(ledger, bought, later=2).model.name == "bgbb"


def test_too_little_data_is_no_model_but_a_plain_statement(ledger: Ledger, con: Any):
    few = events(con, *((name, date(1998, month, 5)) for name in "abc" for month in (1, 2, 3)))
    found = fitted(ledger, few)
    assert (found.fit, found.horizon, found.version) == (None, 6, "bgbb-none-h6")
    assert found.notes["fit"] == "too few customers or repeat orders"


def test_as_soon_as_there_is_enough_the_horizon_is_chosen(ledger: Ledger, con: Any, bought: ir.Table):
    few = events(con, *((name, date(1998, month, 5)) for name in "abc" for month in (1, 2, 3)))
    assert fitted(ledger, few).fit is None
    found = fitted(ledger, bought, later=1)
    assert found.fit is not None
    assert ledger.model_parameters.newest("retention", DAY + timedelta(days=1)).values["is_frozen"]
