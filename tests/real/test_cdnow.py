"""Real behaviour: the CDNOW purchase histories, read as invoices, through the whole build."""

from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from engine.build.current_tables import Tables
from engine.build.run import build
from engine.config.project import Project
from engine.evaluate.backtest import BacktestResult, backtest
from engine.extract.run import extract

pytestmark = pytest.mark.real

CUT = date(1997, 12, 31)
DEFS = """
type: orchestration.components.Connection
attributes:
  connector: files
  role: erp
  settings:
    root: ROOT
    streams:
      accounts:
        path: customers.csv
        primary_key: customer
        table: accounts
        fields: {account_id: customer, name: customer, is_active: {constant: "true"}}
      invoices:
        path: CDNOW_master.txt
        delimiter: whitespace
        dates: {date: "%Y%m%d"}
        table: invoices
        fields:
          invoice_id: _row
          account_id: customer_id
          kind: {constant: invoice}
          status: {constant: posted}
          net_amount: dollar_value
          currency: {constant: USD}
          invoice_on: date
"""
MODEL = """
type: orchestration.components.CustomerModel
attributes: {reporting_currency: USD, retention: {horizon_months: 6, backtest_origins: 2}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Read the master file (23,570 customers, 69,659 purchases, January 1997 to June 1998) and build as of the end of 1997."""
    home = tmp_path_factory.mktemp("cdnow")
    master = Path(find_spec("lifetimes").origin).parent / "datasets" / "CDNOW_master.txt"
    data = home / "data"
    data.mkdir()
    (data / "CDNOW_master.txt").write_bytes(master.read_bytes())
    numbers = sorted({line.split()[0] for line in master.read_text().splitlines()[1:] if line.strip()})
    (data / "customers.csv").write_text("customer\n" + "\n".join(numbers))
    for name, text in (("cdnow", DEFS.replace("ROOT", str(data))), ("model", MODEL)):
        (home / "defs" / name).mkdir(parents=True)
        (home / "defs" / name / "defs.yaml").write_text(text)
    project = Project.load(defs=home / "defs", home=home / "home")
    read = {result.stream: result for result in extract(project, "cdnow", "first")}
    assert (read["accounts"].new, read["invoices"].new) == (23570, 69659)
    for _ in build(project, CUT, "first"):
        pass
    return project


@pytest.fixture(scope="module")
def outcomes(project: Project) -> "np.ndarray":
    """Pair each customer's probability with what it did in the six months after: columns p, bought."""
    rows = Tables(project).query(
        "SELECT r.value / 100 AS p, count(i.invoice_id) FILTER (WHERE i.invoice_on > ? AND i.net_amount > 0) > 0 AS bought "
        "FROM retention r JOIN crosswalk x USING (customer_id) LEFT JOIN invoices i USING (connection, account_id) "
        "WHERE r.value IS NOT NULL GROUP BY r.customer_id, r.value",
        [CUT],
    )
    return np.array([(row["p"], row["bought"]) for row in rows], float)


def test_every_customer_is_scored_from_facts_before_the_date(outcomes: "np.ndarray"):
    assert len(outcomes) > 23_400
    assert 0 < outcomes[:, 0].min() < outcomes[:, 0].max() < 1


def test_probabilities_are_calibrated(outcomes: "np.ndarray", capsys: pytest.CaptureFixture[str]):
    """Print a table by tenth: what was promised and what came; they differ by a few points at the most."""
    p, bought = outcomes.T
    order = np.argsort(p, kind="stable")
    tenths = [(p[part].mean(), bought[part].mean(), len(part)) for part in np.array_split(order, 10)]
    with capsys.disabled():
        print("\nCDNOW, order within 6 months, as of 1997-12-31:  promised  came  customers")
        for promised, came, count in tenths:
            print(f"{promised:57.3f} {came:5.3f} {count:10d}")
    error = np.average([abs(promised - came) for promised, came, _ in tenths])
    assert error < 0.05
    assert abs(p.mean() - bought.mean()) < 0.05


def test_the_likely_buy_more_often_than_the_unlikely(outcomes: "np.ndarray"):
    p, bought = outcomes.T
    ranks = np.empty(len(p))
    ranks[np.argsort(p, kind="stable")] = np.arange(1, len(p) + 1)
    for value in np.unique(p):  # customers with the same history share their rank
        same = p == value
        ranks[same] = ranks[same].mean()
    buyers = int(bought.sum())
    auc = (ranks[bought == 1].sum() - buyers * (buyers + 1) / 2) / (buyers * (len(p) - buyers))
    assert auc > 0.75


def test_a_one_time_buyer_is_no_safe_customer(project: Project):
    rows = Tables(project).query(
        "SELECT avg(value) AS v FROM retention WHERE months_with_orders = 0 AND months_observed >= 9"
    )
    assert rows[0]["v"] < 20


@pytest.fixture(scope="module")
def backtested(project: Project, outcomes: "np.ndarray") -> BacktestResult:
    """Build as of the end of the data, and predict from the dates before whose horizon has passed by then."""
    for _ in build(project, date(1998, 6, 30), "second"):
        pass
    return backtest(project, "third")


def test_a_backtest_puts_its_tables_beside_those_of_the_build(project: Project, backtested: BacktestResult):
    rows = Tables(project).query("SELECT * FROM backtest WHERE slice = 'all' ORDER BY model")
    assert [row["model"] for row in rows] == ["bgbb", "bgnbd", "mbgcnbd", "mbgnbd", "recency", "rfm"]
    assert backtested.broken == {"backtest": 0, "calibration": 0}
    assert [row["model"] for row in rows if row["is_chosen"]] == ["bgbb"]  # two dates say nothing of how sure a gain is
    assert Tables(project).query("SELECT count(*) AS n FROM calibration")[0]["n"] > 40
    assert project.ledger.model_parameters.newest("retention_choice", date(1998, 6, 30)).values["model"] == "bgbb"


def test_a_backtest_stays_when_tables_are_built_anew(project: Project, backtested: BacktestResult):
    before = Tables(project).query("SELECT * FROM backtest ORDER BY model, slice")
    for _ in build(project, date(1998, 6, 30), "fourth"):
        pass
    assert Tables(project).query("SELECT * FROM backtest ORDER BY model, slice") == before


def test_what_a_backtest_says_of_a_date_is_what_the_build_of_that_date_came_to(
    outcomes: "np.ndarray", backtested: BacktestResult
):
    """The first fixture scored the end of 1997 and looked at what came: the backtest finds the same by another way."""
    (row,) = (one for one in backtested.rows["backtest"] if (one["model"], one["slice"]) == ("bgbb", CUT.isoformat()))
    p, bought = outcomes.T
    assert row["customers"] == len(p)
    assert row["promised"] == pytest.approx(p.mean(), abs=1e-4)
    assert row["came"] == pytest.approx(bought.mean(), abs=1e-9)
    assert row["brier"] == pytest.approx(np.mean((p - bought) ** 2), abs=1e-4)
