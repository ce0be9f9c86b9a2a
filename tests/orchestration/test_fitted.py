"""Parameters are kept: scores do not move because other customers did, and the horizon not at all."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pytest

from orchestration.config import RetentionConfig
from orchestration.fitted import CHOICE, Retention, retention_for
from orchestration.storage import engine
from orchestration.storage.ledger import Ledger
from tests.orchestration.cdnow import events, order_days

DAY = date(1998, 3, 31)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture(scope="module")
def con() -> Iterator[Any]:
    opened = engine.connect(threads=1)
    yield opened
    opened.disconnect()


@pytest.fixture(scope="module")
def bought(con: Any) -> ir.Table:
    return order_days(con)


def fitted(ledger: Ledger, bought: ir.Table, later: int = 0, **settings: Any) -> Retention:
    return retention_for(ledger, bought, DAY + timedelta(days=later), RetentionConfig(**settings), "order")


def test_a_fit_is_used_for_a_week(ledger: Ledger, bought: ir.Table):
    first = fitted(ledger, bought)
    assert fitted(ledger, bought, later=6) == first
    week, month = (fitted(ledger, bought, later=days) for days in (7, 30))
    assert (week.fitted_on, first.fitted_on) == (DAY + timedelta(days=7), DAY)
    assert week.version == first.version  # the same complete months
    assert month.version != first.version


def test_the_horizon_is_chosen_once_and_kept(ledger: Ledger, con: Any, bought: ir.Table):
    """CDNOW's customers order too rarely for 3 months: the horizon is longer, and stays when everybody orders often."""
    first = fitted(ledger, bought)
    assert first.horizon > 3
    days = [DAY - timedelta(days=30 * month + number % 20) for number in range(60) for month in range(12)]
    often = events(con, *{(f"C{number}", day) for number in range(60) for day in days[number::60]})
    assert retention_for(ledger, often, DAY, RetentionConfig(refit_days=0), "invoice").horizon == first.horizon
    assert fitted(ledger, bought, horizon_months=3).horizon == 3


def test_another_model_another_event_or_another_horizon_is_fitted_at_once(ledger: Ledger, bought: ir.Table):
    first = fitted(ledger, bought, horizon_months=6)
    other = fitted(ledger, bought, horizon_months=6, model="mbgnbd")
    assert (first.model.name, other.model.name) == ("bgbb", "mbgnbd")
    assert other.version.startswith("mbgnbd-")
    assert fitted(ledger, bought, horizon_months=12, model="mbgnbd").version.endswith("-h12")
    again = retention_for(ledger, bought, DAY, RetentionConfig(horizon_months=12, model="mbgnbd"), "invoice")
    assert ledger.parameters("retention", DAY).values["event"] == "invoice"
    assert again.fit == fitted(ledger, bought, horizon_months=12, model="mbgnbd").fit


def test_every_model_is_fitted_and_kept_with_its_version(ledger: Ledger, bought: ir.Table):
    for name in ("bgbb", "bgnbd", "mbgnbd", "mbgcnbd", "rfm", "recency"):
        first = fitted(ledger, bought, model=name, horizon_months=6)
        held = ledger.parameters("retention", DAY)
        assert (held.version, held.values["model"]) == (first.version, name)
        assert fitted(ledger, bought, model=name, horizon_months=6) == first
        assert first.fit.customers > 1000


def test_auto_follows_the_last_backtest_and_only_the_last(ledger: Ledger, bought: ir.Table):
    assert fitted(ledger, bought).model.name == "bgbb"
    ledger.save_parameters(CHOICE, "rfm", DAY + timedelta(days=1), {"model": "rfm"})
    assert fitted(ledger, bought).model.name == "bgbb"  # of an earlier date: the choice was not known
    assert fitted(ledger, bought, later=1).model.name == "rfm"
    assert fitted(ledger, bought, later=1, model="mbgnbd").model.name == "mbgnbd"
    ledger.save_parameters(CHOICE, "bgbb", DAY + timedelta(days=2), {"model": "bgbb"})
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
    assert ledger.parameters("retention", DAY + timedelta(days=1)).values["is_frozen"]
