"""Whatever happens at a source and to its readers: in the end there is what a fresh full extraction finds.

Hypothesis makes up histories of a source (edits, late rows, deletions, merges, many equal stamps, edits between two
pages, a clock that is ahead for a while, a restore from a backup) and of its readers (extracts, processes that die at any request, file or
transaction, full readings). Then the clock passes the lag, one undisturbed extract runs, and the newest living rows
must be those that an extraction of everything into an empty home finds, every mapped field of them. Left out of the
comparison, and of nothing else, are:

- fields that a stream declares as `uncursored_fields`, after an incremental reading: their changes move no cursor. After a full
  one they are compared too;
- records that their source merged into others: the build drops them and redirects to the winner;
- what HubSpot (GDPR) and Zendesk delete for ever and tell nobody of, until all is read anew, which happens at once here.
  Odoo tells of no deletion at all, and every one of them is found.

After a restore all is read anew, too: nothing tells of one.

Late rows come within the lag and the lookback that their stream declares. How often: a few histories of each system,
always the same ones. `BELVEDERE_HISTORIES=300 pytest tests/nights/test_fresh_eyes.py` makes up so many new and longer
ones of each; what fails is printed as a short history, with a line to repeat it.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from engine.config.project import Project
from engine.extract import rollback
from sandbox.odoo.activity import OdooError
from sandbox.server import Sandbox
from tests.conftest import TODAY
from tests.nights.death import dies
from tests.nights.seen import Seen, differences, read, seen, without_absorbed, without_derived
from tests.nights.unhurried import small, unhurried
from tests.nights.worlds import PRESSED, SYSTEMS, alive

HISTORIES = int(os.environ.get("BELVEDERE_HISTORIES", "0"))
SETTINGS = settings(
    max_examples=HISTORIES or 5,
    stateful_step_count=40 if HISTORIES else 12,
    derandomize=not HISTORIES,
    deadline=None,
    print_blob=True,
    phases=[phase for phase in Phase if HISTORIES or phase is not Phase.shrink],  # to shorten one takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
PASSED = 1000  # seconds: longer than any lag and lookback
LATE = {"hubspot": 650, "odoo": 650, "zendesk": 59}  # seconds, within lag and lookback; Zendesk holds back one minute
STREAMS = {"hubspot": ["accounts", "deals"], "odoo": ["accounts", "invoices"], "zendesk": ["accounts", "tickets"]}
KINDS = {
    "hubspot": ("companies", "deals"),
    "odoo": ("res.partner", "account.move"),
    "zendesk": ("organizations", "tickets"),
}
MERGED = {"hubspot": ("companies", "deals"), "zendesk": ("tickets", "tickets")}
BORN = {
    "companies": {"name": "New"},
    "res.partner": {"name": "New", "is_company": True},
    "organizations": {"name": "New"},
}
EDITS: dict[str, list[dict[str, Any]]] = {
    "companies": [{"name": "A"}, {"name": "B"}, {"phone": ""}],
    "deals": [{"dealname": "A"}, {"dealname": "B"}, {"amount": ""}],
    "res.partner": [{"name": "A"}, {"vat": False}, {"active": False}, {"is_company": False, "parent_id": 1}],
    "account.move": [{"name": "A"}, {"name": "B"}, {"move_type": "entry"}, {"move_type": "out_invoice"}],
    "organizations": [{"name": "A"}, {"name": "B"}, {"external_id": None}],
    "tickets": [{"subject": "A"}, {"subject": "B"}, {"status": "solved"}],
}
places = st.integers(0, 200)
first_or_second = st.integers(0, 1)


class Nights(RuleBasedStateMachine):
    """Be a source and its readers."""

    def __init__(self, system: str) -> None:
        super().__init__()
        self.system, self.streams = system, STREAMS[system]
        self.patch = pytest.MonkeyPatch()
        unhurried(self.patch)
        self.sandbox = Sandbox(customers=12, seed=5, today=TODAY).__enter__()
        self.sandbox.clock.stop()
        self.sandbox.clock.advance(7200)
        self.ahead, self.backup = 0, None
        self.patch.setattr(rollback, "ours", lambda: self.sandbox.clock.now() - timedelta(seconds=self.ahead))
        self.patch.setenv("SANDBOX_URL", self.sandbox.url)
        self.folder = TemporaryDirectory()
        self.homes = 0
        self.project = self._opened("home")

    @rule(which=first_or_second, place=places, edit=places)
    def edit(self, which: int, place: int, edit: int) -> None:
        kind = KINDS[self.system][which]
        choice = edit % len(EDITS[kind]) if place else 0  # the first record stays: an empty stream is an outage
        self.sandbox.edit(self.system, kind, self._one(kind, place), dict(EDITS[kind][choice]))

    @rule(which=first_or_second)
    def create(self, which: int) -> None:
        kind = KINDS[self.system][which]
        self.sandbox.create(self.system, kind, self._born(kind))

    @rule(which=first_or_second, place=st.none() | places, share=st.floats(0, 1))
    def late(self, which: int, place: int | None, share: float) -> None:
        kind = KINDS[self.system][which]
        number = None if place is None else self._one(kind, place)
        values = self._born(kind) if number is None else dict(EDITS[kind][0])
        self.sandbox.late(self.system, kind, values, share * LATE[self.system], number)

    @rule(which=first_or_second, place=places)
    def delete(self, which: int, place: int) -> None:
        kind = KINDS[self.system][which]
        with suppress(OdooError):  # a partner that is used in accounting stays
            if len(self._alive(kind)) > 3:
                self.sandbox.delete(self.system, kind, self._one(kind, place))

    @rule(which=first_or_second, place=places)
    def delete_for_ever(self, which: int, place: int) -> None:
        kind = KINDS[self.system][which]
        with suppress(OdooError):
            if len(self._alive(kind)) > 3:
                self.sandbox.delete(self.system, kind, self._one(kind, place), forever=True)
                self._read_anew()

    @rule()
    def back_up(self) -> None:
        self.backup = self.sandbox.backup(self.system)

    @precondition(lambda self: self.backup is not None)
    @rule(at=st.none() | st.integers(1, 40))
    def restore(self, at: int | None) -> None:
        self.sandbox.restore(self.system, self.backup)
        if at is not None:
            self.die_in_an_extract(at, after=False, full=True)
        self._read_anew()

    @precondition(lambda self: self.system in MERGED)
    @rule(which=first_or_second, winner=places, loser=places)
    def merge(self, which: int, winner: int, loser: int) -> None:
        kind = MERGED[self.system][which]
        pair = self._one(kind, winner), self._one(kind, loser)
        if pair[0] != pair[1] and len(self._alive(kind)) > 3:
            self.sandbox.merge(self.system, kind, *pair)

    @rule(which=first_or_second, edit=st.integers(0, 1))
    def bulk(self, which: int, edit: int) -> None:
        kind = KINDS[self.system][which]
        self.sandbox.bulk(self.system, kind, self._alive(kind), dict(EDITS[kind][edit]))

    @precondition(lambda self: self.system == "hubspot")
    @rule(deal=places, company=places)
    def associate(self, deal: int, company: int) -> None:
        self.sandbox.associate(
            "hubspot", "deals", self._one("deals", deal), "companies", self._one("companies", company)
        )

    @rule(seconds=st.sampled_from([1, 30, 61, 700, 86_400]))
    def wait(self, seconds: int) -> None:
        self.sandbox.clock.advance(seconds)

    @rule()
    def extract(self) -> None:
        self._extract()

    @rule()
    def extract_everything(self) -> None:
        self._extract(full=True)

    @rule(at=st.integers(1, 80), after=st.booleans(), full=st.booleans())
    def die_in_an_extract(self, at: int, after: bool, full: bool) -> None:
        dies(self.project, partial(self._extract, full=full), at, after=after)
        self.sandbox.clock.advance(1)
        self.project = self._opened("home")

    @rule(ahead=st.sampled_from([301, 7200, 90_000]), at=st.none() | st.integers(1, 40))
    def extract_by_a_clock_that_is_ahead(self, ahead: int, at: int | None) -> None:
        self._put_forward(ahead)
        if at is None:
            self._extract()
        else:
            self.die_in_an_extract(at, after=False, full=False)
        self._put_forward(-ahead)

    @rule(
        after=st.integers(1, 3), which=first_or_second, place=places, deed=st.sampled_from(["edit", "delete", "create"])
    )
    def extract_while_it_moves(self, after: int, which: int, place: int, deed: str) -> None:
        does: dict[str, Callable[[], None]] = {
            "edit": lambda: self.edit(which, place, 0),
            "delete": lambda: self.delete(which, place),
            "create": lambda: self.create(which),
        }
        self.sandbox.when(PRESSED[self.system].pages, after=after, do=does[deed])
        self._extract()
        self.sandbox.hooks.active.clear()

    @rule(full=st.booleans())
    def look_with_fresh_eyes(self, full: bool) -> None:
        self.sandbox.clock.advance(PASSED)
        results = self._extract(full=full)
        assert {name: result.error for name, result in results.items() if result.status != "done"} == {}
        self.homes += 1
        other = self._opened(f"fresh{self.homes}")
        read(other, self.system, "fresh", streams=self.streams)
        assert differences(self._seen(self.project, full), self._seen(other, full)) == []

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.look_with_fresh_eyes(full=False)
        finally:
            self.patch.undo()
            self.sandbox.__exit__(None, None, None)
            self.folder.cleanup()

    def _extract(self, *, full: bool = False) -> dict[str, Any]:
        done = read(self.project, self.system, "run", streams=self.streams, full=full)
        self.sandbox.clock.advance(1)  # reading takes time
        return done

    def _read_anew(self) -> None:
        self.sandbox.clock.advance(PASSED)
        results = self._extract(full=True)
        assert {name: result.error for name, result in results.items() if result.status != "done"} == {}

    def _put_forward(self, seconds: int) -> None:
        self.ahead += seconds
        self.sandbox.clock.advance(seconds)

    def _opened(self, home: str) -> Project:
        project = small(Path(self.folder.name) / home)
        project.connections[self.system].max_delete_pct = 100
        return project

    def _seen(self, project: Project, full: bool) -> Seen:
        held = without_absorbed(project, self.system, seen(project, self.system, self.streams))
        return held if full else without_derived(project, self.system, held)

    def _alive(self, kind: str) -> list[Any]:
        return alive(self.sandbox, self.system, kind)

    def _one(self, kind: str, place: int) -> Any:
        known = self._alive(kind)
        return known[place % len(known)]

    def _born(self, kind: str) -> dict[str, Any]:
        return dict(BORN.get(kind) or PRESSED[self.system].born)


@pytest.mark.timeout(0 if HISTORIES else 180)
@pytest.mark.parametrize("system", SYSTEMS)
def test_any_history_ends_as_fresh_eyes_see_it(system):
    run_state_machine_as_test(partial(Nights, system), settings=SETTINGS)
