"""From the source to the warehouse: every record counted at every stage."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from connectors.kit.stream import Stream
from engine.build.registry import Output
from engine.config.project import Project
from engine.storage.backend import backend
from engine.storage.stores.slice_counts import SliceCount
from engine.storage.stores.sync_state import uncursored_refresh_of
from engine.storage.table_schema import arrow_schema
from transforms.conform.conform import latest

WINDOWS = 50  # slices of one run that are counted at every stage; each costs a column in every count
WHOLE = "all"
Counts = list[int]


@dataclass
class Flow:
    """The counts of one stream: for each stage of the whole stream, then of each slice that the last run read.

    `stamped` are the accepted rows by account and cursor, for streams read in slices whose rows belong to accounts.
    """

    connection: str
    stream: Stream
    balances: Sequence[SliceCount]
    unread: str | None = None
    derived_read_at: datetime | None = None
    stamped: ir.Table | None = None
    counts: dict[str, Counts] = field(default_factory=dict)

    @property
    def windows(self) -> list[SliceCount]:
        """The slices that the last run read, at most the newest `WINDOWS`."""
        return [count for count in self.balances if not count.is_total][-WINDOWS:]

    def count(self, stage: str, rows: ir.Table) -> int:
        """Count the rows of a stage by slice; returns the count of all."""
        by_window = {f"w{n}": rows.count(where=_within(rows._cursor, window)) for n, window in enumerate(self.windows)}
        (row,) = rows.agg(whole=rows.count(), **by_window).to_pyarrow().to_pylist()
        self.counts[stage] = [int(value or 0) for value in row.values()]
        return self.counts[stage][0]

    def none(self, stage: str) -> None:
        """Record that a stage has no rows."""
        self.counts[stage] = [0] * (1 + len(self.windows))

    def note(self, stage: str, whole: int) -> None:
        """Record the count of all rows of a stage."""
        self.counts[stage] = [whole, *self.counts.get(stage, [])[1:]]

    def rows(self) -> Iterable[dict[str, Any]]:
        """Yield the rows of `reconciliation`: one for each slice, and one for the whole stream."""
        for number, window in enumerate(self.windows, start=1):
            yield _closed(self._row(number, window))
        yield _closed(self._whole(next((count for count in self.balances if count.is_total), None)))

    def _row(self, number: int, window: SliceCount | None) -> dict[str, Any]:
        counted = {stage: counts[number] for stage, counts in self.counts.items() if number < len(counts)}
        row: dict[str, Any] = {"connection": self.connection, "stream": self.stream.name, "table": self.stream.table}
        row |= {"slice": WHOLE, "missing": 0, "surplus": 0, **counted}
        if window:
            start, end = window.slice_.start, window.slice_.end
            row |= {"slice": f"{_text(start, 'beginning')} to {_text(end, 'end')}", "slice_from": start}
            row |= {"slice_until": end, "counted_at": window.at, "source_count": window.source_count}
            row |= {"read": window.read, "moved": window.moved, "missing": window.missing}
        return row

    def _whole(self, total: SliceCount | None) -> dict[str, Any]:
        row = self._row(0, None) | {"derived_read_at": self.derived_read_at, "gap": self.unread}
        if total and total.source_count is not None and not self.unread:
            landed, counted = row.get("landed", 0), total.source_count
            new = total.source_new - (total.source_held or 0)
            most = counted if total.source_held is None else counted - new
            row |= {"counted_at": total.at, "source_count": counted, "source_new": new}
            row |= {"missing": max(0, counted - new - landed), "surplus": max(0, landed - most)}
            if self.stream.deletes == "none" and row["surplus"]:
                row["tolerated"] = True  # the source reports no deletions of this stream: only its count shows them
        return row


def reconciliation(
    accounts: ir.Table,
    owners: ir.Table,
    deals: ir.Table,
    orders: ir.Table,
    invoices: ir.Table,
    payments: ir.Table,
    tickets: ir.Table,
    activities: ir.Table,
    ratings: ir.Table,
    crosswalk: ir.Table,
    previous: ir.Table,
    *,
    flows: "Flows",
    con: backend.Backend,
) -> Output:
    """Every record of a stream counted at every stage; slices of earlier readings keep their counts.

    Grain: connection, stream, slice.
    """
    conformed = {
        "accounts": accounts,
        "owners": owners,
        "deals": deals,
        "orders": orders,
        "invoices": invoices,
        "payments": payments,
        "tickets": tickets,
        "activities": activities,
        "ratings": ratings,
    }
    accounts_joined = backend.keep(con, crosswalk.select("connection", "account_id"))
    for table, rows in conformed.items():
        flows.count_joined(table, rows, accounts_joined)
    counted = flows.rows()
    fresh = backend.table(con, pa.Table.from_pylist(counted, arrow_schema("reconciliation")))
    earlier = previous.filter(previous.slice != WHOLE).anti_join(fresh, ["connection", "stream", "slice"])
    open_rows = [row for row in counted if row["gap"]]
    gaps = [f"{row['connection']} {row['stream']} ({row['slice']}): {row['gap']}" for row in open_rows]
    short = {(flow.connection, flow.stream.name) for flow in flows if flows.may_be_short(flow)}
    lost = sum((row["connection"], row["stream"]) not in short for row in open_rows)
    return Output(ibis.union(fresh, earlier), {"gaps": gaps, "lost": lost})


class Flows:
    """The counts of every stream of a build."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._flows: dict[tuple[str, str], Flow] = {}

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._flows.values())

    def of(self, connection: str, stream: Stream) -> Flow:
        """Start to count a stream, with what its last run counted at the source."""
        ledger = self.project.ledger
        last = ledger.runs.last(f"extract:{connection}")
        unread = (last["summary"]["streams"] if last else {}).get(stream.name)
        refreshed = (
            ledger.sync.intervals(connection, uncursored_refresh_of(stream.name)) if stream.uncursored_fields else []
        )
        read_at = refreshed[-1].end if refreshed else None
        balances = ledger.slice_counts.of_last_run(connection, stream.name)
        flow = self._flows[connection, stream.name] = Flow(connection, stream, balances, unread, read_at)
        return flow

    def count_joined(self, table: str, rows: ir.Table, accounts: ir.Table) -> None:
        """Count the rows of a table by stream, and those whose account belongs to a customer."""
        conformed = _by_stream(rows)
        joined = _by_stream(rows.semi_join(accounts, accounts.columns)) if "account_id" in rows.columns else {}
        for name, flow in self._flows.items():
            if flow.stream.table != table:
                continue
            flow.note("conformed", conformed.get(name, 0))
            if flow.stamped is not None:
                flow.count("joined", flow.stamped.semi_join(accounts, accounts.columns))
                flow.count("unjoined", flow.stamped.anti_join(accounts, accounts.columns))
            if "account_id" in rows.columns:
                flow.note("joined", joined.get(name, 0))
                flow.note("unjoined", conformed.get(name, 0) - joined.get(name, 0))

    def may_be_short(self, flow: Flow) -> bool:
        """Whether a stream was not read to its end, and its connection is not required."""
        return bool(flow.unread) and not self.project.connection(flow.connection).required

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `reconciliation`."""
        return [row for flow in self for row in flow.rows()]


def landed(raw: ir.Table) -> ir.Table:
    """Return the newest version of each record that is not deleted, by key and cursor alone.

    Counted apart from the transforms, so that a row lost in one of them shows.
    """
    keyless = raw._key.isnull().ifelse(raw._payload, ibis.literal(""))
    numbers = ("_generation", "_sequence")
    return latest(raw.select("_key", "_cursor", "_deleted", "_extracted_at", *numbers, _payload=keyless))


def _within(stamp: ir.Value, window: SliceCount) -> ir.BooleanValue:
    """Whether a cursor lies in a slice; a row without one belongs to the first."""
    start, end = window.slice_.start, window.slice_.end
    bounds = [stamp >= ibis.literal(start)] if start else []
    bounds += [stamp < ibis.literal(end)] if end else []
    return ibis.coalesce(ibis.and_(*bounds), start is None) if bounds else stamp.isnull() | stamp.notnull()


def _closed(row: dict[str, Any]) -> dict[str, Any]:
    """Add to a row of `reconciliation` whether its counts add up, and where they do not."""
    gaps: list[str] = [str(row["gap"])] if row.get("gap") else []
    if row["missing"]:
        gaps.append(f"{row['missing']} of {row['source_count']} records that the source counts are missing")
    if row["surplus"] and not row.pop("tolerated", False):
        gaps.append(f"{row['surplus']} stored records are no longer counted by the source")
    row.pop("tolerated", None)
    gaps += [words for words in (_lost(row, *sums) for sums in SUMS) if words]
    return row | {"is_closed": not gaps, "gap": "; ".join(gaps) or None}


SUMS = (  # a stage, and the stages that must add up to it
    ("landed", ("accepted", "quarantined")),
    ("accepted", ("joined", "unjoined")),
    ("conformed", ("joined", "unjoined")),
    ("conformed", ("kept",)),
    ("conformed", ("accepted",)),
)


def _lost(row: Mapping[str, Any], stage: str, parts: Sequence[str]) -> str | None:
    whole, counts = row.get(stage), [row.get(part) for part in parts]
    is_replaced = "accepted" in (stage, *parts) and stage != "landed" and row.get("kept") is not None
    if whole is None or None in counts or is_replaced:
        return None
    added = sum(count for count in counts if count is not None)
    return None if whole == added else f"{stage} {whole}, but {' + '.join(parts)} {added}"


def _text(moment: datetime | None, otherwise: str) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else otherwise


def _by_stream(rows: ir.Table) -> dict[tuple[str, str], int]:
    counted = rows.group_by("connection", "stream").agg(n=ibis._.count()).to_pyarrow().to_pylist()
    return {(row["connection"], row["stream"]): row["n"] for row in counted}
