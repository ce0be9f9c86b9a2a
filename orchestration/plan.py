"""Plan a delivery: compare what the target should hold with what it holds now, and save the difference."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.kit.base import Connector, Held, ReadsByKey, Writes
from connectors.kit.errors import AccessError, SettingsError, choices
from connectors.kit.stream import Stream
from connectors.kit.write import chunks
from orchestration.config import DeliveryConfig
from orchestration.guards import violations
from orchestration.project import Project
from orchestration.storage.deliveries import PlanRow
from orchestration.storage.lease import lease
from orchestration.tables import Tables
from schemas.find import tables
from transforms.changes import Rule, Wanted, changes, plain

FETCHED = 500
MOST_REJECTIONS = 5  # in a row: after that a person must look
SCHEMA = pa.schema(
    [
        pa.field(name, pa.string())
        for name in (
            "delivery",
            "connection",
            "stream",
            "record_id",
            "customer_id",
            "field",
            "action",
            "before",
            "after",
            "reason",
            "version",
        )
    ]
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Hold a saved plan."""

    delivery: str
    digest: str
    head: PlanRow
    table: pa.Table = field(repr=False)
    violations: Sequence[str] = ()

    def rows(self, action: str | None = None) -> list[Row]:
        """List the planned fields, all or those of one action."""
        return [row for row in self.table.to_pylist() if action in (None, row["action"])]

    @property
    def changes(self) -> int:
        """Count the records that would change."""
        return len({row["record_id"] for row in self.rows("update")})

    @property
    def fields(self) -> int:
        """Count the fields that would change."""
        return len(self.rows("update"))

    @property
    def conflicts(self) -> int:
        """Count what is listed and not written, because the target holds something that is not ours to replace."""
        return len(self.rows("conflict"))

    @property
    def review(self) -> int:
        """Count the records that a person must look at first."""
        return len({row["record_id"] for row in self.rows("review")})

    def summary(self) -> str:
        """Say in a line what the plan holds."""
        if not self.table.num_rows:
            return "nothing to change"
        parts = [f"{self.fields} fields of {self.changes} records to change"]
        parts += [f"{self.conflicts} conflicts"] if self.conflicts else []
        parts += [f"{self.review} records to review"] if self.review else []
        return ", ".join(parts) + f"; digest {self.digest[:12]}"


def plan(project: Project, name: str, run_id: str) -> Plan:
    """Make and save a plan; nothing is written to the target.

    Raises SettingsError for a field that is not there, AccessError when the target is another account than before.
    """
    config = project.delivery(name)
    with lease(project.ledger, f"delivery:{name}", run_id):
        connector = project.open(config.target.connection)
        try:
            stream = target_stream(connector, config)
            pin(project, name, connector)
            return _Planning(project, name, config, connector, stream, run_id).made()
        finally:
            connector.close()


def find(project: Project, asked: str) -> Plan:
    """Find a plan by its digest, the beginning of it, or its delivery; raises SettingsError."""
    head = project.ledger.newest_plan(asked) if asked in project.deliveries else project.ledger.plan(asked)
    if head is None:
        raise SettingsError(
            f"no plan {asked!r}: name a digest that `belvedere plan` printed, or a delivery; {choices(asked, project.deliveries)}"
        )
    return load(project, head)


def saved(project: Project, name: str) -> Plan:
    """Load a delivery's newest plan; raises SettingsError when there is none."""
    return find(project, project.delivery(name) and name)


def load(project: Project, head: PlanRow) -> Plan:
    """Load a plan's rows from the lake."""
    with project.lake.files.open(project.lake.full(head.path), "rb") as opened:
        return Plan(head.delivery, head.digest, head, pq.read_table(opened), tuple(head.summary.get("violations", ())))


def target_stream(connector: Connector, config: DeliveryConfig) -> Stream:
    """Find the target's stream, and see that the connector can read it by key and write it."""
    known = {stream.name: stream for stream in connector.streams}
    wanted = config.target.stream
    if wanted not in known:
        raise SettingsError(f"connection {connector.name!r}: no stream {wanted!r}; {choices(wanted, known)}")
    if not isinstance(connector, Writes) or not isinstance(connector, ReadsByKey):
        raise SettingsError(f"connection {connector.name!r} cannot be written to: its connector only reads")
    return known[wanted]


def pin(project: Project, name: str, connector: Connector) -> None:
    """Refuse a target that is not the account of the first delivery: a sandbox taken for production, or the reverse."""
    account = connector.check().account
    held = project.ledger.pinned(f"target:{name}", account)
    if held != account:
        raise AccessError(
            f"delivery {name!r} went to account {held} so far, {connector.name} now opens {account}: nothing is sent; "
            "give the delivery another name if this is meant"
        )


