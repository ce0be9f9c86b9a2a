"""The extract beat: pull what changed of one connection into the raw lake, page by page, resumable."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from connectors.kit.errors import ConnectorError
from orchestration import drift
from orchestration.project import Project
from orchestration.reading import Reading
from orchestration.storage.lease import lease
from orchestration.stream_result import StreamResult


def extract(
    project: Project,
    name: str,
    run_id: str,
    *,
    streams: Sequence[str] | None = None,
    full: bool = False,
) -> Iterator[StreamResult]:
    """Read a connection's streams one after the other, yielding each result as it is known.

    A stream that fails ends alone; what it landed stays and is not read again. Raises LeaseHeld when another run
    reads this connection, and ConnectorError when the connection as a whole cannot be used.
    """
    chosen = _chosen(project, name, streams)
    with lease(project.ledger, f"connection:{name}", run_id):
        unread, read_at, now = _unread(project, name, chosen), _read_at(project, name), datetime.now(UTC).isoformat()
        _note(project, name, run_id, "reading", unread, read_at)  # what a run that is killed leaves behind
        try:
            connector = project.open(name)
            try:
                began = connector.check().now
                shapes = drift.look(project, connector, chosen, began)
                for stream in connector.streams:
                    if stream.name in chosen:
                        shape = shapes[stream.name]
                        result = Reading(project, connector, stream, run_id, shape, began=began, full=full).done()
                        if result.status == "done":
                            del unread[stream.name]
                            read_at[stream.name] = now
                        else:
                            unread[stream.name] = result.error
                        yield result
            finally:
                connector.close()
        except ConnectorError as error:
            _note(project, name, run_id, "failed", unread, read_at, str(error))
            raise
        _note(project, name, run_id, "failed" if unread else "done", unread, read_at)


def failed_required(project: Project) -> list[str]:
    """Name the required connections whose last reading failed, wholly or in part."""
    last = {
        name: project.ledger.last_run(f"extract:{name}")
        for name, config in project.connections.items()
        if config.required
    }
    return [name for name, note in last.items() if note is None or note["summary"]["status"] != "done"]


def stale(project: Project) -> list[str]:
    """Name the connections whose last reading failed: their tables are those of an earlier night."""
    notes = {name: project.ledger.last_run(f"extract:{name}") for name in project.connections}
    return [name for name, note in notes.items() if note and note["summary"]["status"] != "done"]


def _chosen(project: Project, name: str, streams: Sequence[str] | None) -> list[str]:
    chosen = project.chosen([name], streams or ()).get(name, [])
    return chosen if streams is None else [one for one in chosen if one in streams]


def _unread(project: Project, name: str, chosen: Sequence[str]) -> dict[str, str | None]:
    """Begin with every stream of this run, and those that an earlier run failed at and this one leaves out."""
    last = project.ledger.last_run(f"extract:{name}")
    known = {stream.name for stream in project.streams(name)} - set(chosen)
    failed = {stream: why for stream, why in (last["summary"]["streams"] if last else {}).items() if stream in known}
    return failed | dict.fromkeys(chosen, "it was not read to its end")


def _read_at(project: Project, name: str) -> dict[str, str]:
    """Tell when the run began that last read each stream to its end."""
    last = project.ledger.last_run(f"extract:{name}")
    return dict(last["summary"].get("read_at", {})) if last else {}


def _note(
    project: Project,
    name: str,
    run_id: str,
    status: str,
    unread: Mapping[str, str | None],
    read_at: Mapping[str, str],
    error: str | None = None,
) -> None:
    summary = {"status": status, "error": error, "streams": dict(unread), "read_at": dict(read_at)}
    project.ledger.note_run(run_id, f"extract:{name}", summary)
