"""What the lake held of a stream before a run: to leave out rows that are stored already, and to know which are gone."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from connectors.kit.arrow import int64_array, string_array
from connectors.kit.raw_rows import COMMON, raw_schema
from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.extract.stored_rows import NUMBERS, key_table, read_rows, rows_sql, tombstone_rows, with_every_path
from engine.storage import duckdb_session
from engine.storage.manifest import Written

if TYPE_CHECKING:  # Ibis takes longer to import than a quiet night takes to read
    import ibis.expr.types as ir

    from engine.storage.backend.backend import Backend


def newest(rows: "ir.Table") -> "ir.Table":
    """Keep the row of each key that counts, tombstones too, by the same rule as a build."""
    from transforms.conform.conform import newest

    return newest(rows)


class StoredStream:
    """Look at a stream's rows as they were when the run began.

    Rows of generations that do not count any more are left out, and after a change of the primary key those of the
    generation before, whose keys mean nothing to the new one; `generations` names others than these. With
    `is_at_leisure` the queries take all the memory there is.
    """

    def __init__(
        self,
        project: Project,
        asset: str,
        stream: Stream,
        *,
        generations: tuple[int, int] | None = None,
        is_at_leisure: bool = False,
    ) -> None:
        self.project, self.asset, self.stream, self.is_at_leisure = project, asset, stream, is_at_leisure
        self.before = project.ledger.files.for_asset(asset)
        _, connection, name = asset.split("/", 2)
        self.generations = project.ledger.generations.of(connection, name)
        self.first, self.last = generations or self.generations.comparable
        self._prints: dict[datetime | None, str] = {}

    @cached_property
    def count(self) -> int:
        """Count the records that are alive and no other record has absorbed."""
        return 0 if not self.before else self._count(f"SELECT count(*) FROM {self._alive}")

    def count_alive_in(self, files: Sequence[Written]) -> int:
        """Count the keys in some files that are of no tombstone."""
        return self._count(f"SELECT count(DISTINCT _key) FROM {self._files(files)} WHERE NOT _deleted")

    def newest_stamp(self, before: datetime) -> datetime | None:
        """Tell the newest stamp that is stored, of those before some moment; in whole seconds, as sources are asked."""
        if not self.before:
            return None
        newest = f"SELECT date_trunc('second', max(_cursor)) FROM {self._rows(self.before)} WHERE _cursor < $before"
        stamp: datetime | None
        ((stamp,),) = self.con.execute(newest, {"before": before}).fetchall()
        return stamp

    def newest_records(self, before: datetime, most: int) -> dict[str, datetime]:
        """Give the records with the newest stamps of those before some moment, by key."""
        if not self.before:
            return {}
        rows = self.con.execute(
            f"SELECT _key, _cursor FROM {self._rows(self.before)} WHERE _key IS NOT NULL AND NOT _deleted "
            f"AND _cursor < $before ORDER BY _cursor DESC, _key LIMIT {most}",
            {"before": before},
        ).fetchall()
        return dict(reversed(rows))  # of a key that comes twice the newest stamp

    def has_stamps_after(self, moment: datetime) -> bool:
        """Tell whether a row has a stamp after some moment."""
        rows = f"FROM {self._rows(self.before)} WHERE coalesce(_cursor, _extracted_at) > $moment LIMIT 1"
        return bool(self.before) and bool(self.con.execute(f"SELECT 1 {rows}", {"moment": moment}).fetchall())

    def split_stored_rows(
        self, rows: pa.Table, since: datetime | None = None, landed_keys: Sequence[pa.ChunkedArray] = ()
    ) -> tuple[pa.Table, pa.Table]:
        """Set the rows that are stored in the newest generation apart from those that are not.

        Rows without a key are compared by the digest of their payload. Compared are the versions stamped at or after
        `since`, without one the newest of every record. Of a key that comes more than once the last row decides for
        all of them, and one that is among `landed_keys`, the keys that this reading has landed, is landed again: its
        last row has to be the last one that is stored.
        """
        if not self.before or not rows.num_rows:
            return rows, rows.slice(0, 0)
        numbered = rows.select(["_key", "_deleted", "_payload"]).append_column("n", int64_array(range(rows.num_rows)))
        with self._lent(numbered, "page"), self._lent(key_table(landed_keys), "landed"):
            fresh = self.con.execute(
                f"WITH compared AS (SELECT n, p._key, EXISTS (SELECT 1 FROM {self._printed(since)} s WHERE s._key IS NOT "
                "DISTINCT FROM p._key AND s._deleted = p._deleted AND (p._deleted OR s.print = md5(p._payload))) AS is_stored "
                "FROM page p), decided AS (SELECT n, _key, CASE WHEN _key IS NULL THEN is_stored ELSE "
                "last_value(is_stored) OVER (PARTITION BY _key ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED "
                "FOLLOWING) END AS is_stored FROM compared) SELECT n FROM decided WHERE NOT is_stored "
                "OR _key IN (SELECT _key FROM landed) ORDER BY n"
            ).fetchnumpy()["n"]
        if len(fresh) == rows.num_rows:
            return rows, rows.slice(0, 0)
        is_fresh = pc.is_in(numbered.column("n"), value_set=int64_array(fresh.tolist()))
        return rows.filter(is_fresh), rows.filter(pc.invert(is_fresh))

    def unseen_tombstones(self, rows: pa.Table) -> pa.Table:
        """Keep the tombstones of records that are alive here, or that are not known here.

        Those that landed before, by key and stamp, stay out: a list goes on naming a key that has been used again.
        """
        if not self.before or not rows.num_rows:
            return rows
        numbered = rows.select(["_key", "_cursor"]).append_column("n", int64_array(range(rows.num_rows)))
        with self._lent(numbered, "page"):
            fresh = self.con.execute(
                f"SELECT n FROM page p ANTI JOIN {self._dead} d USING (_key) WHERE NOT EXISTS (SELECT 1 FROM "
                f"{self._tombstones} t WHERE t._key = p._key AND t._cursor IS NOT DISTINCT FROM p._cursor) ORDER BY n"
            ).fetchnumpy()["n"]
        unseen = rows if len(fresh) == rows.num_rows else rows.take(int64_array(fresh.tolist()))
        return self._with_absorbed(unseen)

    @cached_property
    def _tombstones(self) -> str:
        """List the tombstones of all generations, in a table of the engine."""
        rows = f"SELECT DISTINCT _key, _cursor FROM {self._files(self.before)} WHERE _deleted"
        self.con.execute(f"CREATE TEMP TABLE tombstones AS {rows}")
        return "tombstones"

    def alive(self, keys: pa.ChunkedArray) -> set[str]:
        """Tell which of some keys belong to records that are alive."""
        if not self.before or not len(keys):
            return set()
        with self._lent(pa.table({"_key": keys}), "page"):
            rows = self.con.execute(f"SELECT DISTINCT _key FROM page SEMI JOIN {self._alive} USING (_key)")
            return {key for (key,) in rows.fetchall()}

    def unlisted(self, keys: Iterable[Sequence[str]]) -> tuple[list[str], int]:
        """Tell which records are alive here and not among the listed keys; and how many keys were listed."""
        self.con.execute("CREATE OR REPLACE TEMP TABLE listed_keys (_key VARCHAR)")
        for part in keys:
            with self._lent(pa.table({"_key": string_array([key.encode() for key in part])}), "page"):
                self.con.execute("INSERT INTO listed_keys SELECT _key FROM page")
        rows = self.con.execute(
            f"SELECT _key FROM {self._alive} ANTI JOIN listed_keys USING (_key) ORDER BY 1"
        ).fetchall()
        return [key for (key,) in rows], self._count("SELECT count(*) FROM listed_keys")

    def count_lost(self, files: Sequence[Written], stored: Sequence[pa.Table], settled: datetime) -> int:
        """Count the records whose stored stamp is later than the one under which a reading has shown them.

        The reading has shown what landed in `files`, and rows that were `stored` already. Stamps after `settled` are left
        out: an answer may lag behind.
        """
        nothing = raw_schema(self.stream).empty_table().select(["_key", "_cursor"])
        landed = f"SELECT _key, _cursor FROM {self._files(files)} UNION ALL " if files else ""
        with self._lent(pa.concat_tables([nothing, *stored]), "page"):
            (row,) = self.con.execute(
                f"WITH shown AS (SELECT _key, max(_cursor) AS newest FROM ({landed}FROM page) WHERE _key IS NOT NULL "
                f"GROUP BY _key) SELECT count(DISTINCT _key) FROM {self._rows(self.before)} JOIN shown USING (_key) "
                "WHERE _cursor > newest AND _cursor < $settled",
                {"settled": settled},
            ).fetchall()
        return int(row[0])

    def absent_from_newest(self) -> list[str]:
        """Tell which records are alive and have no row in the newest generation."""
        rows = self.con.execute(f"SELECT _key FROM {self._alive} ANTI JOIN {self._newest_keys} USING (_key) ORDER BY 1")
        return [key for (key,) in rows.fetchall()]

    def some_in_newest(self, most: int = 5) -> list[str]:
        """Give some records that are alive and have a row in the newest generation."""
        rows = f"SELECT DISTINCT _key FROM {self._alive} SEMI JOIN {self._newest_keys} USING (_key)"
        return [key for (key,) in self.con.execute(f"{rows} ORDER BY 1 LIMIT {most}").fetchall()]

    @property
    def _newest_keys(self) -> str:
        return f"(SELECT _key FROM {self._rows(self.before)} WHERE _generation = {self.last})"

    def carried(self, keys: Sequence[str]) -> "ir.Table":
        """Give the rows of some records that count, as rows of the newest generation."""
        import ibis

        from engine.storage.backend import backend

        staying = backend.table(self.engine, pa.table({"_key": string_array([key.encode() for key in keys])}))
        rows = newest(self.read(self.before).semi_join(staying, "_key"))
        return rows.mutate(_generation=ibis.literal(self.last, "int64"))

    def listed_only(self, *, were_stored: bool) -> list[str]:
        """Tell which of the keys listed last are of no record that is alive here; `known` are those that once were."""
        among = f"SEMI JOIN {self._dead} USING (_key)" if were_stored else f"ANTI JOIN {self._living} USING (_key)"
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
        return self._with_absorbed(tombstone_rows(self.stream, keys, at))

    def _with_absorbed(self, tombstones: pa.Table) -> pa.Table:
        """Let each tombstone name what its record had absorbed, where it does not by itself: that is gone with it."""
        path = self.stream.merges
        if not path or not self.before or not tombstones.num_rows:
            return tombstones
        absorbed = tombstones.select(["_key", path]).rename_columns(["_key", "absorbed"])
        with self._lent(absorbed.append_column("n", int64_array(range(tombstones.num_rows))), "page"):
            full: pa.Table = self.con.execute(
                "SELECT coalesce(p.absorbed, a.absorbed) AS absorbed "
                f"FROM page p LEFT JOIN {self._absorbers} a USING (_key) ORDER BY n"
            ).to_arrow_table()
        at = tombstones.schema.get_field_index(path)
        return tombstones.set_column(
            at, tombstones.schema.field(path), full.column("absorbed").cast(tombstones.schema.field(path).type)
        )

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
        ids = f"SELECT _key, trim(unnest(string_split(absorbed, ';'))) AS gone FROM {self._absorbers}"
        return f"(SELECT gone FROM ({ids}) WHERE gone <> '' AND gone <> _key)"

    @cached_property
    def _absorbers(self) -> str:
        """Work out which records have absorbed others, in a table of the engine; of those that are gone, too."""
        from engine.storage.backend import backend

        path = str(self.stream.merges)
        rows = newest(self._slim(self.before, path))
        absorbers = rows.filter(rows[path].notnull()).select("_key", absorbed=rows[path])
        return str(backend.keep(self.engine, absorbers).get_name())

    def _printed(self, since: datetime | None) -> str:
        """Work out fingerprints of versions that are stored in the newest generation, in a table of the engine, once."""
        if since not in self._prints:
            self._prints[since] = table = f"prints_{len(self._prints)}"
            rows = self._newest_prints() if since is None else self._recent_prints()
            self.con.execute(f"CREATE TEMP TABLE {table} AS {rows}", {"since": since} if since else None)
        return self._prints[since]

    def _newest_prints(self) -> str:
        from engine.storage.backend import backend

        slim = self.read(self.before).select(*COMMON.names, *NUMBERS.names)
        mine = slim.filter(slim._generation == self.last)
        printed = backend.keep(self.engine, mine.mutate(_payload=mine._payload.hexdigest("md5")))
        counting = backend.keep(self.engine, newest(printed))
        return f"SELECT _key, _deleted, _payload AS print FROM {counting.get_name()}"

    def _recent_prints(self) -> str:
        """Print the newest versions of what is read again; a record that was ever deleted may have come back."""
        rows = f"(SELECT *, md5(_payload) AS print FROM {self._rows(self.before)} WHERE _generation = {self.last})"
        return (
            f"SELECT _key, _deleted, print FROM {rows} WHERE _cursor >= $since AND (_deleted OR _key IS NULL "
            f"OR _key NOT IN (SELECT _key FROM {rows} WHERE _deleted AND _key IS NOT NULL)) "
            "QUALIFY row_number() OVER (PARTITION BY _key, CASE WHEN _key IS NULL THEN print END "
            "ORDER BY _cursor DESC, _extracted_at DESC, _sequence DESC) = 1"
        )

    def _slim(self, files: Sequence[Written], *paths: str) -> "ir.Table":
        """Read what tells the row that counts of records with a key, without what they hold, but for some paths."""
        import ibis

        rows = self.read(files)
        columns = [*COMMON.names, *NUMBERS.names, *paths]
        return rows.filter(rows._key.notnull()).select(*columns).mutate(_payload=ibis.literal(""))

    def read(self, files: Sequence[Written]) -> "ir.Table":
        """Read the rows of files that count, with a column for every path."""
        rows = with_every_path(read_rows(self.project.lake, self.engine, files, self.stream), self.stream)
        return rows.filter(rows._generation.between(self.first, self.last))

    def _rows(self, files: Sequence[Written]) -> str:  # of those that count
        return f"(FROM {self._files(files)} WHERE _generation BETWEEN {self.first} AND {self.last})"

    def _files(self, files: Sequence[Written]) -> str:
        """Select all rows of files."""
        return rows_sql(self.project.lake, files)

    @contextmanager
    def _lent(self, rows: pa.Table, name: str) -> Iterator[None]:
        """Lend rows to the engine under a name."""
        self.con.register(name, rows)
        try:
            yield
        finally:
            self.con.unregister(name)

    def _count(self, sql: str) -> int:
        return int(self.con.execute(sql).fetchall()[0][0])

    @cached_property
    def con(self) -> duckdb.DuckDBPyConnection:
        return duckdb_session.connect(threads=1) if self.is_at_leisure else duckdb_session.shared_cursor()

    @cached_property
    def engine(self) -> "Backend":
        from engine.storage.backend import backend

        return backend.over(self.con)
