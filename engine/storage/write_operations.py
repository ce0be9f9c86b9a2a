"""What was intended and done at the targets, record by record: the audit log."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, exists, func, insert, or_, select, update

from connectors.kit.base import Outcome
from connectors.kit.write import chunks
from engine.storage import ledger_tables as t
from engine.storage.transactions import Store

DONE = ("applied", "unchanged")
SOME = 500  # names in one question: every database takes so many


class Operation(msgspec.Struct, frozen=True):
    """Hold one record's change as intended, and what came of it.

    `key` names a record that was to be created once; `confirmed` is what the target said that it holds.
    """

    op_id: str
    delivery: str
    digest: str
    run_id: str
    connection: str
    stream: str
    record_id: str | None
    customer_id: str
    action: str
    before: dict[str, Any]
    after: dict[str, Any]
    attempt: int = 1
    outcome: str | None = None
    version: str | None = None
    message: str | None = None
    intended_at: datetime | None = None
    settled_at: datetime | None = None
    key: str | None = None
    confirmed: dict[str, Any] | None = None
    read_back_at: datetime | None = None


_COLUMNS = [t.operations.c[name] for name in Operation.__struct_fields__]
_SETTLED = ("outcome", "message", "settled_at", "confirmed", "read_back_at")
_INTENDED = [name for name in Operation.__struct_fields__ if name not in (*_SETTLED, "intended_at")]


@dataclass(frozen=True)
class Tried:
    """Hold how far an operation came."""

    op_id: str
    key: str | None
    record_id: str | None
    attempt: int
    outcome: str | None


class Operations(Store):
    """Keep operations."""

    def record_intents(self, operations: Sequence[Operation]) -> None:
        """Write down what is about to be sent, before it is sent."""
        self.record((), operations)

    def record_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Write down what the target answered."""
        self.record(outcomes, ())

    def record(self, outcomes: Iterable[Outcome], operations: Sequence[Operation]) -> None:
        """Write down what the target answered, and what is about to be sent next, at once."""
        now = datetime.now(UTC)
        answered = [_answer(one, now) for one in outcomes]
        if answered or operations:
            with self.transaction() as opened:
                _settle(opened, answered)
                _intend(opened, operations, now)

    def attempts(self, digest: str) -> dict[str, Tried]:
        """Tell of each operation of a plan how far it came."""
        o = t.operations
        query = select(o.c.op_id, o.c.key, o.c.record_id, o.c.attempt, o.c.outcome).where(o.c.digest == digest)
        with self.transaction() as opened:
            return {row.op_id: Tried(*row) for row in opened.execute(query)}

    def count_outcomes(self, digest: str) -> Counter[str]:
        """Count the operations of a plan by their outcome; open ones are unknown."""
        o = t.operations
        query = select(func.coalesce(o.c.outcome, "unknown"), func.count()).where(o.c.digest == digest)
        with self.transaction() as opened:
            found: Counter[str] = Counter()
            for outcome, count in opened.execute(query.group_by(o.c.outcome)):
                found[outcome] += count
            return found

    def unsettled(self, delivery: str) -> list[Operation]:
        """List what was sent, or about to be, of which nobody knows whether it arrived."""
        is_open = t.operations.c.outcome.is_(None) | (t.operations.c.outcome == "unknown")
        return self._select(t.operations.c.delivery == delivery, is_open)

    def retryable(self, delivery: str, message: str, since: datetime) -> list[Operation]:
        """List what may be sent again for a reason, and was not done since under another operation."""
        o, later = t.operations, t.operations.alias()
        subject, its = func.coalesce(o.c.key, o.c.record_id), func.coalesce(later.c.key, later.c.record_id)
        is_done = exists().where(
            later.c.delivery == delivery,
            its == subject,
            later.c.intended_at > o.c.intended_at,
            later.c.outcome.in_(DONE),
        )
        where = (o.c.delivery == delivery, o.c.outcome == "retry", o.c.message == message, o.c.intended_at >= since)
        return self._select(*where, ~is_done)

    def resumable_creates(self, delivery: str) -> dict[str, Operation]:
        """List the creates that were sent, and may be sent again, by key."""
        o = t.operations
        where = (o.c.delivery == delivery, o.c.action == "create", o.c.outcome == "retry", o.c.key.is_not(None))
        return {str(one.key): one for one in self._select(*where)}

    def query(
        self, delivery: str | None = None, run_id: str | None = None, digest: str | None = None
    ) -> list[Operation]:
        """List operations: all, or those of a delivery, a run, a plan."""
        o = t.operations
        asked = {o.c.delivery: delivery, o.c.run_id: run_id, o.c.digest: digest}
        return self._select(*(column == value for column, value in asked.items() if value is not None))

    def rejection_counts(self, delivery: str) -> dict[str, int]:
        """Count how often in a row the target refused, by key of what was to be created, else by record."""
        o = t.operations
        subject = func.coalesce(o.c.key, o.c.record_id)
        good = (
            select(subject.label("subject"), func.max(o.c.intended_at).label("at"))
            .where(o.c.delivery == delivery, o.c.outcome.in_(DONE))
            .group_by(subject)
            .subquery()
        )
        query = (
            select(subject, func.sum(o.c.attempt))
            .select_from(o.outerjoin(good, good.c.subject == subject))
            .where(o.c.delivery == delivery, o.c.outcome == "rejected")
            .where(or_(good.c.at.is_(None), o.c.intended_at > good.c.at))
            .group_by(subject)
        )
        with self.transaction() as opened:
            return {name: int(count) for name, count in opened.execute(query) if name}

    def created_by_key(self, delivery: str) -> dict[str, tuple[str, str]]:
        """Tell of each key that this delivery has created: record and customer, whatever happened to it since."""
        o = t.operations
        rows = self._creates(o.c.delivery == delivery, o.c.key.is_not(None))
        return {key: (record, customer) for key, record, customer in rows}

    def created_by_customer(
        self, connection: str, stream: str, since: datetime | None = None, *, besides: str | None = None
    ) -> dict[str, str]:
        """Tell which record of a target was created for each customer, and not deleted by us again.

        `since` leaves out what was created before, `besides` what this delivery has created.
        """
        o, gone = t.operations, t.operations.alias()
        is_gone = exists().where(
            gone.c.connection == o.c.connection,
            gone.c.stream == o.c.stream,
            gone.c.record_id == o.c.record_id,
            gone.c.action == "delete",
            gone.c.outcome.in_(DONE),
        )
        where = [o.c.settled_at >= since] if since else []
        where += [o.c.delivery != besides] if besides else []
        rows = self._creates(o.c.connection == connection, o.c.stream == stream, ~is_gone, *where)
        return {customer: record for _, record, customer in rows}

    def updated_records(self, delivery: str) -> set[str]:
        """Name the records of a delivery that an update has reached."""
        o = t.operations
        query = select(o.c.record_id).where(
            o.c.delivery == delivery, o.c.action == "update", o.c.outcome.in_(DONE), o.c.record_id.is_not(None)
        )
        with self.transaction() as opened:
            return set(opened.scalars(query.distinct()))

    def recent_records(self, connection: str, stream: str, since: datetime) -> set[str]:
        """Name the records of a target to which something was sent since a moment, or is on its way."""
        o = t.operations
        is_late = or_(
            o.c.intended_at >= since, o.c.settled_at >= since, o.c.outcome.is_(None), o.c.outcome == "unknown"
        )
        query = select(o.c.record_id).where(o.c.connection == connection, o.c.stream == stream, is_late)
        with self.transaction() as opened:
            return {record for record in opened.scalars(query.distinct()) if record}

    def to_verify(self, delivery: str, before: datetime, most: int) -> list[Operation]:
        """List some applied operations that nobody read back yet, the newest first.

        Of each record only the newest counts, and none while it is not known what became of that one.
        """
        o = t.operations
        may_be_done = or_(o.c.outcome.is_(None), o.c.outcome.in_((*DONE, "unknown")))
        newest = (
            select(o.c.record_id, func.max(o.c.intended_at).label("at"))
            .where(o.c.delivery == delivery, o.c.record_id.is_not(None), may_be_done)
            .group_by(o.c.record_id)
            .subquery()
        )
        is_newest = (newest.c.record_id == o.c.record_id) & (newest.c.at == o.c.intended_at)
        where = (o.c.delivery == delivery, o.c.outcome == "applied", o.c.read_back_at.is_(None))
        query = select(*_COLUMNS).join(newest, is_newest).where(*where, o.c.settled_at <= before)
        with self.transaction() as opened:
            rows = opened.execute(query.order_by(o.c.intended_at.desc(), o.c.op_id).limit(most))
            return [Operation(*row) for row in rows]

    def mark_verified(self, delivery: str, before: datetime) -> None:
        """Remember that what a delivery had written by a moment was read back, or might have been."""
        o = t.operations
        done = (
            o.c.delivery == delivery,
            o.c.outcome == "applied",
            o.c.read_back_at.is_(None),
            o.c.settled_at <= before,
        )
        with self.transaction() as opened:
            opened.execute(update(o).where(*done).values(read_back_at=datetime.now(UTC)))

    def writing_runs(self, most: int = 20) -> list[dict[str, Any]]:
        """List the newest runs that wrote something: when, where, how many records."""
        o = t.operations
        counted = (func.count().label("records"), func.max(o.c.settled_at).label("at"))
        query = select(o.c.run_id, o.c.delivery, *counted).where(o.c.outcome == "applied")
        query = query.group_by(o.c.run_id, o.c.delivery).order_by(func.max(o.c.settled_at).desc())
        with self.transaction() as opened:
            return [dict(row) for row in opened.execute(query.limit(most)).mappings()]

    def _creates(self, *where: ColumnElement[bool]) -> list[tuple[str, str, str]]:
        o = t.operations
        made = (o.c.action == "create", o.c.outcome.in_(DONE), o.c.record_id.is_not(None))
        query = select(o.c.key, o.c.record_id, o.c.customer_id).where(*where, *made)
        with self.transaction() as opened:
            return [
                (row.key, row.record_id, row.customer_id) for row in opened.execute(query.order_by(o.c.intended_at))
            ]

    def _select(self, *where: ColumnElement[bool]) -> list[Operation]:
        with self.transaction() as opened:
            o = t.operations
            query = select(*_COLUMNS).where(*where).order_by(o.c.intended_at, o.c.op_id)
            return [Operation(*row) for row in opened.execute(query)]


