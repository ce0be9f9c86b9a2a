"""From the source to the warehouse: every record counted at every stage."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir

from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.storage.slice_counts import SliceCount
from engine.storage.sync_state import uncursored_refresh_of
from transforms.conform.conform import latest

WINDOWS = 50  # windows of one run that are counted at every stage; of the others, what the source said
WHOLE = "all"
Counts = list[int]


@dataclass
class Flow:
    """Follow one stream: `counts` holds for each stage the whole and then each window of the last reading.

    `stamped` are the accepted rows by account and cursor, of a stream with windows whose rows belong to accounts.
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
        """List the windows of the last reading."""
        return [one for one in self.balances if not one.is_total][-WINDOWS:]

    def count(self, stage: str, rows: ir.Table) -> int:
        """Count the rows of a stage by their cursor; answers the whole."""
        asked = {f"w{n}": rows.count(where=_within(rows._cursor, one)) for n, one in enumerate(self.windows)}
        (row,) = rows.agg(whole=rows.count(), **asked).to_pyarrow().to_pylist()
        self.counts[stage] = [int(value or 0) for value in row.values()]
        return self.counts[stage][0]

    def none(self, stage: str) -> None:
        """Write down that no row is at a stage."""
        self.counts[stage] = [0] * (1 + len(self.windows))

    def note(self, stage: str, whole: int) -> None:
        """Write down a count of the whole."""
        self.counts[stage] = [whole, *self.counts.get(stage, [])[1:]]

    def rows(self) -> Iterable[dict[str, Any]]:
        """Give the rows of `reconciliation`: one a window, and one for the whole."""
        for place, window in enumerate(self.windows, start=1):
            yield _closed(self._row(place, window))
        yield _closed(self._whole(next((one for one in self.balances if one.is_total), None)))

    def _row(self, place: int, window: SliceCount | None) -> dict[str, Any]:
        counted = {stage: some[place] for stage, some in self.counts.items() if place < len(some)}
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
                row["tolerated"] = True  # nobody tells of this stream's deletions: only the count does
        return row


class Flows:
    """Follow every stream of a build."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._flows: dict[tuple[str, str], Flow] = {}

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._flows.values())

    def of(self, connection: str, stream: Stream) -> Flow:
        """Begin to follow a stream, with what its last reading said of it."""
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

    def count_joined(self, table: str, rows: ir.Table, known: ir.Table) -> None:
        """Count a written table's rows by stream, and those whose account is among the known ones."""
        conformed = _by_stream(rows)
        joined = _by_stream(rows.semi_join(known, known.columns)) if "account_id" in rows.columns else {}
        for name, flow in self._flows.items():
            if flow.stream.table != table:
                continue
            flow.note("conformed", conformed.get(name, 0))
            if flow.stamped is not None:
                flow.count("joined", flow.stamped.semi_join(known, known.columns))
                flow.count("unjoined", flow.stamped.anti_join(known, known.columns))
            if "account_id" in rows.columns:
                flow.note("joined", joined.get(name, 0))
                flow.note("unjoined", conformed.get(name, 0) - joined.get(name, 0))

    def rows(self) -> list[dict[str, Any]]:
        """Give the rows of `reconciliation`."""
        return [row for flow in self for row in flow.rows()]


def landed(raw: ir.Table) -> ir.Table:
    """Tell the newest versions that are alive, by key and stamp alone: a count that owes nothing to what follows."""
    keyless = raw._key.isnull().ifelse(raw._payload, ibis.literal(""))
    numbers = ("_generation", "_sequence")
    return latest(raw.select("_key", "_cursor", "_deleted", "_extracted_at", *numbers, _payload=keyless))


def _within(stamp: ir.Value, window: SliceCount) -> ir.BooleanValue:
    """Tell whether a stamp lies in a window; what has none belongs to the first."""
    start, end = window.slice_.start, window.slice_.end
    bounds = [stamp >= ibis.literal(start)] if start else []
    bounds += [stamp < ibis.literal(end)] if end else []
    return ibis.coalesce(ibis.and_(*bounds), start is None) if bounds else stamp.isnull() | stamp.notnull()


def _closed(row: dict[str, Any]) -> dict[str, Any]:
    """Say what does not add up; nothing is the aim."""
    gaps = [row.get("gap")] if row.get("gap") else []
    if row["missing"]:
        gaps.append(f"{row['missing']} of {row['source_count']} records that the source counts are missing")
    if row["surplus"] and not row.pop("tolerated", False):
        gaps.append(f"{row['surplus']} records are here that the source counts no more")
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
    whole, known = row.get(stage), [row.get(part) for part in parts]
    is_replaced = "accepted" in (stage, *parts) and stage != "landed" and row.get("kept") is not None
    if whole is None or None in known or is_replaced:
        return None
    added = sum(count for count in known if count is not None)
    return None if whole == added else f"{stage} {whole}, but {' + '.join(parts)} {added}"


def _text(moment: datetime | None, otherwise: str) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else otherwise


def _by_stream(rows: ir.Table) -> dict[tuple[str, str], int]:
    counted = rows.group_by("connection", "stream").agg(n=ibis._.count()).to_pyarrow().to_pylist()
    return {(row["connection"], row["stream"]): row["n"] for row in counted}
