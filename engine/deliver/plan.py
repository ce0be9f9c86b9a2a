"""Plan a delivery: compare what the target should hold with what it holds now, and save the difference."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

import msgspec
import pyarrow as pa

from connectors.kit.base import TargetRecord
from engine.build.freshness import refuse_stale
from engine.config.delivery import DeliveryConfig
from engine.config.project import Project
from engine.deliver.desired import Desired, created_by_others, desired
from engine.deliver.guards import violations
from engine.deliver.plan_store import FOLLOWS, SCHEMA, WRITTEN, Plan, Row, digest_of
from engine.deliver.target import Target, opened
from engine.deliver.target_state import TargetSnapshot, find_records, read_state
from engine.deliver.unknown_outcomes import settle
from engine.deliver.validation import prove
from engine.storage.gc_tuning import rare_garbage_collection
from engine.storage.lease import lease
from engine.storage.stores.plans import PlanRow
from engine.storage.stores.write_operations import Operation
from transforms.delivery.field_diff import CurrentRecord, Rule, Wanted, agreements, changes
from transforms.delivery.value_equality import plain

TWICE = "{} records of the target have the key {!r}: merge or delete all but one there"


def plan(project: Project, name: str, run_id: str) -> Plan:
    """Make and save a plan; nothing is written to the target.

    Raises SettingsError for settings that do not fit the tables or the target, AccessError when the target is another
    account than before, StaleTables when tables are older than those they are made of, LeaseTaken when another run
    is at work on this delivery.
    """
    config = project.delivery(name)
    refuse_stale(project)
    with (
        rare_garbage_collection(),
        lease(project.ledger, f"delivery:{name}", run_id),
        opened(project, config) as target,
    ):
        return make_plan(project, name, target, run_id)


def make_plan(project: Project, name: str, target: Target, run_id: str) -> Plan:
    """Make and save a plan; the target is open and the caller has the delivery's lease."""
    prove(project, name, project.delivery(name), target)
    settle(project, target, name)
    return _Planner(project, name, target, run_id).run()


def save(
    project: Project, name: str, rows: list[Row], run_id: str, summary: Mapping[str, Any], tripped: list[str] | None
) -> Plan:
    """Save a plan under its digest. With `tripped` None the guards are evaluated here."""
    ledger, config = project.ledger, project.delivery(name)
    snapshot = ledger.snapshots.current()
    table = pa.Table.from_pylist(rows, SCHEMA)
    summary = {**summary, FOLLOWS: ledger.plans.last_applied(name), "basis": basis_of(project, name)}
    digest = digest_of(name, ledger.ledger_id, summary, table)
    if tripped is None:
        tripped = violations(rows, int(summary.get("held", 0)), config.guards, (), digest)
    file = project.lake.write(f"plan/{name}", table)
    ledger.files.add([file], run_id)
    head = PlanRow(
        digest,
        name,
        run_id,
        datetime.now(UTC),
        "planned",
        len({row["record_id"] or row["key"] for row in rows if row["action"] in WRITTEN}),
        file.path,
        snapshot.id if snapshot else "",
        {**summary, "violations": tripped},
    )
    ledger.plans.save(head)
    return Plan(name, digest, head, table, tuple(tripped))


def basis_of(project: Project, name: str) -> str:
    """Return an id of what a plan is based on beside the target: the build and the delivery's settings.

    For `match: upsert` also the records that other deliveries created in the target since the build, because no customer
    may be created twice.
    """
    current = project.ledger.snapshots.current()
    config = project.delivery(name)
    settings = config.model_dump_json(exclude={"approve", "guards"})
    others = created_by_others(project, name) if config.match == "upsert" else {}
    basis = settings + msgspec.json.encode(sorted(others.items())).decode() if others else settings
    return f"{current.id if current else ''}/{sha256(basis.encode()).hexdigest()[:12]}"


def rules(config: DeliveryConfig) -> list[Rule]:
    """Return the rules of the fields, with defaults filled in."""
    defaults = {"owner": "ask"}  # `on_conflict` by policy; else keep_target
    return [
        Rule(
            name,
            setting.policy,
            setting.on_conflict or defaults.get(setting.policy, "keep_target"),
            setting.tolerance,
            setting.along,
            setting.when_empty == "clear",
            setting.owner,
            setting.only_new,
        )
        for name, setting in config.fields.items()
    ]


