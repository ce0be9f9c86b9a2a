"""Compares what was read of a slice, or of a whole stream, with the source's own count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from connectors.kit.base import Connector, CountsSlices
from connectors.kit.stream import Slice, Stream
from engine.config.project import Project
from engine.storage import duckdb_session
from engine.storage.duckdb_session import sql_list
from engine.storage.manifest import Written
from engine.storage.stores.slice_counts import SliceCount
from engine.storage.stores.sync_state import OpenSlice, seen_of


@dataclass(frozen=True)
class ObservedKeys:
    """The keys and cursors that the reading of a slice has shown.

    `files` hold the rows that landed, `stored` are tables of the rows that the lake had already.
    """

    project: Project
    files: Sequence[Written]
    stored: Sequence[pa.Table]

    @classmethod
    def of(
        cls,
        project: Project,
        connection: str,
        stream: str,
        state: str,
        read: OpenSlice,
        stored: Sequence[pa.Table] = (),
    ) -> "ObservedKeys":
        """Gather what an open slice has shown in this run and in earlier ones that were killed."""
        ledger, asset = project.ledger, f"raw/{connection}/{stream}"
        waiting = [*ledger.files.pending(asset), *ledger.files.pending(seen_of(connection, state))]
        return cls(project, [*ledger.files.landed_since(asset, read.mark), *waiting], stored)

    def count(self, within: Slice) -> int:
        """Count the records of a slice by key; each row without a key counts as one."""
        bounds = ["_cursor >= $start"] if within.start else []  # rows without a stamp belong to the first slice
        bounds += ["coalesce(_cursor < $end, true)"] if within.end else []
        values = {name: at for name, at in (("start", within.start), ("end", within.end)) if at}
        paths = sql_list(self.project.lake.proven(self.files))
        parts = [f"SELECT _key, _cursor FROM read_parquet({paths}, union_by_name = true)"] if self.files else []
        parts += ["SELECT _key, _cursor FROM stored"] if self.stored else []
        if not parts:
            return 0
        with duckdb_session.shared_cursor() as con:
            if self.stored:
                con.register("stored", pa.concat_tables(self.stored))
            sql = f"FROM ({' UNION ALL '.join(parts)}) WHERE _key IS NULL OR ({' AND '.join(bounds) or 'true'})"
            (row,) = con.execute(
                f"SELECT count(DISTINCT _key), count(*) - count(_key) {sql}", values or None
            ).fetchall()
        return int(row[0]) + int(row[1])


TRIES = 3  # how often a source that goes on changing is asked for its count of new records


def compare_counts(connector: Connector, stream: Stream, read: OpenSlice, observed: ObservedKeys) -> SliceCount:
    """Compare a slice that has been read to its end with the source's own count.

    Records that are edited or deleted during the reading leave the slice. So where too few came, the source is asked
    again: records that it does not count any more have moved, those that it still counts are missing.
    """
    count = observed.count(connector.counted_slice(stream, read.slice_))
    counted, missing, moved = read.source_count, 0, 0
    if counted is not None and count < counted:
        now = counted_now(connector, stream, read.slice_)
        missing = max(0, (counted if now is None else min(now, counted)) - count)
        moved = counted - count - missing
    return SliceCount(connector.name, stream.name, read.slice_, connector.now(), counted, count, moved, missing)


def counted_now(connector: Connector, stream: Stream, slice_: Slice) -> int | None:
    """Ask for the source's count of a slice, by `CountsSlices` or else with the first page."""
    if isinstance(connector, CountsSlices):
        return connector.count(stream, slice_)
    return next(iter(connector.read(stream, slice_))).total


def total(
    connector: Connector, stream: Stream, whole: Slice, to_come: Slice, alive: Callable[[set[str]], int]
) -> SliceCount | None:
    """Ask for the source's count of a whole stream, and how many of those records the next run reads.

    `alive` returns how many of some keys are stored. `source_held` stays None where the source went on changing
    while it was asked. Returns None for a source that does not count the stream.
    """
    if not isinstance(connector, CountsSlices) or (counted := _counts(connector, stream, whole, to_come)) is None:
        return None
    stored = None if counted[1] else 0
    for _ in range(TRIES if 0 < counted[1] <= MOST else 0):
        keys = changed_since(connector, stream, to_come)
        before, counted = counted, _counts(connector, stream, whole, to_come) or counted
        if keys is not None and counted == before and len(keys) == counted[1]:
            stored = alive(keys)
            break
    everything, new = counted
    at = connector.now()
    return SliceCount(
        connector.name, stream.name, whole, at, everything, source_new=new, source_held=stored, is_total=True
    )


def _counts(connector: CountsSlices, stream: Stream, whole: Slice, to_come: Slice) -> tuple[int, int] | None:
    everything = connector.count(stream, whole)
    if everything is None:
        return None
    return everything, (connector.count(stream, to_come) or 0) if stream.cursor else 0


def describe_missing(balance_: SliceCount) -> str:
    """Write the message about records that a source counts and did not send."""
    start, end = balance_.slice_.start, balance_.slice_.end
    between = f"between {start or 'the beginning'} and {end or 'now'}"
    return (
        f"{balance_.connection} {balance_.stream}: {balance_.missing} of {balance_.source_count} records {between} are "
        "missing: the source counts them and did not send them; the next run reads the slice again"
    )


def describe_moving(balance_: SliceCount) -> str:
    """Write the message about numbered pages whose two readings disagree."""
    return (
        f"{balance_.connection} {balance_.stream}: its pages moved while they were read, and a second reading showed "
        "other records than the first; the rows of both are stored, and the next run reads the slice again"
    )


MOST = 10_000  # keys that are compared or asked for one by one


def changed_since(connector: Connector, stream: Stream, since: Slice) -> set[str] | None:
    """Return the keys of the records that changed since, None if they are more than MOST; no row lands."""
    keys: set[str] = set()
    for page in connector.read(stream, since):
        keys.update(key for key in page.records.column("_key").to_pylist() if key is not None)
        if len(keys) > MOST:
            return None
    return keys
