"""A source in memory whose every whim a test can script, and a project that reads it."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.kit.base import Check, Connector, ConnectorSettings
from connectors.kit.raw_rows import Page
from connectors.kit.stream import Checkpoint, Slice, Stream
from engine.config.connection import ConnectionConfig
from engine.config.project import Project
from engine.extract.limits import Limits
from engine.extract.result import StreamResult
from engine.extract.run import extract
from engine.extract.stored_rows import stored_rows
from engine.storage.backend import backend
from transforms.conform.conform import latest

PAGE_BY_PAGE = Limits(rows=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNTS = Stream(
    "accounts",
    primary_key="id",
    table="accounts",
    cursor="at",
    lag=timedelta(minutes=1),
    lookback=timedelta(minutes=10),
    fields={"account_id": "id", "name": "name", "score": "score"},
)


@dataclass
class World:
    """What the source holds, its clock, and what happens while it is asked."""

    now: datetime = NOON
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    size: int = 10
    requests: list[tuple[Slice, Checkpoint | None]] = field(default_factory=list)
    on_page: Callable[[int], None] = lambda number: None
    hidden: set[int] = field(default_factory=set)
    absent: bool = False
    counts: bool = True
    deletions: list[dict[str, Any]] = field(default_factory=list)

    def put(self, number: int, name: str = "", at: datetime | None = None, **more: Any) -> None:
        """Make or change a record, stamped now."""
        record = self.records.get(number, {"id": number, "name": f"name {number}"})
        stamp = (at or self.now).isoformat()
        self.records[number] = record | {"at": stamp} | ({"name": name} if name else {}) | more

    def fill(self, count: int, at: datetime | None = None) -> None:
        """Make records a minute apart, the newest two minutes old."""
        for number in range(1, count + 1):
            self.put(number, at=at or self.now - timedelta(minutes=2 + count - number))

    def within(self, slice_: Slice) -> list[dict[str, Any]]:
        """List the records of a slice by id."""
        listed = [] if self.absent else sorted(self.records.items())
        return [row for _, row in listed if _is_in(row["at"], slice_)]


def _is_in(stamp: str, slice_: Slice) -> bool:
    at = datetime.fromisoformat(stamp)
    return (slice_.start is None or at >= slice_.start) and (slice_.end is None or at < slice_.end)


class Toy(Connector):
    """Read the world, keyset by id."""

    Settings = ConnectorSettings
    world: World

    def check(self) -> Check:
        return Check("toy", self.now())

    def now(self) -> datetime:
        return self.world.now

    def discover(self) -> dict[str, list[Any]]:
        return {}

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        world, last = self.world, (checkpoint or {}).get("last", 0)
        total = len(world.within(slice_)) if world.counts and checkpoint is None else None
        while True:
            world.requests.append((slice_, {"last": last} if last else None))
            world.on_page(len(world.requests))
            rows = [row for row in world.within(slice_) if row["id"] > last][: world.size]
            is_end = len(rows) < world.size
            last = rows[-1]["id"] if rows else last
            sent = [json.dumps(row).encode() for row in rows if row["id"] not in world.hidden]
            yield Page(stream, sent, world.now, None if is_end else {"last": last}, total)
            total = None
            if is_end:
                return


class Counting(Toy):
    """Tell a count, too."""

    def count(self, stream: Stream, slice_: Slice) -> int | None:
        return len(self.world.within(slice_))


class Sweeping(Counting):
    """List its keys, too."""

    def keys(self, stream: Stream) -> Iterator[Sequence[str]]:
        yield [] if self.world.absent else [str(number) for number in self.world.records]


class Telling(Counting):
    """Report what was deleted, as a feed."""

    def deletes(self, stream: Stream, slice_: Slice) -> Iterator[Page]:
        rows = [json.dumps(row).encode() for row in self.world.deletions if _is_in(row["at"], slice_)]
        yield Page(stream, rows, self.world.now, None, deleted=True)


class ExtractEnv:
    """A project with one toy connection."""

    def __init__(self, home: Path, monkeypatch: Any, kind: type[Toy] = Counting, stream: Stream = ACCOUNTS) -> None:
        self.world = World()
        self.kind = type("Scripted", (kind,), {"world": self.world, "streams": (stream,)})
        monkeypatch.setattr("engine.config.project.find_connector", lambda name: self.kind)
        self.home, self.stream, self.runs = home, stream, 0
        self.limits = Limits()
        self.project = self.opened()

    def opened(self) -> Project:
        """Open the project anew, as another process would."""
        config = {"crm": ConnectionConfig(connector="toy")}
        return Project(self.home / "defs", self.home, connections=config)

    def read(self, **options: Any) -> StreamResult:
        """Run the extract stage."""
        self.runs += 1
        self.world.requests.clear()
        return next(iter(extract(self.project, "crm", f"run-{self.runs}", limits=self.limits, **options)))

    def names(self) -> dict[str, str]:
        """Give the name of each account that is alive in the lake."""
        con = backend.connect(threads=1)
        rows = latest(stored_rows(self.project, con, "crm", self.kind.streams[0])).to_pyarrow().to_pylist()
        return {row["_key"]: row["name"] for row in rows}

    def landed(self) -> int:
        """Count the rows that ever landed."""
        return self.project.ledger.files.rows_since(0).get("raw/crm/accounts", 0)

    def truth(self) -> dict[str, str]:
        """Give what a build should see."""
        return {str(number): row["name"] for number, row in self.world.records.items()}


def raises_at(page: int, error: BaseException) -> Callable[[int], None]:
    """Let a page end in an error."""

    def on_page(number: int) -> None:
        if number == page:
            raise error

    return on_page
