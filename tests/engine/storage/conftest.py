"""A ledger on each database that it knows, and a lake beside it."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy

from engine.storage.lake import Lake
from engine.storage.ledger import Ledger


def postgres_schema(postgres_url: str) -> str:
    """Make a schema of the test's own on the server that all tests share."""
    name = f"t_{uuid4().hex[:12]}"
    server = sqlalchemy.create_engine(postgres_url)
    with server.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    server.dispose()
    url = sqlalchemy.make_url(postgres_url).update_query_dict({"options": f"-csearch_path={name}"})
    return url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return postgres_schema(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"


@pytest.fixture
def other_url(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a second, empty database of the kind that `url` names."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'other.db'}"
    return postgres_schema(request.getfixturevalue("postgres_url"))


@pytest.fixture
def open_ledger(request: pytest.FixtureRequest) -> Callable[[str], Ledger]:
    """Open ledgers that are closed when the test is over."""

    def opened(url: str) -> Ledger:
        ledger = Ledger(url)
        request.addfinalizer(ledger.engine.dispose)
        return ledger

    return opened


@pytest.fixture
def ledger(url: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    return open_ledger(url)


@pytest.fixture
def sqlite(tmp_path: Path, open_ledger: Callable[[str], Ledger]) -> Ledger:
    """Open a ledger where the database does not matter."""
    return open_ledger(f"sqlite:///{tmp_path / 'home' / 'ledger.db'}")


@pytest.fixture
def lake(tmp_path: Path, sqlite: Ledger) -> Lake:
    return Lake(str(tmp_path / "home" / "lake"), sqlite)
