"""What the lake held of a stream before a run: to count what is new, and to know what is gone."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

import pyarrow as pa

from connectors.kit.base import Stream
from connectors.kit.records import raw_schema
from orchestration.project import Project
from orchestration.storage import engine
from orchestration.storage.engine import Backend
from orchestration.storage.manifest import Written
from schemas.mapping import paths

_LATEST = """
SELECT * FROM (SELECT *, row_number() OVER (
    PARTITION BY _key ORDER BY _cursor DESC NULLS LAST, _extracted_at DESC, _payload) AS _nth FROM {files})
WHERE _nth = 1 AND _key IS NOT NULL
"""


class Held:
    """Look at a stream's rows as they were when the run began."""

    def __init__(self, project: Project, asset: str, stream: Stream) -> None:
        self.project, self.asset, self.stream = project, asset, stream
        self.before = project.ledger.files(asset)

    def keys(self) -> set[str]:
        """List the keys of the records that are alive."""
        return self._alive

    def unseen(self, rows: pa.Table) -> pa.Table:
        """Keep the rows that differ from the newest version held."""
        known = self._payloads
        pairs = zip(rows.column("_key").to_pylist(), rows.column("_payload").to_pylist(), strict=True)
        return rows.filter(pa.array([key is None or known.get(key) != payload for key, payload in pairs], pa.bool_()))

    def unseen_tombstones(self, rows: pa.Table, landed: Sequence[Written]) -> pa.Table:
        """Keep the tombstones of records that are alive here, or that nobody here ever heard of."""
        dead = self._all_keys - self._alive
        return rows.filter(pa.array([key not in dead for key in rows.column("_key").to_pylist()], pa.bool_()))

    def tombstones(self, keys: Sequence[str], at: datetime) -> pa.Table:
        """Make the rows that say that records are gone."""
        schema = raw_schema(self.stream)
        count = len(keys)
        columns = {name: pa.nulls(count, schema.field(name).type) for name in schema.names}
        columns["_key"] = pa.array(keys, pa.string())
        columns["_deleted"] = pa.repeat(pa.scalar(True), count)
        columns["_extracted_at"] = pa.repeat(pa.scalar(at, schema.field("_extracted_at").type), count)
        columns["_payload"] = pa.repeat(pa.scalar("{}"), count)
        if self.stream.cursor:
            columns["_cursor"] = columns["_extracted_at"]
        return pa.table(columns, schema=schema)

    def compare(self, landed: Sequence[Written]) -> tuple[int, int, int, int]:
        """Count new, changed, unchanged and deleted records by what feeds our fields, stamps apart."""
        if not landed:
            return 0, 0, 0, 0
        fields = [path for path in paths(self.stream.fields) if path != self.stream.cursor]
        sign = (
            "md5(concat_ws('\x1f', "
            + ", ".join(f"coalesce({_name(path)}, '\x00')" for path in fields or ["_key"])
            + "))"
        )
        con = self._connect()
        now = self._view(con, "now_files", landed)
        old = self._view(con, "old_files", self.before)
        row = con.con.execute(
            f"WITH now AS (SELECT _key, _deleted, {sign} AS sign FROM ({now})), "  # noqa: S608 - names are quoted
            f"old AS (SELECT _key, _deleted, {sign} AS sign FROM ({old})) "
            "SELECT count(*) FILTER (NOT n._deleted AND (o._key IS NULL OR o._deleted)), "
            "count(*) FILTER (NOT n._deleted AND NOT o._deleted AND n.sign <> o.sign), "
            "count(*) FILTER (NOT n._deleted AND NOT o._deleted AND n.sign = o.sign), "
            "count(*) FILTER (n._deleted AND NOT coalesce(o._deleted, true)) "
            "FROM now n LEFT JOIN old o USING (_key)"
        ).fetchall()[0]
        return tuple(int(count) for count in row)  # type: ignore[return-value]

    def compact(self) -> None:
        """Let one file stand for many, now and then."""
        con = self._connect()
        self.project.lake.compact(con, self.asset)

    @cached_property
    def _rows(self) -> list[tuple[str, bool, str]]:
        con = self._connect()
        return con.con.execute(
            f"SELECT _key, _deleted, _payload FROM ({self._view(con, 'held', self.before)})"  # noqa: S608
        ).fetchall()

    @cached_property
    def _alive(self) -> set[str]:
        return {key for key, deleted, _ in self._rows if not deleted}

    @cached_property
    def _all_keys(self) -> set[str]:
        return {key for key, _, _ in self._rows}

    @cached_property
    def _payloads(self) -> dict[str, str]:
        return {key: payload for key, deleted, payload in self._rows if not deleted}

    def _connect(self) -> Backend:
        return engine.connect(threads=1)

    def _view(self, con: Backend, name: str, files: Sequence[Written]) -> str:
        if files:
            table = engine.read(con, [self.project.lake.full(file.path) for file in files])
            con.create_view(name, table, overwrite=True)
        else:
            con.create_table(name, schema=engine.ibis.schema(raw_schema(self.stream)), temp=True, overwrite=True)
        missing = [path for path in paths(self.stream.fields) if path not in con.table(name).columns]
        extra = "".join(f", NULL::VARCHAR AS {_name(path)}" for path in missing)
        return _LATEST.format(files=f"(SELECT *{extra} FROM {name})")


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
