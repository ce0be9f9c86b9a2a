"""The current state of a target: from this night's extract, or read by key in parallel batches."""

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
TONIGHT = timedelta(hours=12)  # an extract older than this is not used; the target is read instead


@dataclass(frozen=True)
class TargetSnapshot:
    """Records by id; `is_live` says that all of them were read from the target itself."""

    records: dict[str, TargetRecord]
    is_live: bool


def read_state(project: Project, target: Target, record_ids: Sequence[str], fields: Sequence[str]) -> TargetSnapshot:
    """Return the current values of some records; missing records are left out.

    Records extracted this night come from the lake, unless they were written to since. The lake may be minutes behind,
    so records are read again before they are changed.
    """
    wanted = list(dict.fromkeys(record_ids))
    from_lake: dict[str, TargetRecord] = {}
    if since := extracted_at(project, target):
        written = project.ledger.operations.recent_records(target.connector.name, target.stream.name, since)
        from_lake = read_extracted(
            project, target, [record_id for record_id in wanted if record_id not in written], fields
        )
    missing = [record_id for record_id in wanted if record_id not in from_lake]
    return TargetSnapshot(from_lake | fetch_records(target, missing, fields), is_live=not from_lake)


def fetch_records(target: Target, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
    """Read records by id from the target itself."""
    return _side_by_side(target, record_ids, lambda part: target.reads.fetch(target.stream, part, fields))


def find_records(
    target: Target, field: str, values: Sequence[str], fields: Sequence[str]
) -> dict[str, list[TargetRecord]]:
    """Return the target's records by value of a field; empty where the connector cannot find by field."""
    finds = target.finds
    if finds is None:
        return {}
    return _side_by_side(target, values, lambda part: finds.find(target.stream, field, part, fields))


def extracted_at(project: Project, target: Target) -> datetime | None:
    """Return when the target's stream was last read in full or up to date; None if not within TONIGHT."""
    name, stream = target.connector.name, target.stream.name
    if target.reads_payload is None or stream not in {readable.name for readable in project.streams(name)}:
        return None
    last = project.ledger.runs.last(f"extract:{name}")
    if last is None or stream in last["summary"]["streams"] or stream not in last["summary"].get("read_at", {}):
        return None
    since = datetime.fromisoformat(last["summary"]["read_at"][stream])
    return since if datetime.now(UTC) - since < TONIGHT else None


def read_extracted(
    project: Project, target: Target, record_ids: Sequence[str], fields: Sequence[str]
) -> dict[str, TargetRecord]:
    """Read records from the lake; a record that is not there or lacks a field is left out."""
    from engine.extract.stored_rows import stored_rows
    from engine.storage.backend import backend
    from transforms.conform.conform import latest

    reads = target.reads_payload
    name, stream = target.connector.name, target.stream
    if reads is None:
        return {}
    con = backend.connect()
    keys = backend.table(con, pa.table({"_key": pa.array(record_ids, pa.string())}))
    raw = stored_rows(project, con, name, stream)
    rows = latest(raw.semi_join(keys, "_key")).select("_payload").to_pyarrow()
    records = (reads.current_record(stream, payload.encode(), fields) for payload in rows["_payload"].to_pylist())
    return {record.record_id: record for record in records if record is not None}


def _side_by_side(
    target: Target, names: Sequence[str], read: Callable[[Sequence[str]], dict[str, Answer]]
) -> dict[str, Answer]:
    parts = list(chunks(names, target.writing.batch)) if names else []
    if len(parts) < 2:
        return read(parts[0]) if parts else {}
    with ThreadPoolExecutor(target.writing.parallel) as pool:
        answers: Iterator[dict[str, Answer]] = pool.map(read, parts)
        return {name: result for answer in answers for name, result in answer.items()}
