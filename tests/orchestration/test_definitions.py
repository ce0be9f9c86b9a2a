"""Runs in Dagster: recorded in its instance, told apart by exit codes, green in a browser."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import dagster as dg
import pytest
import requests

from engine.config.loader import ROOT
from engine.storage.lease import lease
from sandbox.server import Sandbox
from tests.conftest import TODAY, opened
from tests.real.test_tryton import free_port

BIN = Path(sys.executable).parent
CHROMIUM = shutil.which("chromium")
STREAMS = {
    "hubspot": ["accounts", "deals", "owners"],
    "odoo": ["accounts", "invoices"],
    "zendesk": ["accounts", "tickets"],
}
SMALL = "  max_quarantine_share: 0.5\n"  # in so small a world one spoilt row is a large share, which stops delivery
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"


def belvedere(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [BIN / "belvedere", *words],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def village(
    monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Sandbox, Path]]:
    """Run a sandbox, and a home for Dagster, with the demo's project less the streams that nothing here asks of."""
    home = tmp_path_factory.mktemp("dagster-home")
    defs = shutil.copytree(ROOT / "orchestration" / "defs", home / "defs")
    for name, streams in STREAMS.items():
        file = defs / name / "defs.yaml"
        file.write_text(file.read_text().replace("attributes:\n", f"attributes:\n  streams: {streams}\n{SMALL}", 1))
    with Sandbox(customers=40, seed=3, today=TODAY) as running:
        for name, value in (
            ("SANDBOX_URL", running.url),
            ("BELVEDERE_DEFS", str(defs)),
            ("BELVEDERE_HOME", str(home)),
            ("DAGSTER_HOME", str(home / "dagster")),
        ):
            monkeysession.setenv(name, value)
        yield running, home
    for name in ("BELVEDERE_DEFS", "DAGSTER_HOME"):
        monkeysession.delenv(name)


@pytest.fixture(scope="module")
def synced(village: tuple[Sandbox, Path]) -> tuple[subprocess.CompletedProcess[str], Path]:
    return belvedere("sync", "--as-of", TODAY.isoformat()), village[1]


def test_sync_runs_a_night_and_says_what_happened(synced: tuple[subprocess.CompletedProcess[str], Path]):
    ended, home = synced
    assert ended.returncode == 0, ended.stderr
    assert "scores_to_hubspot" in ended.stdout
    assert "applied" in ended.stdout
    assert (home / "warehouse.duckdb").exists()
    assert "Traceback" not in ended.stderr


def test_a_check_that_fails_stops_delivery_and_says_why_in_a_line(
    synced: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path
):
    defs = shutil.copytree(synced[1] / "defs", tmp_path / "defs")
    file = defs / "hubspot" / "defs.yaml"
    file.write_text(file.read_text().replace(SMALL, "  max_quarantine_share: 0.001\n"))
    before = recorded(synced[1])
    ended = belvedere("sync", "--as-of", TODAY.isoformat(), BELVEDERE_DEFS=str(defs))
    assert ended.returncode == 1
    assert "belvedere: accounts: hubspot/accounts: " in ended.stderr
    assert ended.stderr.endswith(
        "belvedere: nothing was delivered: the build or a check of its tables failed (see above)\n"
    )
    assert "Traceback" not in ended.stderr
    assert "Stack Trace" not in ended.stderr
    assert recorded(synced[1])[len(before) :] == [("extract", "SUCCESS"), ("build", "FAILURE")]


def recorded(home: Path) -> list[tuple[str, str]]:
    """List the jobs and statuses of the runs in the Dagster instance."""
    with closing(sqlite3.connect(home / "dagster" / "history" / "runs.db")) as runs:
        return runs.execute("SELECT pipeline_name, status FROM runs ORDER BY id").fetchall()


def test_its_runs_are_in_the_dagster_instance(synced: tuple[subprocess.CompletedProcess[str], Path]):
    assert recorded(synced[1])[:3] == [(name, "SUCCESS") for name in ("extract", "build", "deliver")]


