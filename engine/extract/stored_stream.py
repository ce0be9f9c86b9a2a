"""What the lake held of a stream before a run: to leave out what is held already, and to know what is gone."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from connectors.kit.arrow import numbers, texts
from connectors.kit.raw_rows import COMMON, raw_schema
from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.storage import duckdb_session
from engine.storage.duckdb_session import listed
from engine.storage.manifest import Written

if TYPE_CHECKING:  # Ibis takes longer to import than a quiet night takes to read
    import ibis.expr.types as ir

    from engine.storage.backend.backend import Backend


def newest(rows: "ir.Table") -> "ir.Table":
    """Keep the newest version of each record, tombstones too: the build sees no other."""
    from transforms.conform.conform import newest

    return newest(rows)


class StoredStream:
    """Look at a stream's rows as they were when the run began; at leisure, with all the memory there is."""

    def __init__(self, project: Project, asset: str, stream: Stream, *, is_at_leisure: bool = False) -> None:
        self.project, self.asset, self.stream, self.is_at_leisure = project, asset, stream, is_at_leisure
        self.before = project.ledger.files.for_asset(asset)
        self._prints: dict[datetime | None, str] = {}

    @cached_property
    def count(self) -> int:
        """Count the records that are alive and no other record has absorbed."""
        return 0 if not self.before else self._one(f"SELECT count(*) FROM {self._alive}")

    def count_alive_in(self, files: Sequence[Written]) -> int:
        """Count the keys in some files that are of no tombstone."""
        return self._one(f"SELECT count(DISTINCT _key) FROM {self._files(files)} WHERE NOT _deleted")

    def newest_stamp(self, before: datetime) -> datetime | None:
        """Tell the newest stamp that is held, of those before some moment; in whole seconds, as sources are asked."""
        if not self.before:
            return None
        newest = f"SELECT date_trunc('second', max(_cursor)) FROM {self._files(self.before)} WHERE _cursor < $before"
        (row,) = self.con.execute(newest, {"before": before}).fetchall()
        return row[0]

    def split_stored_rows(self, rows: pa.Table, since: datetime | None = None) -> tuple[pa.Table, pa.Table]:
        """Set the rows that are held apart from those that are not; those without a key are told by what they hold.

        Compared are the versions stamped at or after `since`, without one the newest of every record.
        """
        if not self.before or not rows.num_rows:
            return rows, rows.slice(0, 0)
        numbered = rows.select(["_key", "_deleted", "_payload"]).append_column("n", numbers(range(rows.num_rows)))
        with self._given(numbered) as page:
            fresh = self.con.execute(
                f"SELECT n FROM {page} p WHERE NOT EXISTS (SELECT 1 FROM {self._printed(since)} h WHERE "
                "h._key IS NOT DISTINCT FROM p._key AND h._deleted = p._deleted AND h.print = md5(p._payload)) "
                "ORDER BY n"
            ).fetchnumpy()["n"]
        if len(fresh) == rows.num_rows:
            return rows, rows.slice(0, 0)
        is_fresh = pc.is_in(numbered.column("n"), value_set=numbers(fresh.tolist()))
        return rows.filter(is_fresh), rows.filter(pc.invert(is_fresh))

    def unseen_tombstones(self, rows: pa.Table) -> pa.Table:
        """Keep the tombstones of records that are alive here, or that nobody here ever heard of.

        What landed before stays out: a list goes on naming a key that has been made anew since.
        """
        if not self.before or not rows.num_rows:
            return rows
        numbered = rows.select(["_key", "_payload"]).append_column("n", numbers(range(rows.num_rows)))
        with self._given(numbered) as given:
            fresh = self.con.execute(
                f"SELECT n FROM {given} g ANTI JOIN {self._dead} d USING (_key) WHERE NOT EXISTS (SELECT 1 FROM "
                f"{self._tombstoned} t WHERE t._key = g._key AND t.print = md5(g._payload)) ORDER BY n"
            ).fetchnumpy()["n"]
        unseen = rows if len(fresh) == rows.num_rows else rows.take(numbers(fresh.tolist()))
        return self._with_absorbed(unseen)

    @cached_property
    def _tombstoned(self) -> str:
        """List all tombstones that ever landed, in a table of the engine."""
        self.con.execute(
            f"CREATE TEMP TABLE tombstoned AS SELECT _key, md5(_payload) AS print FROM {self._files(self.before)} WHERE _deleted"
        )
        return "tombstoned"

    def alive(self, keys: pa.ChunkedArray) -> set[str]:
        """Tell which of some keys belong to records that are alive."""
        if not self.before or not len(keys):
            return set()
        with self._given(pa.table({"_key": keys})) as given:
            rows = self.con.execute(f"SELECT DISTINCT _key FROM {given} SEMI JOIN {self._alive} USING (_key)")
            return {key for (key,) in rows.fetchall()}

    def gone(self, keys: Iterable[Sequence[str]]) -> tuple[list[str], int]:
        """Tell which records are alive here and not among the listed keys; and how many keys were listed."""
        self.con.execute("CREATE OR REPLACE TEMP TABLE listed_keys (_key VARCHAR)")
        for some in keys:
            with self._given(pa.table({"_key": texts([key.encode() for key in some])})) as given:
                self.con.execute(f"INSERT INTO listed_keys SELECT _key FROM {given}")
        rows = self.con.execute(
            f"SELECT _key FROM {self._alive} ANTI JOIN listed_keys USING (_key) ORDER BY 1"
        ).fetchall()
        return [key for (key,) in rows], self._one("SELECT count(*) FROM listed_keys")

    def stamps(self, files: Sequence[Written], same: Sequence[pa.Table], settled: datetime) -> str:
        """List how a source stamps its records now, in a table of the engine: what landed, and what came as it is held.

        What is held under later stamps is lost there, but for those that are not `settled`: an answer may lag behind.
        """
        nothing = raw_schema(self.stream).empty_table().select(["_key", "_cursor"])
        landed = f"SELECT _key, _cursor FROM {self._files(files)} UNION ALL " if files else ""
        with self._given(pa.concat_tables([nothing, *same])) as given:
            self.con.execute(
                "CREATE OR REPLACE TEMP TABLE stamps AS SELECT _key, max(_cursor) AS newest, $settled AS settled "
                f"FROM ({landed}FROM {given}) WHERE _key IS NOT NULL GROUP BY _key",
                {"settled": settled},
            )
        return "stamps"

    def lost(self, stamps: str, files: Sequence[Written] | None = None) -> int:
        """Count the records that are held, in some files or at all, in a version that is lost at the source."""
        rows = f"(SELECT _key, _cursor FROM {self._files(self.before if files is None else files)}) JOIN {stamps} USING (_key)"
        return self._one(f"SELECT count(DISTINCT _key) FROM {rows} WHERE _cursor > newest AND _cursor < settled")

    def is_ahead(self, file: Written, now: datetime) -> bool:
        """Tell whether a file has stamps that are yet to come."""
        rows = f"FROM {self._files([file])} WHERE _extracted_at > $now OR _cursor > $now LIMIT 1"
        return self.con.execute(f"SELECT 1 {rows}", {"now": now}).fetchone() is not None

    def absent(self, files: Sequence[Written]) -> list[str]:
        """Tell which records are alive and in none of some files."""
        shown = f"ANTI JOIN (SELECT _key FROM {self._files(files)}) USING (_key)" if files else ""
        rows = self.con.execute(f"SELECT _key FROM {self._alive} {shown} ORDER BY 1").fetchall()
        return [key for (key,) in rows]

    def some_in(self, files: Sequence[Written], most: int = 5) -> list[str]:
        """Give some records that are alive and in some files."""
        rows = f"SELECT DISTINCT _key FROM {self._alive} SEMI JOIN (SELECT _key FROM {self._files(files)}) USING (_key)"
        return [key for (key,) in self.con.execute(f"{rows} ORDER BY 1 LIMIT {most}").fetchall()] if files else []

    def listed_only(self, *, known: bool) -> list[str]:
        """Tell which of the keys listed last are of no record that is alive here; `known` are those that once were."""
        among = f"SEMI JOIN {self._dead} USING (_key)" if known else f"ANTI JOIN {self._living} USING (_key)"
        rows = self.con.execute(f"SELECT DISTINCT _key FROM listed_keys {among} ORDER BY 1")
        return [key for (key,) in rows.fetchall()]

    def files_now(self) -> list[Written]:
        """List the files that count now, those of this run among them."""
        return self.project.ledger.files.for_asset(self.asset)

    def deleted_by(self, pending: Sequence[Written]) -> int:
        """Count the records that pending tombstones would delete, what has landed since considered."""
        files = self.files_now()
        now, then = (newest(self._slim([*files, *more])).filter(lambda rows: ~rows._deleted) for more in ([], pending))
        return int(now.anti_join(then, "_key").count().to_pyarrow().as_py())

    def tombstones(self, keys: Sequence[str], at: datetime) -> pa.Table:
        """Make the rows that say that records are gone; without a cursor, so that a later sight of one undoes it."""
        schema = raw_schema(self.stream)
        count = len(keys)
        columns = {name: pa.nulls(count, schema.field(name).type) for name in schema.names}
        columns["_key"] = pa.array(keys, pa.string())
        columns["_deleted"] = pa.repeat(pa.scalar(True), count)
        columns["_extracted_at"] = pa.repeat(pa.scalar(at, schema.field("_extracted_at").type), count)
        columns["_payload"] = pa.repeat(pa.scalar("{}"), count)
        return self._with_absorbed(pa.table(columns, schema=schema))

    def _with_absorbed(self, gone: pa.Table) -> pa.Table:
        """Let each tombstone name what its record had absorbed, where it does not by itself: that is gone with it."""
        path = self.stream.merges
        if not path or not self.before or not gone.num_rows:
            return gone
        told = gone.select(["_key", path]).rename_columns(["_key", "told"])
        with self._given(told.append_column("n", numbers(range(gone.num_rows)))) as given:
            full = self.con.execute(
                f"SELECT coalesce(g.told, a.told) AS told FROM {given} g LEFT JOIN {self._absorbers} a USING (_key) ORDER BY n"
            ).to_arrow_table()
        at = gone.schema.get_field_index(path)
        return gone.set_column(at, gone.schema.field(path), full.column("told").cast(gone.schema.field(path).type))

    @cached_property
    def _alive(self) -> str:
        """Work out the records that are alive, in a table of the engine; what others absorbed is not."""
        self.con.execute(
            f"CREATE TEMP TABLE alive AS SELECT _key FROM {self._living} WHERE _key NOT IN {self._absorbed}"
        )
        return "alive"

    @property
    def _living(self) -> str:
        return f"(SELECT _key FROM {self._states} WHERE NOT _deleted)"

    @cached_property
    def _dead(self) -> str:
        self.con.execute(f"CREATE TEMP TABLE dead AS SELECT _key FROM {self._states} WHERE _deleted")
        return "dead"

    @cached_property
    def _states(self) -> str:
        """Work out whether each record is deleted, in a table of the engine."""
        from engine.storage.backend import backend

        return str(backend.keep(self.engine, newest(self._slim(self.before)).select("_key", "_deleted")).get_name())

    @property
    def _absorbed(self) -> str:
        """Select the keys of records that their source has merged into others."""
        if not self.stream.merges:
            return "(SELECT NULL WHERE false)"
        ids = f"SELECT _key, trim(unnest(string_split(told, ';'))) AS gone FROM {self._absorbers}"
        return f"(SELECT gone FROM ({ids}) WHERE gone <> '' AND gone <> _key)"

    @cached_property
    def _absorbers(self) -> str:
        """Work out which records have absorbed others, in a table of the engine; of those that are gone, too."""
        from engine.storage.backend import backend

        path = str(self.stream.merges)
        rows = newest(self._slim(self.before, path))
        told = rows.filter(rows[path].notnull()).select("_key", told=rows[path])
        return str(backend.keep(self.engine, told).get_name())

    def _printed(self, since: datetime | None) -> str:
        """Work out fingerprints of versions that are held, in a table of the engine, once."""
        if since not in self._prints:
            self._prints[since] = table = f"prints_{len(self._prints)}"
            rows = self._newest_prints() if since is None else self._recent_prints()
            self.con.execute(f"CREATE TEMP TABLE {table} AS {rows}", {"since": since} if since else None)
        return self._prints[since]

    def _newest_prints(self) -> str:
        from engine.storage.backend import backend

        slim = self.read(self.before).select(*COMMON.names)
        printed = backend.keep(self.engine, slim.mutate(_payload=slim._payload.hexdigest("md5")))
        kept = backend.keep(self.engine, newest(printed))
        tied = (
            f"SELECT _key FROM {printed.get_name()} WHERE _key IS NOT NULL "
            "GROUP BY _key, coalesce(_cursor, _extracted_at), _extracted_at HAVING count(DISTINCT _payload) > 1"
        )
        return (  # which of two versions of one instant the build takes, only the payloads tell: such a record lands again
            f"SELECT _key, _deleted, _payload AS print FROM {kept.get_name()} "
            f"WHERE _key IS NULL OR _key NOT IN ({tied})"
        )

    def _recent_prints(self) -> str:
        """Print the newest versions of what is read again; a record that was ever deleted may have come back."""
        rows = self._files(self.before)
        recent = (
            f"SELECT _key, _deleted, md5(_payload) AS print FROM {rows} WHERE _cursor >= $since AND (_deleted "
            f"OR _key NOT IN (SELECT _key FROM {rows} WHERE _deleted AND _key IS NOT NULL)) "
            "QUALIFY rank() OVER (PARTITION BY _key ORDER BY _cursor DESC, _extracted_at DESC) = 1"
        )
        return (
            f"SELECT _key, any_value(_deleted) AS _deleted, any_value(print) AS print FROM ({recent}) "
            "GROUP BY _key HAVING count(DISTINCT print) = 1"
        )

    def _slim(self, files: Sequence[Written], *paths: str) -> "ir.Table":
        """Read what tells the newest version of records with a key, without what they hold, but for some paths."""
        import ibis

        rows = self.read(files)
        return rows.filter(rows._key.notnull()).select(*COMMON.names, *paths).mutate(_payload=ibis.literal(""))

    def read(self, files: Sequence[Written]) -> "ir.Table":
        """Read files with a column for every path: an older file may lack some."""
        import ibis

        rows = self.project.lake.read_files(self.engine, files, raw_schema(self.stream))
        lacking = {path: ibis.null("string") for path in self.stream.paths if path not in rows.columns}
        return rows.mutate(**lacking)

    def _files(self, files: Sequence[Written]) -> str:
        return f"read_parquet({listed(self.project.lake.proven(files))}, union_by_name = true)"

    @contextmanager
    def _given(self, rows: pa.Table) -> Iterator[str]:
        """Lend rows to the engine."""
        self.con.register("given", rows)
        try:
            yield "given"
        finally:
            self.con.unregister("given")

    def _one(self, sql: str) -> int:
        rows = self.con.execute(sql).fetchall()
        return int(rows[0][0])

    @cached_property
    def con(self) -> duckdb.DuckDBPyConnection:
        return duckdb_session.connect(threads=1) if self.is_at_leisure else duckdb_session.shared_cursor()

    @cached_property
    def engine(self) -> "Backend":
        from engine.storage.backend import backend

        return backend.over(self.con)
