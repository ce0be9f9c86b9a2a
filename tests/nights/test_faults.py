"""Nights with faults: what passes is passed, what stays stops one stream, and nothing is lost or made up."""

from collections.abc import Collection, Iterator
from typing import Any

import duckdb
import pytest

from connectors.kit.errors import ConnectorError
from engine.build.run import build
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.extract.result import StreamResult
from engine.extract.run import failed_required, stale
from sandbox.core.faults import KINDS, OF_WRITES
from sandbox.server import Sandbox
from tests.conftest import TODAY
from tests.nights import seen as looking
from tests.nights.seen import Seen, differences
from tests.nights.unhurried import Elsewhere, Time, small, unhurried
from tests.nights.worlds import PRESSED, SYSTEMS

PASSED: dict[str, dict[str, Any]] = {  # a client gets over these by itself, within the run
    "latency": {"ms": 1},
    "drip": {"ms": 1},
    "rate_limit": {"retry_after": 2},
    "error": {"status": 503},
    "reset": {},
    "truncated": {},
    "html": {},
    "lost_answer": {},
    "delayed_write": {"delay": 0.01},
    "foreign_link": {},
}
STOPPED: dict[str, dict[str, Any]] = {  # no answer of these can be trusted: the stream stops, the next run goes on
    "expired_token": {},
    "foreign_redirect": {},
    "duplicate_page": {},
    "bad_json": {},
}
STAYING = [kind for kind in (*PASSED, "expired_token", "bad_json") if kind not in ("latency", "drip", "foreign_link")]
STREAMS = {  # so few, because each night takes time
    "hubspot": ("accounts", "deals"),
    "odoo": ("accounts", "invoices"),
    "zendesk": ("accounts", "tickets", "owners"),
}
LAST = {"hubspot": 12, "odoo": 12, "zendesk": 7}  # so many requests, and a run is nearly over
AFTER = {"hubspot": 2, "odoo": 3, "zendesk": 1}  # so many requests there, and the first page has come


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return unhurried(monkeypatch)


