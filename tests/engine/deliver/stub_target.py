"""A target in memory whose every whim a test can script, and a project that delivers to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

from connectors.kit.base import Change, Check, Connector, ConnectorSettings, Outcome, SourceField, TargetRecord, Writing
from connectors.kit.errors import BusyError
from connectors.kit.stream import Stream
from engine.config.connection import ConnectionConfig
from engine.config.delivery import DeliveryConfig
from engine.config.project import Project
from engine.deliver.apply import ApplyResult, apply
from engine.deliver.approve import approve
from engine.deliver.plan import plan
from engine.deliver.plan_store import Plan
from tests.engine.deliver.build_tables import skip_fsync, write_build
from tests.nights.death import Death

ACCOUNTS = Stream("accounts", primary_key="id", table="accounts", fields={"account_id": "id", "name": "name"})
TASKS = Stream("tasks", primary_key="id", fields={})
FIELDS = ("name", "city", "phone", "score", "band", "key", "owner_ref", "done", "parent")


@dataclass(frozen=True)
class CompletedWrite:
    """Say what a write did: which one it was, and what the record held just before."""

    op_id: str
    action: str
    record: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    is_late: bool
    call: int  # of all calls, which one did it


@dataclass
class StubTarget:
    """What the target holds, what it was asked, and what goes wrong.

    `faults` are taken one a write: lost (done, nobody hears of it), failed (not done, nobody knows), later (done only
    when `arrive` is called), locked, busy (the target cannot be reached), ignored (a yes, and nothing done), dead (done,
    and then we die); None is none. `refuses` are records or keys that are refused, `forms` how the target spells a
    field. `completed_writes` are all writes that were done, with what they met, `sends` all that was sent and what went wrong;
    after `deaf_after` more calls nobody answers.
    """

    writing: Writing = field(default_factory=lambda: Writing(batch=3))
    unique: str | None = "key"
    tells: bool = True
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    stamps: dict[str, datetime] = field(default_factory=dict)
    ahead: timedelta = timedelta(0)
    log: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    completed_writes: list[CompletedWrite] = field(default_factory=list)
    sends: list[tuple[int, str | None, Sequence[Change]]] = field(default_factory=list)
    deaf_after: int | None = None
    is_late: bool = False
    faults: list[str | None] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    forms: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    pending: list[Callable[[], Any]] = field(default_factory=list)
    record_by_operation: dict[str, str | None] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    account: str = "portal 1"
    before_write: Callable[[], None] = lambda: None
    lock: Lock = field(default_factory=Lock)

    def put(self, record: str, **values: Any) -> None:
        """Make or edit a record, as people do."""
        self.records[record] = self.records.get(record, {}) | values
        self.versions[record] = self.versions.get(record, 0) + 1
        self.stamps[record] = self.now()

    def now(self) -> datetime:
        """Tell the time; a test may put the clock on."""
        return datetime.now(UTC) + self.ahead

    def drop(self, record: str) -> None:
        """Delete a record, as people do."""
        del self.records[record]

    def arrive(self) -> None:
        """Let what was on its way arrive."""
        self.is_late = True
        for arrive_late in self.pending:
            arrive_late()
        self.pending.clear()
        self.is_late = False

    def ask(self, how: str) -> None:
        """Count a call; raises BusyError while nobody answers."""
        if self.deaf_after is not None:
            self.deaf_after -= 1
        if self.deaf_after is not None and self.deaf_after < 0:
            raise BusyError("crm: cannot be reached")
        self.calls.append(how)

    def read(self, record: str, fields: Sequence[str]) -> TargetRecord:
        """Tell what a record holds."""
        values, version = self.records[record], self.versions[record]
        return TargetRecord(record, {name: values.get(name) for name in fields}, str(version), self.stamps[record])

    def do(self, change: Change) -> Outcome:
        """Do one change, as a target does that is not at fault."""
        if {change.record_id, str(change.after.get("key"))} & self.refuses:
            return Outcome(change.op_id, "rejected", change.record_id, message="refused")
        if self.writing.idempotent and change.op_id in self.record_by_operation:
            return Outcome(change.op_id, "applied", self.record_by_operation[change.op_id])
        self.record_by_operation[change.op_id] = change.record_id
        if change.action == "create":
            outcome = self._created(change)
            self.record_by_operation[change.op_id] = outcome.record_id
            return outcome
        record = str(change.record_id)
        if record not in self.records:
            return Outcome(change.op_id, "rejected", record, message="no such record")
        if self.writing.versions and change.version not in (None, str(self.versions[record])):
            return Outcome(change.op_id, "conflict", record, message="another version")
        self._note(change, change.action, record)
        if change.action == "delete":
            self.drop(record)
            self.log.append(("delete", record, {}))
            return Outcome(change.op_id, "applied", record)
        self._set(record, change.after)
        self.log.append(("update", record, dict(change.after)))
        return self._confirmed(change, record)

    def _confirm_only(self, change: Change) -> Outcome:
        """Say yes, and do nothing."""
        record = str(change.record_id)
        is_there = record in self.records and change.action == "update"
        return self._confirmed(change, record) if is_there else Outcome(change.op_id, "applied", record)

    def _note(self, change: Change, action: str, record: str) -> None:
        before = dict(self.records.get(record, {}))
        self.completed_writes.append(
            CompletedWrite(change.op_id, action, record, before, dict(change.after), self.is_late, len(self.calls))
        )

    def _created(self, change: Change) -> Outcome:
        twin = [
            record_id
            for record_id, values in self.records.items()
            if self.unique and values.get("key") == change.after.get("key")
        ]
        if twin:
            self._note(change, "upsert", twin[0])
            self._set(twin[0], change.after)
            return self._confirmed(change, twin[0])
        record = f"n{len(self.versions) + 1}"
        self._note(change, "create", record)
        self.put(record)
        self._set(record, change.after)
        self.log.append(("create", record, dict(change.after)))
        return self._confirmed(change, record)

    def _set(self, record: str, after: Mapping[str, Any]) -> None:
        self.put(record, **{name: self.forms.get(name, lambda value: value)(value) for name, value in after.items()})

    def _confirmed(self, change: Change, record: str) -> Outcome:
        stored = self.read(record, list(change.after))
        return Outcome(change.op_id, "applied", record, stored.version, values=stored.values if self.tells else None)


class StubConnector(Connector):
    """Be written to, and read by key."""

    Settings = ConnectorSettings
    streams = (ACCOUNTS,)
    targets = (TASKS,)
    stub: StubTarget

    @property
    def writing(self) -> Writing:
        return self.stub.writing

    def check(self) -> Check:
        return Check(self.stub.account, self.now())

    def now(self) -> datetime:
        return self.stub.now()

    def discover(self) -> dict[str, list[SourceField]]:
        return {}

    def read(self, stream: Stream, slice_: Any, checkpoint: Any = None) -> Any:
        raise NotImplementedError

    def writable(self, stream: Stream) -> dict[str, SourceField]:
        return {name: SourceField(name, "text", is_unique=name == self.stub.unique) for name in FIELDS}

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        with self.stub.lock:
            self.stub.ask("fetch")
            return {
                record_id: self.stub.read(record_id, fields)
                for record_id in record_ids
                if record_id in self.stub.records
            }

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]:
        stub = self.stub
        with stub.lock:
            stub.before_write()
            stub.ask("write")
            fault = stub.faults.pop(0) if stub.faults else None
            stub.sends.append((len(stub.calls), fault, changes))
            if fault == "busy":
                raise BusyError("crm: cannot be reached")
            if fault == "locked":
                return [
                    Outcome(change.op_id, "retry", change.record_id, message="locked", is_locked=True)
                    for change in changes
                ]
            if fault == "later":
                stub.pending.extend(lambda change=change: stub.do(change) for change in changes)
            if fault in ("later", "failed"):
                return [Outcome(change.op_id, "unknown", change.record_id) for change in changes]
            if fault == "ignored":
                return [
                    stub.do(change) if change.action == "create" else stub._confirm_only(change) for change in changes
                ]
            outcomes = [stub.do(change) for change in changes]
            if fault == "dead":
                raise Death
            return (
                [Outcome(change.op_id, "unknown", change.record_id) for change in changes]
                if fault == "lost"
                else outcomes
            )


class SearchableConnector(StubConnector):
    """Find records by a field, too."""

    def find(
        self, stream: Stream, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[TargetRecord]]:
        with self.stub.lock:
            self.stub.ask("find")
            matches: dict[str, list[TargetRecord]] = {}
            for record, stored in self.stub.records.items():
                if stored.get(field) in values:
                    matches.setdefault(stored[field], []).append(self.stub.read(record, fields))
            return matches


class DeliverEnv:
    """A project with a CRM and an ERP in memory, whose tables a test writes down."""

    def __init__(
        self, home: Path, monkeypatch: Any, kind: type[StubConnector] = SearchableConnector, **stub: Any
    ) -> None:
        self.stub = StubTarget(**stub)
        self.kind = type("Scripted", (kind,), {"stub": self.stub})
        monkeypatch.setattr("engine.config.project.find_connector", lambda name: self.kind)
        roles = {"crm": "crm", "erp": "erp"}
        connections = {name: ConnectionConfig(connector="toy", role=role) for name, role in roles.items()}
        self.home, self.runs = home, 0
        self.project = Project(home / "defs", home, connections=connections)
        monkeypatch.setattr("os.fsync", lambda _: None)
        skip_fsync(self.project.ledger)

    def deliver(self, name: str = "d", **config: Any) -> None:
        """Configure a delivery to the CRM."""
        settings = {"table": "customers", "target": {"connection": "crm"}, "guards": {"max_creates": 99}, **config}
        self.project.deliveries[name] = DeliveryConfig.model_validate(settings)

    def tables(self, **tables: Sequence[Mapping[str, Any]]) -> None:
        """Make a build of these rows; what a row does not say is filled up."""
        self.runs += 1
        write_build(self.project, f"snapshot-{self.runs}", tables)

    def customers(self, *names: str, **shared: Any) -> None:
        """Make a customer of each name that the CRM holds as record of the same name."""
        self.tables(
            customers=[{"customer_id": f"C{name}", "name": f"name {name}", **shared} for name in names],
            accounts=[{"connection": "crm", "account_id": name, "is_active": True} for name in names],
            crosswalk=[{"customer_id": f"C{name}", "connection": "crm", "account_id": name} for name in names],
        )

    def plan(self, name: str = "d") -> Plan:
        """Plan."""
        self.runs += 1
        return plan(self.project, name, f"run-{self.runs}")

    def apply(self, name: str = "d", digest: str | None = None, allow: Sequence[str] = ()) -> ApplyResult:
        """Apply in a run of its own; the plan with a digest is approved first."""
        self.runs += 1
        if digest:
            approve(self.project, name, digest, by="eva", via="command line", allow=allow)
        return apply(self.project, name, f"run-{self.runs}", digest=digest)

    def night(self, name: str = "d") -> ApplyResult:
        """Plan and apply in one run."""
        self.runs += 1
        plan(self.project, name, f"run-{self.runs}")
        return apply(self.project, name, f"run-{self.runs}")
