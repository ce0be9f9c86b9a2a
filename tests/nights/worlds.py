"""One stream of each system, as the tests of nights press it, and how to look at it with fresh eyes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.project import Project
from engine.extract.result import StreamResult
from sandbox.server import Sandbox
from tests.nights.seen import Seen, differences, read, seen, without_absorbed
from tests.nights.unhurried import small

SYSTEMS = ("hubspot", "odoo", "zendesk")


@dataclass(frozen=True)
class SystemUnderTest:
    """Name a stream, its kind at the source, where it is read, and values that an edit gives its records."""

    stream: str
    kind: str
    place: str
    pages: str
    edit: Mapping[str, Any]
    born: Mapping[str, Any]


PRESSED = {
    "hubspot": SystemUnderTest(
        "deals",
        "deals",
        "/hubspot/crm/v3/objects/deals",
        "/hubspot/crm/v3/objects/deals",
        {"dealname": "Moved"},
        {"dealname": "New", "dealstage": "contractsent"},
    ),
    "odoo": SystemUnderTest(
        "invoices",
        "account.move",
        "/odoo/jsonrpc/account.move",
        "/odoo/jsonrpc/account.move/search_read",
        {"name": "Moved"},
        {"name": "New", "move_type": "out_invoice", "state": "posted"},
    ),
    "zendesk": SystemUnderTest(
        "tickets",
        "tickets",
        "/zendesk/api/v2/incremental/tickets",
        "/zendesk/api/v2/incremental/tickets",
        {"subject": "Moved"},
        {"subject": "New"},
    ),
}


def alive(sandbox: Sandbox, system: str, kind: str) -> list[Any]:
    """List the records of a kind that are alive."""
    tables = sandbox.hubspot.objects if system == "hubspot" else getattr(sandbox, system).tables
    return [
        number
        for number, row in tables[kind].items()
        if not row.get("archived") and row.get("status") != "deleted" and not row.get("deleted_at")
    ]


def fresh(home: Path, system: str, streams: Collection[str]) -> Seen:
    """Read everything of some streams into an empty home."""
    project = small(home)
    assert {result.status for result in read(project, system, "fresh", streams=streams).values()} == {"done"}
    return without_absorbed(project, system, seen(project, system, streams))


@dataclass
class StreamCase:
    """Press one stream of one system, night after night."""

    sandbox: Sandbox
    system: str
    home: Path

    def __post_init__(self) -> None:
        self.project: Project = small(self.home / "home")
        self.pressed = PRESSED[self.system]

    @property
    def numbers(self) -> list[Any]:
        """List the stream's living records at the source."""
        return alive(self.sandbox, self.system, self.pressed.kind)

    def read(self, run: str, **options: Any) -> StreamResult:
        """Run one extract of the stream."""
        return read(self.project, self.system, run, streams=[self.pressed.stream], **options)[self.pressed.stream]

    def held(self) -> set[str]:
        """List the records that are held alive."""
        return {*seen(self.project, self.system, [self.pressed.stream])[self.pressed.stream]}

    def apart(self) -> list[str]:
        """Say how what is held differs from what a fresh extraction finds."""
        streams = [self.pressed.stream]
        held = without_absorbed(self.project, self.system, seen(self.project, self.system, streams))
        return differences(held, fresh(self.home / "fresh", self.system, streams))

    def edit(self, number: Any, **more: Any) -> None:
        """Edit a record as a person would."""
        self.sandbox.edit(self.system, self.pressed.kind, number, {**self.pressed.edit, **more})

    def create(self) -> Any:
        """Create a record."""
        return self.sandbox.create(self.system, self.pressed.kind, dict(self.pressed.born))

    def delete(self, number: Any) -> None:
        """Delete a record in the system's own way."""
        self.sandbox.delete(self.system, self.pressed.kind, number)
