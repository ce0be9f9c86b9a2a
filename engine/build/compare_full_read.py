"""Reads a connection again into an empty lake, and compares it record by record with the stored rows.

A system that reads only changes can drift from its source; this shows whether it has, and where.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import ibis.expr.types as ir

from connectors.kit.errors import ReplyError
from connectors.kit.stream import Stream
from engine.build.conform import conformed
from engine.config.project import Project
from engine.extract.run import extract
from engine.extract.stored_rows import stored_rows
from engine.storage.backend import backend
from engine.storage.lake import Lake
from engine.storage.lease import lease
from engine.storage.ledger import Ledger
from transforms.conform.conform import latest, newest
from transforms.identity.source_merges import redirects, without_redirected

SHOWN = 20
NOTHING = "\x1e"
OWN = {"_record_id", "_cursor", "_unreadable", "_payload"}


@dataclass
class Compared:
    """How one stream compares. `newer` records changed at the source since: the next run reads them.

    `examples` name records and the fields that differ, no values.
    """

    connection: str
    stream: str
    stored_rows: int
    source: int
    missing: int = 0
    surplus: int = 0
    differing: int = 0
    newer: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether stored rows and source agree."""
        return not (self.missing or self.surplus or self.differing)


def reconcile(project: Project, name: str, run_id: str, *, streams: Sequence[str] | None = None) -> Iterator[Compared]:
    """Compare a connection's streams with a full read of its source; stored rows stay as they are.

    Raises LeaseTaken when another run reads this connection, and ReplyError when the full read is not complete.
    """
    with (
        TemporaryDirectory(prefix="belvedere-reconcile-") as folder,
        lease(project.ledger, f"connection:{name}", run_id),
    ):
        fresh = _fresh(project, Path(folder))
        try:
            for result in extract(fresh, name, run_id, streams=streams):
                if result.status != "done":
                    raise ReplyError(f"the full read for the comparison is not complete: {result.error}")
            for stream in project.streams(name):
                if streams is None or stream.name in streams:
                    yield _Comparison(project, fresh, name, stream).done()
        finally:
            fresh.ledger.engine.dispose()


def _fresh(project: Project, folder: Path) -> Project:
    """Return the project with an empty ledger and lake; the rate limits of its accounts stay shared."""
    fresh = replace(project, home=folder)
    vars(fresh)["ledger"] = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    vars(fresh)["lake"] = Lake(str(folder / "lake"), fresh.ledger)
    vars(fresh)["budgets"] = project.budgets
    return fresh


class _Comparison:
    """Compare one stream."""

    def __init__(self, project: Project, fresh: Project, name: str, stream: Stream) -> None:
        self.name, self.stream, self.con = name, stream, backend.connect()
        self.ours, self.theirs = (self._signed(side) for side in (project, fresh))
        spans = project.ledger.sync.intervals(name, stream.name)
        self.read_until = spans[-1].end if spans else None

    def done(self) -> Compared:
        """Count, and name some records that differ."""
        both = backend.keep(self.con, self._joined())
        (row,) = (
            both.agg(
                stored_rows=both.is_ours.sum(),
                source=both.is_theirs.sum(),
                **{kind: (both.kind == kind).sum() for kind in ("missing", "surplus", "differing", "newer")},
            )
            .to_pyarrow()
            .to_pylist()
        )
        counts = {name: int(value or 0) for name, value in row.items()}
        return Compared(self.name, self.stream.name, **counts, examples=self._examples(both))

    def _joined(self) -> ir.Table:
        ours = self.ours.select(ours=self.ours._record_id, sign=self.ours.sign)
        theirs = self.theirs.select(theirs=self.theirs._record_id, their_sign=self.theirs.sign, at=self.theirs._cursor)
        both = ours.outer_join(theirs, ours.ours == theirs.theirs)
        is_newer = ibis.literal(False)
        if self.read_until:
            is_newer = ibis.coalesce(both.at >= ibis.literal(self.read_until), False)
        kind = ibis.cases(
            (both.theirs.isnull(), "surplus"),
            ((both.ours.isnull() | (both.sign != both.their_sign)) & is_newer, "newer"),
            (both.ours.isnull(), "missing"),
            (both.sign != both.their_sign, "differing"),
            else_="equal",
        )
        named = ibis.coalesce(both.ours, both.theirs)
        return both.select(record_id=named, kind=kind, is_ours=both.ours.notnull(), is_theirs=both.theirs.notnull())

    def _examples(self, both: ir.Table) -> list[tuple[str, str]]:
        different = (
            both.filter(both.kind.isin(["missing", "surplus", "differing"])).order_by("kind", "record_id").limit(SHOWN)
        )
        rows = different.select("record_id", "kind").to_pyarrow().to_pylist()
        fields = self._fields([row["record_id"] for row in rows if row["kind"] == "differing"])
        return [(row["record_id"], fields.get(row["record_id"], row["kind"])) for row in rows]

    def _fields(self, ids: Sequence[str]) -> dict[str, str]:
        """Name the fields in which some records differ."""
        if not ids:
            return {}
        stored, fresh = (
            {row["_record_id"]: row for row in rows.filter(rows._record_id.isin(ids)).to_pyarrow().to_pylist()}
            for rows in (self.ours, self.theirs)
        )
        return {key: "differing: " + (", ".join(_apart(stored[key], fresh[key])) or "payload") for key in ids}

    def _signed(self, project: Project) -> ir.Table:
        """Return what a build would make of each record, with a hash of its columns."""
        raw = stored_rows(project, self.con, self.name, self.stream)
        alive = latest(raw)
        if self.stream.merges in raw.columns:
            away = redirects(newest(raw), str(self.stream.merges), connection=self.name, stream=self.stream.name)
            alive = without_redirected(alive, backend.keep(self.con, away))
        if self.stream.table is None:
            rows = alive.select(_record_id=alive._key, _cursor=alive._cursor, payload=alive._payload)
        else:
            rows = conformed(project, self.name, self.stream, alive)
            rows = rows.drop(*({"_payload"} & {*rows.columns}))
        rows = backend.keep(self.con, rows)
        texts = [rows[column].cast("string").fill_null(NOTHING) for column in rows.columns if column not in OWN]
        return rows.mutate(sign=reduce(lambda text, more: text + "\x1f" + more, texts).hexdigest("md5"))


def _apart(stored: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    return sorted(name for name in stored if name not in (*OWN, "sign") and stored[name] != fresh[name])
