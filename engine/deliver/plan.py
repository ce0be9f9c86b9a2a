"""Plan a delivery: compare what the target should hold with what it holds now, and save the difference."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
import pyarrow as pa

from connectors.kit.base import TargetRecord
from engine.config.delivery import DeliveryConfig
from engine.config.project import Project
from engine.deliver.desired import Desired, created_by_others, desired
from engine.deliver.guards import violations
from engine.deliver.plan_store import FOLLOWS, SCHEMA, WRITTEN, Plan, Row, digest_of
from engine.deliver.target import Target, opened
from engine.deliver.target_state import TargetSnapshot, found, look
from engine.deliver.unknown_outcomes import settle
from engine.deliver.validation import prove
from engine.storage.gc_tuning import sparing_what_stays
from engine.storage.lease import lease
from engine.storage.plans import PlanRow
from transforms.delivery.field_diff import CurrentRecord, Rule, Wanted, agreements, changes
from transforms.delivery.value_equality import plain

TWICE = "{} records of the target have the key {!r}: one of them is too many"


def plan(project: Project, name: str, run_id: str) -> Plan:
    """Make and save a plan; nothing is written to the target.

    Raises SettingsError for a field that is not there, AccessError when the target is another account than before,
    LeaseHeld when another run is at this delivery.
    """
    config = project.delivery(name)
    with sparing_what_stays(), lease(project.ledger, f"delivery:{name}", run_id), opened(project, config) as target:
        return planned(project, name, target, run_id)


def planned(project: Project, name: str, target: Target, run_id: str) -> Plan:
    """Make and save a plan on a target that is open, under a lease that is held."""
    prove(project, name, project.delivery(name), target)
    settle(project, target, name)
    return _Planning(project, name, target, run_id).made()


def save(
    project: Project, name: str, rows: list[Row], run_id: str, summary: Mapping[str, Any], tripped: list[str] | None
) -> Plan:
    """Save a plan under its digest. Without `tripped` the guards are asked."""
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
    """Name what a plan stands on beside the target: the build, and how the delivery is configured.

    Where it may create, also what others created in its target since the build: no customer may be created twice.
    """
    current = project.ledger.snapshots.current()
    config = project.delivery(name)
    settings = config.model_dump_json(exclude={"approve", "guards"})
    others = created_by_others(project, name) if config.match == "upsert" else {}
    basis = settings + msgspec.json.encode(sorted(others.items())).decode() if others else settings
    return f"{current.id if current else ''}/{sha256(basis.encode()).hexdigest()[:12]}"


def rules(config: DeliveryConfig) -> list[Rule]:
    """Spell the settings of the fields out as rules."""
    usual = {"owner": "ask"}
    return [
        Rule(
            name,
            given.policy,
            given.on_conflict or usual.get(given.policy, "keep_target"),
            given.tolerance,
            given.along,
            given.when_empty == "clear",
            given.owner,
            given.only_new,
        )
        for name, given in config.fields.items()
    ]


@dataclass
class _Planning:
    """Make one plan."""

    project: Project
    name: str
    target: Target
    run_id: str

    def made(self) -> Plan:
        self.config = self.project.delivery(self.name)
        self.rules, self.past = rules(self.config), self.project.ledger.synced_values.history(self.name)
        asked = desired(self.project, self.name, self.target)
        wanted = [self._again(want) for want in self._recognised(asked) if not self._is_settling(want, asked)]
        seen = self._look(wanted)
        holdings = {key: CurrentRecord(one.values, one.changed_at) for key, one in seen.held.items()}
        self.project.ledger.synced_values.save(self.name, agreements(wanted, holdings, self.rules, self.past))
        rows = list(changes(wanted, holdings, self._with_key(), self.past))
        rows += self._closed(asked) + [_listed(*one) for one in asked.review]
        full = [self._full(row, seen.held) for row in rows]
        filled = sum(plain(one.values.get(rule.field)) is not None for one in seen.held.values() for rule in self.rules)
        summary = {"held": filled, "is_live": seen.is_live, "looked_at": datetime.now(UTC).isoformat()}
        return save(self.project, self.name, full, self.run_id, summary, None)

    def _with_key(self) -> list[Rule]:
        key = self.config.key
        extra = [Rule(key.field)] if key and key.field not in self.config.fields else []
        return [*extra, *self.rules]

    def _recognised(self, asked: Desired) -> list[Wanted]:
        """Take a record that has the key of a new one for what it is: there already."""
        key = self.config.key
        new = [want for want in asked.wanted if want.record_id is None]
        if key is None or not new or self.target.finds is None:
            return asked.wanted
        there = found(self.target, key.field, [str(want.key) for want in new], list(self.config.fields))
        kept = []
        for want in asked.wanted:
            twins = there.get(want.key or "", []) if want.record_id is None else []
            if len(twins) > 1:
                asked.review.append((None, want.customer_id, want.key, TWICE.format(len(twins), want.key)))
            elif not twins:
                kept.append(want)
            elif self.config.match == "upsert":
                values = {name: value for name, value in want.values.items() if name in self.config.fields}
                kept.append(replace(want, record_id=twins[0].record_id, values=values))
        return kept

    def _is_settling(self, want: Wanted, asked: Desired) -> bool:
        """Leave alone what was sent and is not known yet to have arrived."""
        if not hasattr(self, "_open"):
            left = self.project.ledger.operations.unsettled(self.name)
            self._open = {one.key or one.record_id for one in left}
        subject = want.key if want.record_id is None else want.record_id
        if subject not in self._open:
            return False
        why = "what was sent to it has no known outcome yet; it is asked for first"
        asked.review.append((want.record_id, want.customer_id, want.key, why))
        return True

    def _again(self, want: Wanted) -> Wanted:
        """Want a create that was sent already as it was sent, where the target knows it by its operation alone."""
        if want.record_id is not None or not self.target.knows_operations(self.config.key):
            return want
        if not hasattr(self, "_sent"):
            self._sent = self.project.ledger.operations.resumable_creates(self.name)
        sent = self._sent.get(want.key or "")
        return replace(want, values=sent.after) if sent else want

    def _look(self, wanted: list[Wanted]) -> TargetSnapshot:
        ids = [want.record_id for want in wanted if want.record_id]
        return look(self.project, self.target, ids, [*self.config.fields])

    def _closed(self, asked: Desired) -> list[Row]:
        """Close the records of our own whose row is no more, once; what people closed or removed stays as it is."""
        if not self.config.gone:
            return []
        done = self.project.ledger.operations.updated_records(self.name)
        made = self.project.ledger.operations.created_by_key(self.name)
        left = {key: place for key, place in made.items() if key not in asked.keys and place[0] not in done}
        wanted = [Wanted(record, customer, self.config.gone, key) for key, (record, customer) in left.items()]
        held = look(self.project, self.target, [record for record, _ in left.values()], [*self.config.gone]).held
        there = [want for want in wanted if want.record_id in held]
        holdings = {key: CurrentRecord(one.values, one.changed_at) for key, one in held.items()}
        closing = [Rule(field) for field in self.config.gone]
        return [row | {"reason": "no longer due"} for row in changes(there, holdings, closing)]

    def _full(self, row: Row, held: Mapping[str, TargetRecord]) -> Row:
        one = held.get(row["record_id"] or "")
        head = {"delivery": self.name, "connection": self.target.connector.name, "stream": self.target.stream.name}
        return {**head, **row, "version": one.version if one else None}


def _listed(record: str | None, customer: str, key: str | None, why: str) -> Row:
    empty = dict.fromkeys(("before", "after", "policy", "owner"))
    return {"record_id": record, "customer_id": customer, "key": key, "field": "*", "action": "review", **empty} | {
        "reason": why
    }