@pytest.fixture(scope="module")
def village(monkeysession: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run one small sandbox for all tests that change nothing in it."""
    with Sandbox(customers=12, seed=5, today=TODAY) as running:
        running.clock.stop()
        yield running


@pytest.fixture
def world(village: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setenv("SANDBOX_URL", village.url)
    yield village
    village.faults.clear()
    village.requests.clear()


@pytest.fixture(scope="module")
def calm(village: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Seen, dict[str, StreamResult]]]:
    """Read each connection once without any fault."""
    with pytest.MonkeyPatch.context() as patch:
        unhurried(patch)
        patch.setenv("SANDBOX_URL", village.url)
        project = small(tmp_path_factory.mktemp("calm"))
        results = {name: read(project, name) for name in SYSTEMS}
        return {name: (seen(project, name), results[name]) for name in SYSTEMS}


def read(project: Project, system: str, run: str = "run", **options: Any) -> dict[str, StreamResult]:
    """Run one extract of a few streams."""
    return looking.read(project, system, run, **{"streams": STREAMS[system]} | options)


def seen(project: Project, system: str, streams: Collection[str] | None = None) -> Seen:
    """Look at what is held of them."""
    return looking.seen(project, system, STREAMS[system] if streams is None else streams)


def attempt(project: Project, system: str, run: str) -> tuple[dict[str, StreamResult], str | None]:
    """Run one extract; tells also why the connection as a whole could not be used, if so."""
    try:
        return read(project, system, run), None
    except ConnectorError as error:
        return {}, str(error)


def conformed(project: Project, run: str) -> dict[str, list[Any]]:
    """Build no further than the quarantine, and give what the tables hold that were made by then."""
    for result in build(project, TODAY, run):
        if result.table == "quarantine":
            break
    rows = {}
    for table in (*TABLES.conformed, "quarantine"):
        left_out = " EXCLUDE (payload)" if table == "quarantine" else ""
        made = f"{project.home}/lake/{table}/*.parquet"
        rows[table] = duckdb.sql(f"SELECT *{left_out} FROM read_parquet('{made}') ORDER BY ALL").fetchall()
    return rows


def test_every_kind_of_fault_has_its_night():
    assert {*PASSED} | {*STOPPED} | {"empty"} == {*KINDS} - {*OF_WRITES}  # outages have a file of their own


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("kind", PASSED)
def test_passing_faults_are_passed_in_one_run(world, calm, tmp_path, system, kind):
    world.faults.add(f"/{system}", kind, every=3, **PASSED[kind])
    project = small(tmp_path)
    results = read(project, system)
    assert {result.status for result in results.values()} == {"done"}
    assert sum(fault.hits for fault in world.faults.active) > 1
    assert differences(seen(project, system), calm[system][0]) == []
    assert {name: result.landed for name, result in results.items()} == {
        name: result.landed for name, result in calm[system][1].items()
    }


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_source_that_asks_to_wait_is_not_asked_too_early(world, tmp_path, time, system):
    world.faults.add(f"/{system}", "rate_limit", retry_after=30, times=2)
    read(small(tmp_path), system)
    assert time.slept >= 60


@pytest.mark.parametrize(("system", "after"), [(system, after) for system in SYSTEMS for after in (5, LAST[system])])
@pytest.mark.parametrize("kind", STOPPED)
def test_the_next_run_makes_good_what_one_fault_stopped(world, calm, tmp_path, system, kind, after):
    world.faults.add(f"/{system}", kind, after=after, times=1, **STOPPED[kind])
    project = small(tmp_path)
    first, broken = attempt(project, system, "first")
    told = [result.error for result in first.values() if result.status != "done"] + [broken] * bool(broken)
    assert len(told) <= 1
    assert (system in stale(project)) == bool(told)

    again = read(project, system, "again")

    assert {result.status for result in again.values()} == {"done"}
    assert differences(seen(project, system), calm[system][0]) == []
    assert stale(project) == []


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("kind", STAYING)
def test_a_staying_fault_stops_one_stream_and_what_landed_stays(world, calm, tmp_path, system, kind):
    stream, place = PRESSED[system].stream, PRESSED[system].place
    held, results = calm[system]
    world.faults.add(place, kind, after=AFTER[system], **(STOPPED | PASSED)[kind])
    project = small(tmp_path)

    first = read(project, system, "first")

    assert {name for name, result in first.items() if result.status != "done"} == {stream}
    assert first[stream].error
    assert 0 < first[stream].read < results[stream].read
    others = {name: rows for name, rows in held.items() if name != stream}
    assert differences(seen(project, system, others), others) == []
    assert system in stale(project)
    assert (system in failed_required(project)) == project.connections[system].required

    world.faults.clear()
    again = read(project, system, "again")

    assert {result.status for result in again.values()} == {"done"}
    assert differences(seen(project, system), held) == []
    assert first[stream].read + again[stream].read == results[stream].read  # nothing that landed was read again


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_body_that_drips_without_end_stops_one_stream(world, calm, tmp_path, system):
    stream, place = PRESSED[system].stream, PRESSED[system].place
    world.faults.add(place, "drip", after=AFTER[system], ms=100)
    project = small(tmp_path)
    project.connections[system].settings |= {"timeout": 1}
    first = read(project, system)
    assert {name for name, result in first.items() if result.status != "done"} == {stream}


@pytest.mark.parametrize("broken", SYSTEMS)
def test_a_source_that_is_down_hurts_no_other(world, calm, tmp_path, broken):
    world.faults.add(f"/{broken}", "error", status=503)
    project = small(tmp_path)
    for system in SYSTEMS:
        results, error = attempt(project, system, "night")
        assert bool(error) == (system == broken)
        assert {result.status for result in results.values()} <= {"done"}
    assert stale(project) == [broken]
    for system in {*SYSTEMS} - {broken}:
        assert differences(seen(project, system), calm[system][0]) == []


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("kind", ["foreign_link", "foreign_redirect"])
def test_nothing_is_sent_to_another_origin(world, tmp_path, system, kind):
    with Elsewhere() as elsewhere:
        fault = world.faults.add(f"/{system}", kind, to=elsewhere.url)
        attempt(small(tmp_path), system, "night")
        assert fault.hits
        assert elsewhere.heard == []


def test_the_build_finds_what_it_finds_without_faults(world, tmp_path):
    """Press all streams of all systems, then look at the conformed tables and at the quarantine."""
    tables = []
    for home, kinds in (("calm", ()), ("rough", ("error", "reset", "truncated", "html", "rate_limit"))):
        for place, kind in enumerate(kinds):
            world.faults.add("/", kind, every=11, after=place)
        project = small(tmp_path / home)
        for system in SYSTEMS:
            results = looking.read(project, system, home)
            assert {result.status for result in results.values()} == {"done"}
        tables.append(conformed(project, home))
    assert tables[0] == tables[1]
    assert tables[0]["quarantine"]
    assert tables[0]["deals"]
