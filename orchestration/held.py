"""What the lake held of a stream before a run: to count what is new, and to know what is gone."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, reduce

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from connectors.kit.records import COMMON, raw_schema
from connectors.kit.stream import Stream
from orchestration.project import Project
from orchestration.storage import engine
from orchestration.storage.engine import Backend
from orchestration.storage.manifest import Written
from schemas.mapping import paths

APART, NOTHING = "\x1f", "\x1e"


def newest(rows: ir.Table) -> ir.Table:
    """Keep the newest version of each record, tombstones too: the build sees no other."""
    from transforms.conform import deleted, latest  # a night without changes needs neither

    return ibis.union(latest(rows), deleted(rows))


class Held:
    """Look at a stream's rows as they were when the run began."""

    def __init__(self, project: Project, asset: str, stream: Stream) -> None:
        self.project, self.asset, self.stream = project, asset, stream
        self.before = project.ledger.files(asset)

    def keys(self) -> set[str]:
        """List the keys of the records that are alive."""
        return {key for key, is_deleted in self._states if not is_deleted}

    def unseen(self, rows: pa.Table) -> pa.Table:
        """Keep the rows that differ from the newest version held; those without a key are told by what they hold."""
        numbered = rows.select(["_key", "_deleted", "_payload"]).append_column("_n", pa.array(range(rows.num_rows)))
        con = self._con.con
        con.register("page", numbered)
        fresh = con.execute(
            f"SELECT p._n FROM page p WHERE NOT EXISTS (SELECT 1 FROM {self._prints} h WHERE "  # noqa: S608 - our own name
            "h._key IS NOT DISTINCT FROM p._key AND h._deleted = p._deleted AND h._payload = md5(p._payload)) ORDER BY 1"
        ).fetchall()
        con.unregister("page")
        return rows.take(pa.array([number for (number,) in fresh], pa.int64()))

    def unseen_tombstones(self, rows: pa.Table) -> pa.Table:
        """Keep the tombstones of records that are alive here, or that nobody here ever heard of."""
        dead = {key for key, is_deleted in self._states if is_deleted}
        return rows.filter(pa.array([key not in dead for key in rows.column("_key").to_pylist()], pa.bool_()))

    def tombstones(self, keys: Sequence[str], at: datetime) -> pa.Table:
        """Make the rows that say that records are gone; without a cursor, so that a later sight of one undoes it."""
        schema = raw_schema(self.stream)
        count = len(keys)
        columns = {name: pa.nulls(count, schema.field(name).type) for name in schema.names}
        columns["_key"] = pa.array(keys, pa.string())
        columns["_deleted"] = pa.repeat(pa.scalar(True), count)
        columns["_extracted_at"] = pa.repeat(pa.scalar(at, schema.field("_extracted_at").type), count)
        columns["_payload"] = pa.repeat(pa.scalar("{}"), count)
        return pa.table(columns, schema=schema)

    def compare(self, landed: Sequence[Written]) -> tuple[int, int, int, int]:
        """Count new, changed, unchanged and deleted records by what feeds our fields, stamps apart."""
        if not landed:
            return 0, 0, 0, 0
        touched = self._read(landed).select("_key").filter(ibis._._key.notnull()).distinct()
        old, now = (self._signed(files, touched) for files in (self.before, [*self.before, *landed]))
        both = now.left_join(old, "_key")
        is_gone, was_there = both._deleted, ibis.coalesce(~both._deleted_right, False)
        counts = both.agg(
            new=(~is_gone & ~was_there).sum(),
            changed=(~is_gone & was_there & (both.sign != both.sign_right)).sum(),
            unchanged=(~is_gone & was_there & (both.sign == both.sign_right)).sum(),
            deleted=(is_gone & was_there).sum(),
        )
        row = counts.to_pyarrow().to_pylist()[0]
        return row["new"] or 0, row["changed"] or 0, row["unchanged"] or 0, row["deleted"] or 0

    def compact(self) -> None:
        """Let one file stand for many, now and then."""
        self.project.lake.compact(self._con, self.asset, newest)

    @cached_property
    def _states(self) -> list[tuple[str, bool]]:
        """List every record with a key, and whether it is deleted."""
        rows = self._read(self.before)
        slim = rows.filter(rows._key.notnull()).select(*COMMON.names).mutate(_payload=ibis.literal(""))
        found = newest(slim).select("_key", "_deleted").to_pyarrow()
        return list(zip(found.column("_key").to_pylist(), found.column("_deleted").to_pylist(), strict=True))

    @cached_property
    def _prints(self) -> str:
        """Work out a fingerprint of every newest version, in a table of the engine."""
        rows = self._read(self.before).select(*COMMON.names)
        return str(engine.keep(self._con, newest(rows.mutate(_payload=rows._payload.hexdigest("md5")))).get_name())

    def _signed(self, files: Sequence[Written], touched: ir.Table) -> ir.Table:
        rows = newest(self._read(files).semi_join(touched, "_key"))
        fields = [path for path in paths(self.stream.fields) if path in rows.columns and path != self.stream.cursor]
        texts = [rows[path].fill_null(NOTHING) for path in fields] or [rows._key]
        return rows.select("_key", "_deleted", sign=reduce(lambda left, right: left + APART + right, texts))

    def _read(self, files: Sequence[Written]) -> ir.Table:
        """Read files with a column for every path: an older file may lack some."""
        rows = self.project.lake.read_files(self._con, files, raw_schema(self.stream))
        lacking = {path: ibis.null("string") for path in paths(self.stream.fields) if path not in rows.columns}
        return rows.mutate(**lacking)

    @cached_property
    def _con(self) -> Backend:
        return engine.connect(threads=1)