def _intend(opened: Connection, operations: Sequence[Operation], now: datetime) -> None:
    o = t.operations
    rows = [{name: getattr(one, name) for name in _INTENDED} | {"intended_at": now} for one in operations]
    known: set[str] = set()
    for some in chunks([one.op_id for one in operations], SOME):
        known |= set(opened.scalars(select(o.c.op_id).where(o.c.op_id.in_(some))))
    if fresh := [row for row in rows if row["op_id"] not in known]:
        opened.execute(insert(o), fresh)
    unsettled = dict.fromkeys(_SETTLED)
    if again := [row | unsettled | {"b_op": row["op_id"]} for row in rows if row["op_id"] in known]:
        opened.execute(update(o).where(o.c.op_id == bindparam("b_op")), again)


def _answer(one: Outcome, now: datetime) -> dict[str, Any]:
    return {
        "b_op": one.op_id,
        "b_record": one.record_id or None,
        "b_version": one.version,
        "outcome": one.status,
        "message": one.message or None,
        "settled_at": now,
        "confirmed": dict(one.values) if one.values is not None else None,
    }


def _settle(opened: Connection, rows: Sequence[dict[str, Any]]) -> None:
    o = t.operations
    told: dict[str, Any] = {
        "record_id": func.coalesce(bindparam("b_record"), o.c.record_id),
        "version": func.coalesce(bindparam("b_version"), o.c.version),
    }
    if rows:
        opened.execute(update(o).where(o.c.op_id == bindparam("b_op")).values(told), rows)
