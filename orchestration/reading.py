"""Read one stream in one run: slice after slice, then what was deleted, then the count of the whole."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from time import monotonic
from typing import Any

import pyarrow as pa

from connectors.kit.base import Connector, CountsSlices, ListsKeys, ReadsByKey, ReportsDeletes
from connectors.kit.errors import ConnectorError, RecordError, ReplyError, SettingsError
from connectors.kit.stream import Slice, Stream
from orchestration import slices
from orchestration.balance import balance, moving, said, total
from orchestration.breaker import Breaker
from orchestration.collector import sparing_what_stays
from orchestration.declared import settle
from orchestration.drift import Shape
from orchestration.held import Held
from orchestration.landing import Landing, gathered
from orchestration.meanwhile import changed_since
from orchestration.project import Project
from orchestration.shown import Shown
from orchestration.storage.balances import Balance
from orchestration.storage.manifest import Written
from orchestration.storage.state import (
    REFRESH,
    Interval,
    OpenSlice,
    Progress,
    anew_of,
    deletes_of,
    refresh_of,
)
from orchestration.stream_result import StreamResult
from schemas.mapping import paths

WHOLE = Slice()
READINGS = 4  # of pages by number, until two of them agree


class Reading:
    """Read one stream; `began` is the source's clock when the run began: no slice reaches beyond it."""

    def __init__(
        self,
        project: Project,
        connector: Connector,
        stream: Stream,
        run_id: str,
        shape: Shape,
        *,
        began: datetime,
        full: bool,
    ) -> None:
        self.shape = shape
        self.project, self.connector, self.stream, self.run_id = project, connector, stream, run_id
        self.name, self.full, self.until = connector.name, full, began - stream.lag
        self.config = project.connection(connector.name)
        self.held = Held(project, f"raw/{connector.name}/{stream.name}", stream)
        self.result = StreamResult(connector.name, stream.name)
        self.anew: OpenSlice | None = None  # is open while the stream is read as a whole once more
        self.breaker = Breaker(self.held, self.result, self.config.max_delete_pct)

    def done(self) -> StreamResult:
        """Read to the end, or to the first error that this stream cannot pass."""
        start, result = monotonic(), self.result
        with sparing_what_stays():
            for part in (self._rows, self._settle):
                try:
                    part()
                except ConnectorError as error:
                    result.stop("failed", str(error))
        result.seconds = monotonic() - start
        return result

    def _rows(self) -> None:
        self.shape.hold()
        settle(self.project, self.name, self.stream)
        ledger, anew = self.project.ledger, anew_of(self.stream.name)
        if self.full:
            ledger.reset(self.name, self.stream.name)
        self.anew = next(iter(ledger.open_slices(self.name, anew)), None)
        (self._whole if self.stream.cursor is None else self._changes)()
        if self.anew and self.result.status == "done":
            self._unshown(self.anew)
        if self.anew and self.result.status == "done":
            ledger.give_up(self.name, anew, self.anew.slice_)

    def _changes(self) -> None:
        """Read what lies between what has been read and the run's beginning, then what was deleted."""
        ledger, stream, first = self.project.ledger, self.stream, self._first()
        open_ = self._open(stream.name)
        spans = ledger.intervals(self.name, stream.name)
        covered = spans + [Interval(one.slice_.start, one.slice_.end) for one in open_]
        anchor = None if open_ else self._anchor  # what is half read is read on, not back
        left = slices.left(covered, first, self.until, stream.lookback, stream.window, anchor)
        plan = [*open_, *(OpenSlice(slice_, None, self.run_id) for slice_ in left)]
        self.result.since, self.result.until = (plan[0].slice_.start if plan else None), self.until
        self._each(stream.name, plan, spans[-1].end if spans else None)
        is_all = not covered
        if is_all and not self.result.read and (not self.held.before or self.breaker.is_outage(0)):
            ledger.reset(self.name, stream.name)  # an empty reading of all may be an outage: the next one asks anew
        elif self.result.status == "done" and plan and plan[0].slice_.start == first and not spans:
            ledger.close(self.name, refresh_of(stream.name), Slice(first, self.until))
        self._refresh(first)
        if self.result.status == "done":
            self._deletes()

    def _whole(self) -> None:
        """Read a stream that has no cursor; only rows that differ from what is held are landed."""
        left = self._open(self.stream.name)
        one = left[0] if left else OpenSlice(WHOLE, None, self.run_id)
        seen = self._slice(self.stream.name, one)
        if self.stream.deletes == "sweep" and not left and self.result.status == "done":
            self._missing(chunk.to_pylist() for chunk in seen)

    def _refresh(self, first: datetime | None) -> None:
        """Read everything again when that is due, for the sake of fields that move no cursor."""
        ledger, state = self.project.ledger, refresh_of(self.stream.name)
        if not {*self.stream.derived} & {*paths(self.stream.fields)}:
            return
        spans, open_ = ledger.intervals(self.name, state), self._open(state)
        read_at = spans[-1].end if spans else None
        is_due = read_at is None or self.until - read_at >= timedelta(days=self.config.refresh_days)
        if self.result.status == "done" and (open_ or is_due):
            self._each(state, open_ or [OpenSlice(Slice(first, self.until), None, self.run_id)], None)
            read_at = self.until if self.result.status == "done" else read_at
        self.result.derived_read_at = read_at

    def _open(self, state: str) -> list[OpenSlice]:
        """List what earlier runs left open; pages that are told by number have moved since, and are begun anew."""
        ledger = self.project.ledger
        if self.stream.by_position:
            for one in ledger.open_slices(self.name, state):
                ledger.give_up(self.name, state, one.slice_)
        return ledger.open_slices(self.name, state)

    def _each(self, state: str, plan: Iterable[OpenSlice], known: datetime | None) -> None:
        """Read slices; one whose answers cannot be trusted stays open, those behind it are read all the same."""
        broken: ConnectorError | None = None
        for one in plan:
            try:
                self._slice(state, one, known)
            except (ReplyError, RecordError) as error:
                broken = broken or error
        if broken:
            raise broken

    def _slice(self, state: str, one: OpenSlice, known: datetime | None = None) -> list[pa.ChunkedArray]:
        """Read a slice and prove it; answers the keys that were seen."""
        landing = self._landing(state, one, known=known)
        if not one.is_read:
            self._pages(landing, one)
        if landing.is_empty and self._is_outage(one.slice_):
            self.project.ledger.give_up(self.name, state, one.slice_)
        else:
            self._prove(state, one, landing)
        return landing.seen

    def _landing(self, state: str, one: OpenSlice, **more: Any) -> Landing:
        held, is_anew = self._held_now(), self.anew is not None
        return Landing(self.project, held, state, one, self.result, self.run_id, is_anew=is_anew, **more)

    def _held_now(self) -> Held:
        """Look at what is held once more where this run has landed something: slices overlap by the lookback."""
        return Held(self.project, self.held.asset, self.stream) if self.result.files else self.held

    def _pages(self, landing: Landing, one: OpenSlice) -> None:
        """Land page after page; what has gathered lands also where the reading breaks off."""
        page = None
        try:
            for page in self.shape.watched(self.connector.read(self.stream, one.slice_, one.checkpoint)):
                landing.add(page)
        except ConnectorError:
            landing.flush()
            raise
        if page is None or page.checkpoint is not None:
            landing.flush()
            raise ReplyError(f"{self.name} {self.stream.name}: the reading ended without saying that this is the end")

    def _is_outage(self, slice_: Slice) -> bool:
        """Look behind an empty answer: a stream that held records does not lose all of them at once."""
        is_all = self.stream.cursor is None or (slice_.start == self._first() and slice_.end == self.until)
        if is_all or self._must_show(slice_):
            return self.breaker.is_outage(0)
        counted = self._total
        return counted is not None and self.breaker.is_outage(counted.source_count or 0)

    def _must_show(self, slice_: Slice) -> bool:
        """Tell whether a slice holds our newest record: where deletions are flags, it cannot be gone."""
        anchor = self._anchor
        return bool(anchor and slice_.start and slice_.end and slice_.start <= anchor < slice_.end)

    @cached_property
    def _anchor(self) -> datetime | None:
        """Find the newest stamp that is held, where the source tells no count but flags what it deletes."""
        if isinstance(self.connector, CountsSlices) or self.stream.deletes != "flag":
            return None
        return self.held.newest_stamp(self.until)

    def _prove(self, state: str, one: OpenSlice, landing: Landing) -> None:
        """Compare a slice with the source's count; what is missing is asked for once more, then it stays a gap."""
        found, is_settled = self._proven(state, one, landing)
        self.project.ledger.note_balance(replace(found, run_id=self.run_id))
        if found.source_count is not None:
            self.result.total = (self.result.total or 0) + found.source_count
        self.result.missing += found.missing
        if found.missing or not is_settled:
            self.project.ledger.give_up(self.name, state, one.slice_)
            self.result.stop("short", said(found) if found.missing else moving(found, READINGS))
        else:
            if self.anew or state.endswith(REFRESH):
                self._set_back(self._shown(state, one.slice_, landing))
            self.project.ledger.close(self.name, state, one.slice_)

    def _proven(self, state: str, one: OpenSlice, landing: Landing) -> tuple[Balance, bool]:
        """Read again what is in doubt, pages by number until two readings agree; tells whether they did."""
        shown = self._shown(state, one.slice_, landing)
        found = balance(self.connector, self.stream, self._read(state, one.slice_), shown)
        if not self._is_doubtful(found, shown, landing):
            return found, True
        known, most = shown.count(one.slice_), READINGS if self.stream.by_position else 2
        for _ in range(1, most):
            landing = self._landing(state, one, before=landing)
            self._pages(landing, OpenSlice(one.slice_, None, self.run_id))
            shown = self._shown(state, one.slice_, landing)
            before, known = known, shown.count(one.slice_)
            if known == before:
                break
        found = balance(self.connector, self.stream, self._read(state, one.slice_), shown)
        return found, known == before or not self.stream.by_position

    def _is_doubtful(self, found: Balance, shown: Shown, landing: Landing) -> bool:
        """Tell whether a reading may have passed somebody over: of pages that have moved a count alone proves nothing."""
        if found.missing or not self.stream.by_position:
            return found.missing > 0
        end, is_changing = found.slice_.end, self.stream.cursor is not None and landing.pages > 1
        may_have_moved = is_changing and (found.source_count is None or bool(end and shown.count(Slice(end))))
        return found.moved > 0 or may_have_moved or self._lacks(landing)

    def _set_back(self, shown: Shown) -> None:
        """Let versions count no more that the source went back behind: it was restored, and shows earlier ones."""
        if not shown.files:
            return
        held = self._held_now()
        stamps = held.stamps(shown.files, shown.same)
        if lost := held.later_than(stamps):
            from orchestration.stamps import set_behind

            set_behind(held, stamps)
            self.result.notes.append(
                f"the source went back to earlier versions of {lost} records, and so they did here"
            )

    def _lacks(self, landing: Landing) -> bool:
        """Tell whether a whole reading did not show somebody who is held."""
        shown = (chunk.to_pylist() for chunk in landing.seen)
        is_swept = self.stream.cursor is None and self.stream.deletes == "sweep"
        return is_swept and bool(self._held_now().gone(shown)[0])

    def _shown(self, state: str, slice_: Slice, landing: Landing) -> Shown:
        read = self._read(state, slice_)
        return Shown.of(self.project, self.name, self.stream.name, state, read, landing.skipped_keys)

    def _read(self, state: str, slice_: Slice) -> OpenSlice:
        """Find a slice that has been read and not been proven yet."""
        open_ = self.project.ledger.open_slices(self.name, state)
        return next(one for one in open_ if one.slice_ == slice_)

    def _deletes(self) -> None:
        if isinstance(self.connector, ReportsDeletes) and self.stream.deletes in ("list", "feed"):
            self._reported(self.connector)
        elif isinstance(self.connector, ListsKeys) and self.stream.deletes == "sweep":
            self._missing(self.connector.keys(self.stream))

    def _reported(self, connector: ReportsDeletes) -> None:
        """Land what the source says is gone, looking back; refused or broken off, it is asked for again."""
        ledger, state, held = self.project.ledger, deletes_of(self.stream.name), self._held_now()
        spans = ledger.intervals(self.name, state)
        slice_ = Slice(spans[-1].end - self.stream.lookback if spans else self._first(), self.until)
        gone: set[str] = set()
        written: list[Written] = []
        for rows in gathered(held.unseen_tombstones(page.records) for page in connector.deletes(self.stream, slice_)):
            gone |= held.alive(rows.column("_key"))
            written.append(self.project.lake.write(self.held.asset, rows))
        if self.breaker.allows(len(gone)):
            ledger.land(self.name, state, written, Progress(slice_, None), self.run_id)
            self.result.files += written
            self.result.landed += sum(file.rows for file in written)
            self.result.bytes += sum(file.bytes for file in written)

    def _missing(self, keys: Iterable[list[str]]) -> None:
        held = self._held_now()
        gone, listed = held.gone(keys)
        if gone and not self.breaker.is_outage(listed):
            self._bury(held, gone)
        if self.stream.cursor and (unread := held.listed_only()):
            self._unread(unread)

    def _unread(self, keys: Sequence[str]) -> None:
        """Read all again for the sake of keys that are listed and were not read, unless they have come since."""
        since = changed_since(self.connector, self.stream, Slice(self.until))
        if since is None or not (lost := {*keys} - since):
            return
        if not self.anew:
            self.project.ledger.reset(self.name, self.stream.name)
        self.result.stop("short", f"{self.name} {self.stream.name}: {_unread(len(lost), was_all_read=bool(self.anew))}")

    def _unshown(self, anew: OpenSlice) -> None:
        """Look for what a whole reading did not show, where nobody lists the keys: what is not there by its key is gone."""
        if self.stream.cursor is None or self.stream.deletes == "sweep":
            return
        held, state = self._held_now(), anew_of(self.stream.name)
        keys = held.absent(Shown.of(self.project, self.name, self.stream.name, state, anew).files)
        if not keys:
            return
        there = _known(self.connector, self.stream, keys)
        if there is None:
            self.result.notes.append(_perhaps_gone(len(keys)))
        elif gone := [key for key in keys if key not in there]:
            self._bury(held, gone)

    def _bury(self, held: Held, gone: Sequence[str]) -> None:
        """Land tombstones, if so many are believed."""
        if self.breaker.allows(len(gone)):
            written = self.project.lake.write(held.asset, held.tombstones(gone, self.connector.now()))
            self.project.ledger.add([written], self.run_id)
            self.result.files.append(written)

    def _settle(self) -> None:
        """Let tombstones count that may, ask for the count of the whole, and say what is new."""
        result, ledger, asset = self.result, self.project.ledger, self.held.asset
        self.shape.settle(result)
        pending = ledger.pending(asset) if result.status in ("done", "short") else []
        if pending and self.breaker.allows(self.held.deleted_by(pending)):
            result.files += ledger.release(asset, self.run_id)
        if result.status == "done" and self._total:
            ledger.note_balance(replace(self._total, run_id=self.run_id))
        result.new, result.changed, result.unchanged, result.deleted = self.held.compare(result.files)
        if result.status == "done":
            self.held.compact()

    @cached_property
    def _total(self) -> Balance | None:
        """Ask for the count of the whole stream, once."""
        held = self._held_now()
        return total(
            self.connector,
            self.stream,
            Slice(self._first()),
            Slice(self.until),
            lambda keys: len(held.alive(pa.chunked_array([pa.array(sorted(keys), pa.string())]))),
        )

    def _first(self) -> datetime | None:
        if not self.config.start or self.stream.cursor is None:
            return None
        try:
            start = datetime.fromisoformat(self.config.start)
        except ValueError:
            raise SettingsError(f"connection {self.name!r}: start: {self.config.start!r} is no ISO date") from None
        return start if start.tzinfo else start.replace(tzinfo=UTC)


def _unread(count: int, *, was_all_read: bool) -> str:
    records = f"{count} records are listed that are not here"
    if was_all_read:
        return f"{records}, and a reading of all did not show them: compare what the connector lists with what it reads"
    return f"{records}, and no stamp of theirs moved; the next run reads the stream as a whole"


def _known(connector: Connector, stream: Stream, keys: Sequence[str]) -> set[str] | None:
    """Ask for records by their keys; None where that cannot be done."""
    if isinstance(connector, ReadsByKey):
        with suppress(SettingsError):
            return set(connector.fetch(stream, keys, ()))
    return None


def _perhaps_gone(count: int) -> str:
    return (
        f"{count} records are held that a reading of all did not show; whether they are gone or were edited meanwhile, this "
        "connector cannot ask"
    )
