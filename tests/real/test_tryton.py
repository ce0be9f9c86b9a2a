"""A real ERP: Tryton, connected by YAML alone, its parties beside the sandbox's CRM."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import pytest
import requests

from engine.build.current_tables import Tables
from engine.build.run import build
from engine.config.project import Project
from engine.extract.run import extract
from sandbox.server import Sandbox

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
CONF = "[database]\nuri = sqlite://\npath = {folder}\n[web]\nlisten = 127.0.0.1:{port}\n[session]\ntimeout = 3600\n"

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@pytest.fixture(scope="module")
def snapshot(request: pytest.FixtureRequest) -> Path:
    """Make the company's database once and keep it between runs: it takes a minute."""
    pytest.importorskip("trytond", reason="Tryton is in the dev extra")
    folder = Path(request.config.cache.mkdir("tryton-8.2"))
    if not (folder / "key").exists():
        (folder / "trytond.conf").write_text(CONF.format(folder=folder, port=free_port()))
        (folder / "password").write_text("admin-pw-1234")
        for left in folder.glob("test.sqlite*"):
            left.unlink()
        (folder / "test.sqlite").touch()
        environment = dict(os.environ, TRYTONPASSFILE=str(folder / "password"))
        admin = [
            BIN / "trytond-admin",
            "-c",
            "trytond.conf",
            "-d",
            "test",
            "-u",
            "account_invoice",
            "--activate-dependencies",
        ]
        subprocess.run(
            [*admin, "--email", "admin@example.com"], cwd=folder, env=environment, check=True, capture_output=True
        )
        company = [sys.executable, "-W", "ignore", HERE / "tryton_company.py", "trytond.conf", "test"]
        made = subprocess.run(company, cwd=folder, check=True, capture_output=True, text=True)
        (folder / "key").write_text(made.stdout.rpartition("KEY ")[2].strip())
    return folder


@pytest.fixture(scope="module")
def tryton(
    snapshot: Path, tmp_path_factory: pytest.TempPathFactory, monkeysession: pytest.MonkeyPatch
) -> Iterator[str]:
    """Run the server on a copy of the snapshot."""
    folder, port = tmp_path_factory.mktemp("tryton"), free_port()
    for file in snapshot.glob("test.sqlite*"):
        shutil.copy(file, folder)
    (folder / "trytond.conf").write_text(CONF.format(folder=folder, port=port))
    log = (folder / "log").open("w")
    server = subprocess.Popen([BIN / "trytond", "-c", "trytond.conf", "-d", "test"], cwd=folder, stdout=log, stderr=log)
    monkeysession.setenv("TRYTON_URL", f"http://127.0.0.1:{port}")
    monkeysession.setenv("TRYTON_KEY", (snapshot / "key").read_text())
    try:
        for _ in range(240):
            try:
                requests.get(f"http://127.0.0.1:{port}/", timeout=5)
                break
            except requests.ConnectionError:
                sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()  # its data is a copy; a polite signal may be ignored, as Dagster hands an ignored SIGINT on
        server.wait()
        log.close()


def test_parties_and_invoices_become_customers_beside_the_crm(
    tryton: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    defs = tmp_path / "defs"
    shutil.copytree(Path(__file__).parents[2] / "orchestration" / "defs" / "hubspot", defs / "hubspot")
    (defs / "tryton").mkdir()
    shutil.copy(HERE / "tryton.yaml", defs / "tryton" / "defs.yaml")
    project = Project.load(defs=defs, home=tmp_path / "home")
    project.connections["hubspot"].settings |= {"requests_per_10_seconds": 100_000}
    known = list(sandbox.hubspot.objects["companies"].values())[0]
    sandbox.edit("hubspot", "companies", known["id"], {"name": "Tryton Customer 1", "zip": "10111", "country": "DE"})

    read = {f"{name}/{one.stream}": one for name in project.connections for one in extract(project, name, "first")}
    for _ in build(project, datetime.now(UTC).date(), "first"):
        pass

    assert {one.status for one in read.values()} == {"done"}
    assert read["tryton/accounts"].read == read["tryton/accounts"].total == 7  # six customers and the company itself
    assert read["tryton/invoices"].new == 4
    tables = Tables(project)
    joined = tables.query("SELECT connections, revenue_l12_amount FROM customers WHERE name = 'Tryton Customer 1'")
    assert joined == [{"connections": "hubspot, tryton", "revenue_l12_amount": 1250}]
    posted = tables.query(
        "SELECT count(*) AS n FROM invoices WHERE connection = 'tryton' AND status = 'posted' AND net_amount = 1250"
    )
    assert posted[0]["n"] == 2

    again = {one.stream: one for one in extract(project, "tryton", "second")}
    assert {(one.new, one.changed, one.deleted) for one in again.values()} == {(0, 0, 0)}