@dataclass
class _Planner:
    """Makes one plan."""

    project: Project
    name: str
    target: Target
    run_id: str

    def run(self) -> Plan:
        self.config = self.project.delivery(self.name)
        self.rules, self.past = rules(self.config), self.project.ledger.synced_values.history(self.name)
        desired_state = desired(self.project, self.name, self.target)
        wanted = [
            self._resend_as_sent(want)
            for want in self._match_existing(desired_state)
            if not self._is_settling(want, desired_state)
        ]
        snapshot = self._read_target(wanted)
        holdings = _current(snapshot.records)
        self.project.ledger.synced_values.save(self.name, agreements(wanted, holdings, self.rules, self.past))
        rows = list(changes(wanted, holdings, self._with_key(), self.past))
        rows += self._closing_rows(desired_state) + [_review_row(*entry) for entry in desired_state.review]
        full = [self._with_target(row, snapshot.records) for row in rows]
        filled = sum(
            plain(record.values.get(rule.field)) is not None
            for record in snapshot.records.values()
            for rule in self.rules
        )
        summary = {"held": filled, "is_live": snapshot.is_live, "looked_at": datetime.now(UTC).isoformat()}
        return save(self.project, self.name, full, self.run_id, summary, None)

    def _with_key(self) -> list[Rule]:
        key = self.config.key
        extra = [Rule(key.field)] if key and key.field not in self.config.fields else []
        return [*extra, *self.rules]

    def _match_existing(self, desired_state: Desired) -> list[Wanted]:
        """Turn creates whose key the target already has into updates of that record.

        With `match: create_only` they are dropped. Where several records have the key, a person must look.
        """
        key = self.config.key
        new = [want for want in desired_state.wanted if want.record_id is None]
        if key is None or not new or self.target.finds is None:
            return desired_state.wanted
        existing = find_records(self.target, key.field, [str(want.key) for want in new], list(self.config.fields))
        recognised = []
        for want in desired_state.wanted:
            twins = existing.get(want.key or "", []) if want.record_id is None else []
            if len(twins) > 1:
                desired_state.review.append((None, want.customer_id, want.key, TWICE.format(len(twins), want.key)))
            elif not twins:
                recognised.append(want)
            elif self.config.match == "upsert":
                values = {name: value for name, value in want.values.items() if name in self.config.fields}
                recognised.append(replace(want, record_id=twins[0].record_id, values=values))
        return recognised

    def _is_settling(self, want: Wanted, desired_state: Desired) -> bool:
        """Return whether an earlier write to this record still has no known outcome; then it is left alone."""
        subject = want.key if want.record_id is None else want.record_id
        if subject not in self._unsettled:
            return False
        reason = "the outcome of an earlier write to it is not known yet; the next run asks the target again"
        desired_state.review.append((want.record_id, want.customer_id, want.key, reason))
        return True

    @cached_property
    def _unsettled(self) -> set[str | None]:
        unsettled = self.project.ledger.operations.unsettled(self.name)
        return {operation.key or operation.record_id for operation in unsettled}

    @cached_property
    def _sent_creates(self) -> Mapping[str, Operation]:
        return self.project.ledger.operations.resumable_creates(self.name)

    def _resend_as_sent(self, want: Wanted) -> Wanted:
        """Repeat a create with its first values, where the target recognises it by its operation id only."""
        if want.record_id is not None or not self.target.knows_operations(self.config.key):
            return want
        sent = self._sent_creates.get(want.key or "")
        return replace(want, values=sent.after) if sent else want

    def _read_target(self, wanted: list[Wanted]) -> TargetSnapshot:
        ids = [want.record_id for want in wanted if want.record_id]
        return read_state(self.project, self.target, ids, [*self.config.fields])

    def _closing_rows(self, desired_state: Desired) -> list[Row]:
        """Write `gone` once to records this delivery created and whose row has ended; skip removed ones."""
        if not self.config.gone:
            return []
        closed = self.project.ledger.operations.updated_records(self.name)  # at most once: people may reopen a record
        ended = {
            key: (record_id, customer)
            for key, (record_id, customer) in self.project.ledger.operations.created_by_key(self.name).items()
            if key not in desired_state.keys and record_id not in closed
        }
        record_ids = [record_id for record_id, _ in ended.values()]
        records = read_state(self.project, self.target, record_ids, [*self.config.gone]).records
        wanted = [
            Wanted(record_id, customer, self.config.gone, key)
            for key, (record_id, customer) in ended.items()
            if record_id in records
        ]
        rows = changes(wanted, _current(records), [Rule(field) for field in self.config.gone])
        return [row | {"reason": "its row has ended: no longer due"} for row in rows]

    def _with_target(self, row: Row, records: Mapping[str, TargetRecord]) -> Row:
        current = records.get(row["record_id"] or "")
        head = {"delivery": self.name, "connection": self.target.connector.name, "stream": self.target.stream.name}
        return {**head, **row, "version": current.version if current else None}


def _current(records: Mapping[str, TargetRecord]) -> dict[str, CurrentRecord]:
    return {record_id: CurrentRecord(record.values, record.changed_at) for record_id, record in records.items()}


def _review_row(record: str | None, customer: str, key: str | None, reason: str) -> Row:
    subject = {"record_id": record, "customer_id": customer, "key": key, "field": "*"}
    return {
        **subject,
        "action": "review",
        "reason": reason,
        "before": None,
        "after": None,
        "policy": None,
        "owner": None,
    }
