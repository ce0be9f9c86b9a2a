"""The operations: every record that was to be written to a target, and its outcome.

They are the audit log.
"""

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
IDS_PER_STATEMENT = 500
_AT = t.operations.c
_SUBJECT = func.coalesce(_AT.key, _AT.record_id)  # a record that is to be created has no id yet


class Operation(msgspec.Struct, frozen=True):
    """One record's change as intended, and its outcome.

    `key` names a record that was to be created once; `confirmed` is what the target said that it
    stored.
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


_COLUMNS = [_AT[name] for name in Operation.__struct_fields__]
_SETTLED = ("outcome", "message", "settled_at", "confirmed", "read_back_at")
_INTENDED = [name for name in Operation.__struct_fields__ if name not in (*_SETTLED, "intended_at")]


@dataclass(frozen=True)
class Attempt:
    """The last attempt at an operation, and its outcome: None while it is not known."""

    op_id: str
    key: str | None
    record_id: str | None
    attempt: int
    outcome: str | None


class Operations(Store):
    """All operations. Grain: op_id."""

    def record_intents(self, operations: Sequence[Operation]) -> None:
        """Store operations before they are sent."""
        self.record((), operations)

    def record_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Store what the target answered."""
        self.record(outcomes, ())

    def record(self, outcomes: Iterable[Outcome], operations: Sequence[Operation]) -> None:
        """Store what the target answered and which operations are sent next, in one transaction."""
        now = datetime.now(UTC)
        answers = [_answer(outcome, now) for outcome in outcomes]
        if answers or operations:
            with self.transaction() as opened:
                _settle(opened, answers)
                _intend(opened, operations, now)

    def attempts(self, digest: str) -> dict[str, Attempt]:
        """Return the last attempt at each operation of a plan, by operation id."""
        query = select(_AT.op_id, _AT.key, _AT.record_id, _AT.attempt, _AT.outcome).where(_AT.digest == digest)
        with self.transaction() as opened:
            return {row.op_id: Attempt(*row) for row in opened.execute(query)}

    def count_outcomes(self, digest: str) -> Counter[str]:
        """Count the operations of a plan by their outcome; those without one are unknown."""
        query = select(func.coalesce(_AT.outcome, "unknown"), func.count()).where(_AT.digest == digest)
        counts: Counter[str] = Counter()
        with self.transaction() as opened:
            for outcome, count in opened.execute(query.group_by(_AT.outcome)):  # NULL and "unknown" are two groups
                counts[outcome] += count
        return counts

    def unsettled(self, delivery: str) -> list[Operation]:
        """List the operations of which nobody knows whether they arrived."""
        return self._select(_AT.delivery == delivery, _AT.outcome.is_(None) | (_AT.outcome == "unknown"))

    def retryable(self, delivery: str, message: str, since: datetime) -> list[Operation]:
        """List the operations that may be sent again and were not done since by a later one.

        Only those with this message count, and that were intended since an instant.
        """
        later = t.operations.alias()
        is_done = exists().where(
            later.c.delivery == delivery,
            func.coalesce(later.c.key, later.c.record_id) == _SUBJECT,
            later.c.intended_at > _AT.intended_at,
            later.c.outcome.in_(DONE),
        )
        is_retryable = (_AT.outcome == "retry", _AT.message == message, _AT.intended_at >= since)
        return self._select(_AT.delivery == delivery, *is_retryable, ~is_done)

    def resumable_creates(self, delivery: str) -> dict[str, Operation]:
        """Return the creates that were sent and may be sent again, by key."""
        is_resumable = (_AT.action == "create", _AT.outcome == "retry", _AT.key.is_not(None))
        return {str(create.key): create for create in self._select(_AT.delivery == delivery, *is_resumable)}

    def query(
        self, delivery: str | None = None, run_id: str | None = None, digest: str | None = None
    ) -> list[Operation]:
        """List all operations, or those of a delivery, a run, a plan, oldest first."""
        wanted = {_AT.delivery: delivery, _AT.run_id: run_id, _AT.digest: digest}
        return self._select(*(column == value for column, value in wanted.items() if value is not None))

    def rejection_counts(self, delivery: str) -> dict[str, int]:
        """Count the rejections since the last success, by key or else by record id."""
        succeeded = (
            select(_SUBJECT.label("subject"), func.max(_AT.intended_at).label("at"))
            .where(_AT.delivery == delivery, _AT.outcome.in_(DONE))
            .group_by(_SUBJECT)
            .subquery()
        )
        query = (
            select(_SUBJECT, func.sum(_AT.attempt))
            .select_from(t.operations.outerjoin(succeeded, succeeded.c.subject == _SUBJECT))
            .where(_AT.delivery == delivery, _AT.outcome == "rejected")
            .where(or_(succeeded.c.at.is_(None), _AT.intended_at > succeeded.c.at))
            .group_by(_SUBJECT)
        )
        with self.transaction() as opened:
            return {subject: int(count) for subject, count in opened.execute(query) if subject}

    def created_by_key(self, delivery: str) -> dict[str, tuple[str, str]]:
        """Return record and customer of each key that was created, deleted records too."""
        rows = self._creates(_AT.delivery == delivery, _AT.key.is_not(None))
        return {key: (record, customer) for key, record, customer in rows}

    def created_by_customer(
        self, connection: str, stream: str, since: datetime | None = None, *, besides: str | None = None
    ) -> dict[str, str]:
        """Return the record that was created for each customer, unless we deleted it again.

        `since` leaves out what was created before, `besides` what this delivery has created.
        """
        deletion = t.operations.alias()
        is_deleted = exists().where(
            deletion.c.connection == _AT.connection,
            deletion.c.stream == _AT.stream,
            deletion.c.record_id == _AT.record_id,
            deletion.c.action == "delete",
            deletion.c.outcome.in_(DONE),
        )
        where = [_AT.settled_at >= since] if since else []
        where += [_AT.delivery != besides] if besides else []
        rows = self._creates(_AT.connection == connection, _AT.stream == stream, ~is_deleted, *where)
        return {customer: record for _, record, customer in rows}

    def updated_records(self, delivery: str) -> set[str]:
        """Return the ids of the records that an update of a delivery has reached."""
        is_updated = (_AT.action == "update", _AT.outcome.in_(DONE), _AT.record_id.is_not(None))
        query = select(_AT.record_id).where(_AT.delivery == delivery, *is_updated)
        with self.transaction() as opened:
            return set(opened.scalars(query.distinct()))

    def recent_records(self, connection: str, stream: str, since: datetime) -> set[str]:
        """Return the ids of the records to which something was sent since, or may be on its way."""
        is_open = _AT.outcome.is_(None) | (_AT.outcome == "unknown")
        is_recent = or_(_AT.intended_at >= since, _AT.settled_at >= since, is_open)
        query = select(_AT.record_id).where(_AT.connection == connection, _AT.stream == stream, is_recent)
        with self.transaction() as opened:
            return {record for record in opened.scalars(query.distinct()) if record}

    def to_verify(self, delivery: str, before: datetime, most: int) -> list[Operation]:
        """List applied operations that were not read back yet, newest first.

        Of each record only the newest one counts, and none while the outcome of that one is
        unknown.
        """
        may_be_done = or_(_AT.outcome.is_(None), _AT.outcome.in_((*DONE, "unknown")))
        newest = (
            select(_AT.record_id, func.max(_AT.intended_at).label("at"))
            .where(_AT.delivery == delivery, _AT.record_id.is_not(None), may_be_done)
            .group_by(_AT.record_id)
            .subquery()
        )
        is_newest = (newest.c.record_id == _AT.record_id) & (newest.c.at == _AT.intended_at)
        query = select(*_COLUMNS).join(newest, is_newest).where(*_unverified(delivery, before))
        with self.transaction() as opened:
            rows = opened.execute(query.order_by(_AT.intended_at.desc(), _AT.op_id).limit(most))
            return [Operation(*row) for row in rows]

    def mark_verified(self, delivery: str, before: datetime) -> None:
        """Mark what a delivery had written by an instant as read back."""
        verified = update(t.operations).where(*_unverified(delivery, before))
        with self.transaction() as opened:
            opened.execute(verified.values(read_back_at=datetime.now(UTC)))

    def writing_runs(self, most: int = 20) -> list[dict[str, Any]]:
        """List the newest runs that wrote: `run_id`, `delivery`, number of `records`, `at`."""
        last = func.max(_AT.settled_at)
        query = select(_AT.run_id, _AT.delivery, func.count().label("records"), last.label("at"))
        query = query.where(_AT.outcome == "applied").group_by(_AT.run_id, _AT.delivery).order_by(last.desc())
        with self.transaction() as opened:
            return [dict(row) for row in opened.execute(query.limit(most)).mappings()]

    def _creates(self, *where: ColumnElement[bool]) -> list[tuple[str, str, str]]:
        """Return key, record and customer of the creates that were done, in their order."""
        is_done = (_AT.action == "create", _AT.outcome.in_(DONE), _AT.record_id.is_not(None))
        query = select(_AT.key, _AT.record_id, _AT.customer_id).where(*where, *is_done).order_by(_AT.intended_at)
        with self.transaction() as opened:
            return [(row.key, row.record_id, row.customer_id) for row in opened.execute(query)]

    def _select(self, *where: ColumnElement[bool]) -> list[Operation]:
        query = select(*_COLUMNS).where(*where).order_by(_AT.intended_at, _AT.op_id)
        with self.transaction() as opened:
            return [Operation(*row) for row in opened.execute(query)]


