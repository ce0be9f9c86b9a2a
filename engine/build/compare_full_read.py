"""Look with fresh eyes: read a connection anew into an empty lake, and compare record by record with what is held.

Every system that reads only what changed drifts in the end; this tells whether it has, and where.
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
    """Say how one stream compares. `newer` changed at the source after it was read: the next run brings them.

    `examples` name records and the fields that differ, no values.
    """

    connection: str
    stream: str
    here: int
    source: int
    missing: int = 0
    surplus: int = 0
    differing: int = 0
    newer: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Tell whether nothing is to be mended."""
        return not (self.missing or self.surplus or self.differing)


def reconcile(project: Project, name: str, run_id: str, *, streams: Sequence[str] | None = None) -> Iterator[Compared]:
    """Compare a connection's streams with a reading that knows nothing; nothing that is held is touched.

    Raises LeaseHeld when another run reads this connection, and ReplyError when the fresh reading is not whole.
    """
    with (
        TemporaryDirectory(prefix="belvedere-reconcile-") as folder,
        lease(project.ledger, f"connection:{name}", run_id),
    ):
        fresh = _fresh(project, Path(folder))
        try:
            for result in extract(fresh, name, run_id, streams=streams):
                if result.status != "done":
                    raise ReplyError(f"the fresh reading is not whole: {result.error}")
            for stream in project.streams(name):
                if streams is None or stream.name in streams:
                    yield _Comparison(project, fresh, name, stream).done()
        finally:
            fresh.ledger.engine.dispose()


def _fresh(project: Project, folder: Path) -> Project:
    """Make a project with the same connections and an empty memory; the accounts' budgets are the same ones."""
    fresh = replace(project, home=folder)
    vars(fresh)["ledger"] = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    vars(fresh)["lake"] = Lake(str(folder / "lake"), fresh.ledger)
    vars(fresh)["budgets"] = project.budgets
    return fresh


class _Comparison:
    """Compare one stream."""

    def __init__(self, project: Project, fresh: Project, name: str, stream: Stream) -> None:
        self.name, self.stream, self.con = name, stream, backend.connect()
        self.ours, self.theirs = (self._signed(one) for one in (project, fresh))
        spans = project.ledger.sync.intervals(name, stream.name)
        self.read_until = spans[-1].end if spans else None

    def done(self) -> Compared:
        """Count, and name some of what differs."""
        both = backend.keep(self.con, self._joined())
        (row,) = (
            both.agg(
                here=both.is_ours.sum(),
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
        told = (
            both.filter(both.kind.isin(["missing", "surplus", "differing"])).order_by("kind", "record_id").limit(SHOWN)
        )
        rows = told.select("record_id", "kind").to_pyarrow().to_pylist()
        fields = self._fields([row["record_id"] for row in rows if row["kind"] == "differing"])
        return [(row["record_id"], fields.get(row["record_id"], row["kind"])) for row in rows]

    def _fields(self, ids: Sequence[str]) -> dict[str, str]:
        """Name the fields in which some records differ."""
        if not ids:
            return {}
        left, right = (
            {row["_record_id"]: row for row in one.filter(one._record_id.isin(ids)).to_pyarrow().to_pylist()}
            for one in (self.ours, self.theirs)
        )
        return {key: "differing: " + (", ".join(_apart(left[key], right[key])) or "payload") for key in ids}

    def _signed(self, project: Project) -> ir.Table:
        """Give what the build would make of each record, and one text that tells two of them apart."""
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
        return rows.mutate(sign=reduce(lambda left, right: left + "\x1f" + right, texts).hexdigest("md5"))


def _apart(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    return sorted(name for name in left if name not in (*OWN, "sign") and left[name] != right[name])