def test_a_night_adds_its_day_to_the_partitions_of_the_history(
    synced: tuple[subprocess.CompletedProcess[str], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGSTER_HOME", str(synced[1] / "dagster"))
    with dg.DagsterInstance.get() as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("score_history")) == {TODAY.isoformat()}


def test_no_secret_is_kept_anywhere(synced: tuple[subprocess.CompletedProcess[str], Path]):
    secrets = [b"sandbox-hubspot-token", b"sandbox-odoo-key", b"sandbox-zendesk-secret"]
    for path in synced[1].rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path


def test_a_held_lease_answers_75(village: tuple[Sandbox, Path]):
    project = opened(village[1])
    with lease(project.ledger, "connection:zendesk", "another"):
        ended = belvedere("extract", "zendesk")
    assert ended.returncode == 75
    assert "another run holds connection:zendesk" in ended.stderr


def test_a_part_that_is_missing_answers_3_and_the_rest_goes_on(village: tuple[Sandbox, Path]):
    ended = belvedere("extract", "zendesk", "odoo", ZENDESK_CLIENT_SECRET="wrong")
    assert ended.returncode == 3
    assert "zendesk: the secret was refused" in ended.stderr
    assert "2 of 2" in ended.stdout


def test_definitions_are_sound(village: tuple[Sandbox, Path]):
    from orchestration.definitions import defs

    found = defs()
    assert {"extract", "build", "deliver"} <= {job.name for job in found.resolve_all_job_defs()}
    assert [schedule.name for schedule in found.schedules] == ["nightly"]
    assert {sensor.name for sensor in found.sensors} == {
        "build_after_extract",
        "deliver_after_build",
        "killed_commands",
    }
    keys = {key.to_user_string() for key in found.resolve_asset_graph().get_all_asset_keys()}
    assert {
        "raw/hubspot/deals",
        "accounts",
        "customer_360",
        "score_history",
        "reminders",
        "plan/scores_to_odoo",
        "delivered/scores_to_odoo",
        "warehouse",
    } <= keys


@pytest.fixture(scope="module")
def webserver(synced: tuple[subprocess.CompletedProcess[str], Path]) -> Iterator[str]:
    """Run `dagster dev`, the web server with its daemon."""
    port = free_port()
    command = [BIN / "dagster", "dev", "-m", "orchestration.definitions", "-h", "127.0.0.1", "-p", str(port)]
    with (synced[1] / "dev.log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(lambda: ask(f"http://127.0.0.1:{port}", "{version}"), 90)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:  # it interrupts itself, which a shell's background commands ignore
                os.killpg(server.pid, signal.SIGKILL)  # with the web server and the daemon that it started
                server.wait()


def ask(url: str, query: str) -> Any:
    try:
        answer = requests.post(f"{url}/graphql", json={"query": query}, timeout=20)
    except requests.ConnectionError:
        return None
    return answer.json().get("data") if answer.ok else None


def runs(url: str) -> list[dict[str, str]]:
    return ask(url, "{runsOrError{... on Runs{results{runId jobName status}}}}")["runsOrError"]["results"]


def wait_for(happens: Any, seconds: float) -> Any:
    end = monotonic() + seconds
    while monotonic() < end:
        if found := happens():
            return found
        sleep(0.5)
    raise AssertionError("it did not happen in time")


@pytest.mark.browser
@pytest.mark.timeout(280)
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_pressed_in_a_browser_the_stages_follow_one_another(webserver: str, village: tuple[Sandbox, Path]):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        known = {run["runId"] for run in runs(webserver)}
        page.goto(f"{webserver}/locations/orchestration.definitions/jobs/extract")
        page.get_by_role("button", name="Materialize all").first.click(timeout=60_000)

        def all_green() -> bool:
            done = {run["jobName"]: run["status"] for run in runs(webserver) if run["runId"] not in known}
            assert "FAILURE" not in done.values(), (done, (village[1] / "dev.log").read_text()[-3000:])
            return done == dict.fromkeys(("extract", "build", "deliver"), "SUCCESS")

        wait_for(all_green, 240)
        page.goto(f"{webserver}/assets/key_accounts?view=events")
        page.get_by_text("customers)").first.wait_for(timeout=60_000)  # texts are drawn after their headings
        shown = page.inner_text("body")
        page.screenshot(path=str(village[1] / "key_accounts.png"))
        browser.close()
    assert "customers)" in shown
    assert "customer_id" in shown
