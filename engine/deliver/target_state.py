"""What a target holds: as it was extracted this very night, or read by key, in batches side by side."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pyarrow as pa

from connectors.kit.base import TargetRecord
from connectors.kit.write import chunks
from engine.config.project import Project
from engine.deliver.target import Target

Answer = TypeVar("Answer")
TONIGHT = timedelta(hours=12)


@dataclass(frozen=True)
class TargetSnapshot:
    """Hold what was seen, and whether the target itself was asked for all of it."""

    held: dict[str, TargetRecord]
    is_live: bool


def look(project: Project, target: Target, record_ids: Sequence[str], fields: Sequence[str]) -> TargetSnapshot:
    """See what the target holds in some records; who is not there is left out.

    What was extracted this night is taken from the lake, unless something was written to the record since. It may be
    behind by minutes: so what is about to change is read again before it is written.
    """
    wanted = list(dict.fromkeys(record_ids))
    known: dict[str, TargetRecord] = {}
    if since := extracted_at(project, target):
        written = project.ledger.operations.recent_records(target.connector.name, target.stream.name, since)
        known = extracted(project, target, [number for number in wanted if number not in written], fields)
    asked = [number for number in wanted if number not in known]
    return TargetSnapshot(known | ask(target, asked, fields), is_live=not known)


def ask(target: Target, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
    """Ask the target itself."""
    return _side_by_side(target, record_ids, lambda some: target.reads.fetch(target.stream, some, fields))


def found(target: Target, field: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, list[TargetRecord]]:
    """Ask the target for the records that have a value in a field."""
    finds = target.finds
    if finds is None:
        return {}
    return _side_by_side(target, values, lambda some: finds.find(target.stream, field, some, fields))


def extracted_at(project: Project, target: Target) -> datetime | None:
    """Tell when the lake last caught up with the target's stream; None where that was not this night."""
    name, stream = target.connector.name, target.stream.name
    if target.reads_payload is None or stream not in {one.name for one in project.streams(name)}:
        return None
    last = project.ledger.runs.last(f"extract:{name}")
    if last is None or stream in last["summary"]["streams"] or stream not in last["summary"].get("read_at", {}):
        return None
    since = datetime.fromisoformat(last["summary"]["read_at"][stream])
    return since if datetime.now(UTC) - since < TONIGHT else None


def extracted(
    project: Project, target: Target, record_ids: Sequence[str], fields: Sequence[str]
) -> dict[str, TargetRecord]:
    """Read records from the lake; one that lacks a field, or that the lake does not hold, is left out."""
    from connectors.kit.raw_rows import raw_schema
    from engine.storage.backend import backend
    from transforms.conform.conform import latest

    reads = target.reads_payload
    name, stream = target.connector.name, target.stream
    if reads is None:
        return {}
    con = backend.connect()
    asked = backend.table(con, pa.table({"_key": pa.array(record_ids, pa.string())}))
    raw = project.lake.read(con, f"raw/{name}/{stream.name}", schema=raw_schema(stream))
    rows = latest(raw.semi_join(asked, "_key")).select("_payload").to_pyarrow()
    found = (reads.held(stream, payload.encode(), fields) for payload in rows["_payload"].to_pylist())
    return {one.record_id: one for one in found if one is not None}


def _side_by_side(
    target: Target, names: Sequence[str], read: Callable[[Sequence[str]], dict[str, Answer]]
) -> dict[str, Answer]:
    parts = list(chunks(names, target.writing.batch)) if names else []
    if len(parts) < 2:
        return read(parts[0]) if parts else {}
    with ThreadPoolExecutor(target.writing.parallel) as pool:
        answers: Iterator[dict[str, Answer]] = pool.map(read, parts)
        return {name: one for answer in answers for name, one in answer.items()}
