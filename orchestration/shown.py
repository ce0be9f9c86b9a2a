"""Whom the reading of a slice has shown: who landed since it was opened, whose tombstone waits, who was held already."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from connectors.kit.stream import Slice
from orchestration.project import Project
from orchestration.storage import duck
from orchestration.storage.duck import listed
from orchestration.storage.manifest import Written
from orchestration.storage.state import OpenSlice, seen_of


@dataclass(frozen=True)
class Shown:
    """Hold files with a `_key` and a `_cursor`, and tables of those that this run found to be held already."""

    project: Project
    files: Sequence[Written]
    same: Sequence[pa.Table]

    @classmethod
    def of(
        cls, project: Project, connection: str, stream: str, state: str, read: OpenSlice, same: Sequence[pa.Table] = ()
    ) -> "Shown":
        """Gather what an open slice has shown, by this run and by others that were killed."""
        ledger, asset = project.ledger, f"raw/{connection}/{stream}"
        waiting = [*ledger.pending(asset), *ledger.pending(seen_of(connection, state))]
        return cls(project, [*ledger.files_since(asset, read.mark), *waiting], same)

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
        with duck.lent() as con:
            if self.same:
                con.register("same", pa.concat_tables(self.same))
            sql = f"FROM ({' UNION ALL '.join(parts)}) WHERE _key IS NULL OR ({' AND '.join(bounds) or 'true'})"
            (row,) = con.execute(
                f"SELECT count(DISTINCT _key), count(*) - count(_key) {sql}", values or None
            ).fetchall()
        return int(row[0]) + int(row[1])