def _unverified(delivery: str, before: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        _AT.delivery == delivery,
        _AT.outcome == "applied",
        _AT.read_back_at.is_(None),
        _AT.settled_at <= before,
    )


def _intend(opened: Connection, operations: Sequence[Operation], now: datetime) -> None:
    """Insert operations; one that is tried again is open again, its last outcome is cleared."""
    stored: set[str] = set()
    for ids in chunks([operation.op_id for operation in operations], IDS_PER_STATEMENT):
        stored |= set(opened.scalars(select(_AT.op_id).where(_AT.op_id.in_(ids))))
    new, again = [], []
    for operation in operations:
        row = {name: getattr(operation, name) for name in _INTENDED} | {"intended_at": now}
        if operation.op_id in stored:
            again.append(row | dict.fromkeys(_SETTLED) | {"b_op": operation.op_id})
        else:
            new.append(row)
    if new:
        opened.execute(insert(t.operations), new)
    if again:
        opened.execute(update(t.operations).where(_AT.op_id == bindparam("b_op")), again)


def _answer(outcome: Outcome, now: datetime) -> dict[str, Any]:
    return {
        "b_op": outcome.op_id,
        "b_record": outcome.record_id or None,
        "b_version": outcome.version,
        "outcome": outcome.status,
        "message": outcome.message or None,
        "settled_at": now,
        "confirmed": dict(outcome.values) if outcome.values is not None else None,
    }


def _settle(opened: Connection, answers: Sequence[dict[str, Any]]) -> None:
    """Store outcomes.

    Record id and version stay as they are where the target did not answer with any.
    """
    values: dict[str, Any] = {
        "record_id": func.coalesce(bindparam("b_record"), _AT.record_id),
        "version": func.coalesce(bindparam("b_version"), _AT.version),
    }
    if answers:
        opened.execute(update(t.operations).where(_AT.op_id == bindparam("b_op")).values(values), answers)
