"""The extract stage: pull what changed of one connection into the raw lake, page by page, resumable."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.kit.errors import ConnectorError
from engine.config.pins import pin
from engine.config.project import Project
from engine.extract import rollback
from engine.extract.context import StreamContext
from engine.extract.limits import Limits
from engine.extract.result import StreamResult
from engine.extract.schema_drift import drift
from engine.extract.stream import StreamReader
from engine.storage.lease import lease


def extract(
    project: Project,
    name: str,
    run_id: str,
    *,
    streams: Sequence[str] | None = None,
    full: bool = False,
    limits: Limits | None = None,
) -> Iterator[StreamResult]:
    """Read a connection's streams one after the other, yielding each result as it is known.

    A stream that fails ends alone; what it landed stays and is not read again. Raises LeaseTaken when another run
    reads this connection, and ConnectorError when the connection as a whole cannot be used.
    """
    chosen = _chosen(project, name, streams)
    with lease(project.ledger, f"connection:{name}", run_id):
        note, now = _Note.of(project, name, run_id, chosen), datetime.now(UTC).isoformat()
        note.write("reading")  # a killed run leaves this behind
        try:
            connector = project.open(name)
            try:
                check = connector.check()
                began = check.now
                pin(project, name, check.account)
                clock_notes = note.compare(began)
                trackers = drift.start_tracking(project, connector, chosen, began)
                for stream in connector.streams:
                    if stream.name in chosen:
                        extraction = StreamContext(project, connector, stream, run_id, began, limits)
                        result = StreamReader(extraction, trackers[stream.name], full=full).done()
                        result.notes += [clock_notes[stream.name]] if stream.name in clock_notes else []
                        if result.status == "done":
                            del note.unread[stream.name]
                            note.read_at[stream.name] = now
                        else:
                            note.unread[stream.name] = result.error
                        yield result
            finally:
                connector.close()
        except ConnectorError as error:
            note.write("failed", str(error))
            raise
        note.write("failed" if note.unread else "done")


def failed_required(project: Project) -> list[str]:
    """List the required connections whose last run failed, wholly or in part."""
    last = {
        name: project.ledger.runs.last(f"extract:{name}")
        for name, config in project.connections.items()
        if config.required
    }
    return [name for name, note in last.items() if note is None or note["summary"]["status"] != "done"]


def stale(project: Project) -> list[str]:
    """List the connections whose last run failed: their tables are those of an earlier night."""
    notes = {name: project.ledger.runs.last(f"extract:{name}") for name in project.connections}
    return [name for name, note in notes.items() if note and note["summary"]["status"] != "done"]


def _chosen(project: Project, name: str, streams: Sequence[str] | None) -> list[str]:
    chosen = project.chosen([name], streams or ()).get(name, [])
    return chosen if streams is None else [stream for stream in chosen if stream in streams]


@dataclass
class _Note:
    """The record of a connection's run in the ledger, written when it begins and when it ends.

    `unread` are the streams that were not read to their end, each with the reason; `read_at` is when the run began that
    last did so; `ahead` is by how much the source's clock was ahead of ours.
    """

    project: Project
    name: str
    run_id: str
    unread: dict[str, str | None]
    read_at: dict[str, str]
    ahead: timedelta | None

    @classmethod
    def of(cls, project: Project, name: str, run_id: str, chosen: Sequence[str]) -> "_Note":
        """Begin with every stream of this run, and with those that an earlier run failed to read and this one leaves out."""
        noted = project.ledger.runs.last(f"extract:{name}")
        last = noted["summary"] if noted else {}
        others = {stream.name for stream in project.streams(name)} - set(chosen)
        failed = {stream: reason for stream, reason in last.get("streams", {}).items() if stream in others}
        unread = failed | dict.fromkeys(chosen, "it was not read to its end")
        ahead = last.get("clock_ahead")
        read_at = dict(last.get("read_at", {}))
        return cls(project, name, run_id, unread, read_at, None if ahead is None else timedelta(seconds=ahead))

    def compare(self, clock: datetime) -> dict[str, str]:
        """Compare the source's clock with ours and remember the difference; returns notes by stream if it went back."""
        offset = rollback.clock_offset(self.name, clock)
        back = timedelta(0) if self.ahead is None else self.ahead - offset
        notes = rollback.follow_clock(self.project, self.name, clock, back)
        self.ahead = offset  # not before: if that failed, the next run must do it
        self.write("reading")  # before anything is read by this clock
        return notes

    def write(self, status: str, error: str | None = None) -> None:
        """Store the record."""
        summary = {"status": status, "error": error, "streams": self.unread, "read_at": self.read_at}
        ahead = None if self.ahead is None else self.ahead.total_seconds()
        self.project.ledger.runs.record(self.run_id, f"extract:{self.name}", summary | {"clock_ahead": ahead})
