"""Does a slice hold what the source counts in it? What was counted, what was read, and what became of the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from connectors.kit.base import Connector, CountsSlices
from connectors.kit.stream import Slice, Stream
from engine.config.project import Project
from engine.storage import duckdb_session
from engine.storage.duckdb_session import listed
from engine.storage.manifest import Written
from engine.storage.slice_counts import SliceCount
from engine.storage.sync_state import OpenSlice, seen_of


@dataclass(frozen=True)
class ObservedKeys:
    """Hold files with a `_key` and a `_cursor`, and tables of those that this run found to be held already."""

    project: Project
    files: Sequence[Written]
    same: Sequence[pa.Table]

    @classmethod
    def of(
        cls, project: Project, connection: str, stream: str, state: str, read: OpenSlice, same: Sequence[pa.Table] = ()
    ) -> "ObservedKeys":
        """Gather what an open slice has shown, by this run and by others that were killed."""
        ledger, asset = project.ledger, f"raw/{connection}/{stream}"
        waiting = [*ledger.files.pending(asset), *ledger.files.pending(seen_of(connection, state))]
        return cls(project, [*ledger.files.landed_since(asset, read.mark), *waiting], same)

    def count(self, within: Slice) -> int:
        """Count the records by key; rows without one count each."""
        bounds = ["_cursor >= $start"] if within.start else []  # what has no stamp belongs to the first slice
        bounds += ["coalesce(_cursor < $end, true)"] if within.end else []
        values = {name: at for name, at in (("start", within.start), ("end", within.end)) if at}
        paths = listed(self.project.lake.proven(self.files))
        parts = [f"SELECT _key, _cursor FROM read_parquet({paths}, union_by_name = true)"] if self.files else []
        parts += ["SELECT _key, _cursor FROM same"] if self.same else []
        if not parts:
            return 0
        with duckdb_session.shared_cursor() as con:
            if self.same:
                con.register("same", pa.concat_tables(self.same))
            sql = f"FROM ({' UNION ALL '.join(parts)}) WHERE _key IS NULL OR ({' AND '.join(bounds) or 'true'})"
            (row,) = con.execute(
                f"SELECT count(DISTINCT _key), count(*) - count(_key) {sql}", values or None
            ).fetchall()
        return int(row[0]) + int(row[1])


TRIES = 3


def balance(connector: Connector, stream: Stream, read: OpenSlice, shown: ObservedKeys) -> SliceCount:
    """Prove a slice that has been read to its end against the source's own count.

    Records that are edited or deleted while they are read leave the slice: the source is asked again, and what it
    counts no more has moved. What it still counts and did not send is missing.
    """
    count = shown.count(connector.counted(stream, read.slice_))
    counted, missing, moved = read.source_count, 0, 0
    if counted is not None and count < counted:
        now = counted_now(connector, stream, read.slice_)
        missing = max(0, (counted if now is None else min(now, counted)) - count)
        moved = counted - count - missing
    return SliceCount(connector.name, stream.name, read.slice_, connector.now(), counted, count, moved, missing)


def counted_now(connector: Connector, stream: Stream, slice_: Slice) -> int | None:
    """Ask the source for its count: by a call of its own, else by the first page of the slice."""
    if isinstance(connector, CountsSlices):
        return connector.count(stream, slice_)
    return next(iter(connector.read(stream, slice_))).total


def total(
    connector: Connector, stream: Stream, whole: Slice, to_come: Slice, alive: Callable[[set[str]], int]
) -> SliceCount | None:
    """Ask the source how many records it holds in all, how many of them the next run reads, and who they are.

    `alive` tells how many of some keys are held. Where the source goes on changing while it is asked, nobody can say
    which of them are new.
    """
    if not isinstance(connector, CountsSlices) or (counted := _counts(connector, stream, whole, to_come)) is None:
        return None
    held = None if counted[1] else 0
    for _ in range(TRIES if 0 < counted[1] <= MOST else 0):
        keys = changed_since(connector, stream, to_come)
        before, counted = counted, _counts(connector, stream, whole, to_come) or counted
        if keys is not None and counted == before and len(keys) == counted[1]:
            held = alive(keys)
            break
    everything, new = counted
    at = connector.now()
    return SliceCount(
        connector.name, stream.name, whole, at, everything, source_new=new, source_held=held, is_total=True
    )


def _counts(connector: CountsSlices, stream: Stream, whole: Slice, to_come: Slice) -> tuple[int, int] | None:
    everything = connector.count(stream, whole)
    if everything is None:
        return None
    return everything, (connector.count(stream, to_come) or 0) if stream.cursor else 0


def said(balance_: SliceCount) -> str:
    """Say what is missing, in words."""
    start, end = balance_.slice_.start, balance_.slice_.end
    between = f"between {start or 'the beginning'} and {end or 'now'}"
    return (
        f"{balance_.connection} {balance_.stream}: {balance_.missing} of {balance_.source_count} records {between} are "
        "missing: the source counts them and did not send them; they are asked for again by the next run"
    )


def moving(balance_: SliceCount) -> str:
    """Say that pages moved while they were read, in words."""
    return (
        f"{balance_.connection} {balance_.stream}: its pages moved while they were read, and a second reading showed "
        "other records than the first; what both showed is kept, and all is asked for again by the next run"
    )


MOST = 10_000  # records: more of them are not looked at one by one


def changed_since(connector: Connector, stream: Stream, since: Slice) -> set[str] | None:
    """Tell the keys of what changed since; None where that is more than is looked at. Nothing of it lands."""
    keys: set[str] = set()
    for page in connector.read(stream, since):
        keys.update(key for key in page.records.column("_key").to_pylist() if key is not None)
        if len(keys) > MOST:
            return None
    return keys