class _Planning:
    """Make one plan."""

    def __init__(
        self,
        project: Project,
        name: str,
        config: DeliveryConfig,
        connector: Connector,
        stream: Stream,
        run_id: str,
    ) -> None:
        self.project, self.name, self.config = project, name, config
        self.connector, self.stream, self.run_id = connector, stream, run_id
        self.tables = Tables(project)
        self.rules = [Rule(field, given.policy, given.tolerance) for field, given in config.fields.items()]

    def made(self) -> Plan:
        self._fields_exist()
        wanted, review = self._wanted()
        held = self._held([want.record_id for want in wanted])
        rows = [*changes(wanted, {key: one.values for key, one in held.items()}, self.rules), *review]
        full = [self._full(row, held) for row in rows]
        table = pa.Table.from_pylist(full, SCHEMA)
        digest = self._digest(full)
        filled = sum(bool(plain(one.values.get(rule.field))) for one in held.values() for rule in self.rules)
        tripped = violations(full, filled, self.config.guards, (), digest)
        return self._saved(table, digest, tripped, filled)

    def _digest(self, rows: list[Row]) -> str:
        """Name a plan by what it holds and what was applied before it: the same change wanted again is another plan."""
        ledger = self.project.ledger
        basis = [self.name, ledger.generation, ledger.last_applied(self.name), self._snapshot(), rows]
        return sha256(json.dumps(basis).encode()).hexdigest()

    def _saved(self, table: pa.Table, digest: str, tripped: list[str], filled: int) -> Plan:
        file = self.project.lake.write(f"plan/{self.name}", table)
        self.project.ledger.add([file], self.run_id)
        records = len({row["record_id"] for row in table.to_pylist() if row["action"] == "update"})
        summary = {"violations": tripped, "held": filled}
        head = PlanRow(
            digest,
            self.name,
            self.run_id,
            datetime.now(UTC),
            "planned",
            records,
            file.path,
            self._snapshot(),
            summary,
        )
        self.project.ledger.save_plan(head)
        return Plan(self.name, digest, head, table, tuple(tripped))

    def _fields_exist(self) -> None:
        writable = self.connector.writable(self.stream)  # type: ignore[attr-defined]
        for field_name, given in self.config.fields.items():
            where = f"delivery {self.name!r}: fields.{field_name}"
            if field_name not in writable:
                raise SettingsError(
                    f"{where}: {self.connector.name} has no such field; {choices(field_name, writable)}"
                )
            if not writable[field_name].is_writable:
                raise SettingsError(f"{where}: {self.connector.name} lets nobody write it")
            if given.source not in self._columns():
                raise SettingsError(
                    f"{where}: table {self.config.table} has no column {given.source!r}; {choices(given.source, self._columns())}"
                )

    def _columns(self) -> list[str]:
        if self.config.table not in tables():
            raise SettingsError(
                f"delivery {self.name!r}: no table {self.config.table!r}; {choices(self.config.table, tables())}"
            )
        return [row["column_name"] for row in self.tables.query(f'DESCRIBE "{self.config.table}"')]

    def _wanted(self) -> tuple[list[Wanted], list[Row]]:
        """List what each record of the target should hold; what a person must see first comes apart."""
        sources = ", ".join(
            f't."{source}"' for source in dict.fromkeys(one.source for one in self.config.fields.values())
        )
        rows = self.tables.query(
            f"SELECT x.account_id AS _record, x.customer_id AS _customer, x.is_oversized AS _oversized, {sources} "  # noqa: S608
            f'FROM "{self.config.table}" t JOIN crosswalk x USING (customer_id) '
            "SEMI JOIN accounts a ON a.connection = x.connection AND a.account_id = x.account_id "
            "WHERE x.connection = ? ORDER BY x.account_id",
            [self.connector.name],
        )
        rejected = self.project.ledger.rejections(self.name)
        wanted, review = [], []
        for row in rows:
            record, customer = row["_record"], row["_customer"]
            if row["_oversized"]:
                review.append(_listed(record, customer, "too many accounts were joined into this customer"))
            elif rejected.get(record, 0) >= MOST_REJECTIONS:
                review.append(_listed(record, customer, f"rejected {rejected[record]} times in a row"))
            else:
                values = {field: self._storable(row[given.source]) for field, given in self.config.fields.items()}
                wanted.append(Wanted(record, customer, values))
        return wanted, review

    def _storable(self, value: Any) -> Any:
        """Give a value as the target can hold it: to some systems 0 and nothing are the same."""
        return None if value == 0 and getattr(self.connector, "zero_is_empty", False) else value

    def _held(self, record_ids: list[str]) -> dict[str, Held]:
        held: dict[str, Held] = {}
        for some in chunks(record_ids, FETCHED):
            held |= self.connector.fetch(self.stream, some, list(self.config.fields))  # type: ignore[attr-defined]
        return held

    def _full(self, row: Row, held: dict[str, Held]) -> Row:
        version = held[row["record_id"]].version if row["record_id"] in held else None
        head = {"delivery": self.name, "connection": self.connector.name, "stream": self.stream.name}
        return {**head, **row, "version": version}

    def _snapshot(self) -> str:
        current = self.project.ledger.current()
        return current.id if current else ""


def _listed(record: str, customer: str, why: str) -> Row:
    empty = {"field": "*", "before": None, "after": None}
    return {"record_id": record, "customer_id": customer, "action": "review", "reason": why, **empty}
