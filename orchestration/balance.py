"""Does a slice hold what the source counts in it? What it counted, what was read, and what became of the rest."""

from collections.abc import Sequence

import pyarrow as pa

from connectors.kit.base import Connector, CountsSlices
from connectors.kit.stream import Slice, Stream
from orchestration.project import Project
from orchestration.storage import duck
from orchestration.storage.balances import Balance
from orchestration.storage.duck import listed
from orchestration.storage.state import OpenSlice, seen_of


def balance(
    project: Project,
    connector: Connector,
    stream: Stream,
    state: str,
    read: OpenSlice,
    skipped_keys: Sequence[pa.Table],
) -> Balance:
    """Prove a slice that has been read to its end against the source's own count.

    Records that are edited or deleted while they are read leave the slice: the source is asked again, and what it
    counts no more has moved. What it still counts and did not send is missing.
    """
    asset = f"raw/{connector.name}/{stream.name}"
    files = [*project.ledger.files_since(asset, read.mark), *project.ledger.pending(asset)]
    files += project.ledger.pending(seen_of(connector.name, state))  # by a run that was killed
    count = _distinct(project.lake.proven(files), connector.counted(stream, read.slice_), skipped_keys)
    counted, missing, moved = read.source_count, 0, 0
    if counted is not None and count < counted:
        now = counted_now(connector, stream, read.slice_)
        missing = max(0, (counted if now is None else min(now, counted)) - count)
        moved = counted - count - missing
    return Balance(connector.name, stream.name, read.slice_, connector.now(), counted, count, moved, missing)


def counted_now(connector: Connector, stream: Stream, slice_: Slice) -> int | None:
    """Ask the source for its count: by a call of its own, else by the first page of the slice."""
    if isinstance(connector, CountsSlices):
        return connector.count(stream, slice_)
    return next(iter(connector.read(stream, slice_))).total


def total(connector: Connector, stream: Stream, whole: Slice, began: Slice) -> Balance | None:
    """Ask the source how many records it holds in all, and how many of them changed since the reading began."""
    if not isinstance(connector, CountsSlices):
        return None
    everything = connector.count(stream, whole)
    if everything is None:
        return None
    new = connector.count(stream, began) if stream.cursor and began.start else 0
    at = connector.now()
    return Balance(connector.name, stream.name, whole, at, everything, source_new=new or 0, is_total=True)


def _distinct(paths: Sequence[str], slice_: Slice, skipped: Sequence[pa.Table]) -> int:
    """Count the records of a slice among those that landed and those that were held already."""
    bounds = ["_cursor >= $start"] if slice_.start else []  # what has no stamp belongs to the first slice
    bounds += ["coalesce(_cursor < $end, true)"] if slice_.end else []
    values = {name: at for name, at in (("start", slice_.start), ("end", slice_.end)) if at}
    parts = [f"SELECT _key, _cursor FROM read_parquet({listed(paths)}, union_by_name = true)"] if paths else []
    parts += ["SELECT _key, _cursor FROM skipped"] if skipped else []
    if not parts:
        return 0
    with duck.lent() as con:
        if skipped:
            con.register("skipped", pa.concat_tables(skipped))
        sql = f"FROM ({' UNION ALL '.join(parts)}) WHERE _key IS NULL OR ({' AND '.join(bounds) or 'true'})"
        (row,) = con.execute(f"SELECT count(DISTINCT _key), count(*) - count(_key) {sql}", values or None).fetchall()
    return int(row[0]) + int(row[1])


def said(balance_: Balance) -> str:
    """Say what is missing, in words."""
    start, end = balance_.slice_.start, balance_.slice_.end
    between = f"between {start or 'the beginning'} and {end or 'now'}"
    return (
        f"{balance_.connection} {balance_.stream}: {balance_.missing} of {balance_.source_count} records {between} are "
        "missing: the source counts them and did not send them; they are asked for again by the next run"
    )
