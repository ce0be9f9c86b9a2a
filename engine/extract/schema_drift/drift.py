"""Schema drift: compares the fields of a source with those that were accepted, under the connection's contract.

evolve         new fields are reported and stay in the payload; a row without a field that is gone, or with a
               value of another type, goes to quarantine
freeze         the stream stops before anything lands, until the change is accepted
discard_row    a row with a new field goes to quarantine, too
discard_value  a value that cannot be read or is gone is dropped and counted
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches

import pyarrow as pa

from connectors.kit.base import Connector, SourceField
from connectors.kit.errors import SettingsError, choices
from connectors.kit.raw_rows import Page
from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.extract.result import StreamResult
from engine.extract.schema_drift.field_history import Drift, drift, renewed
from engine.extract.schema_drift.field_usage import FieldUsage, covering
from engine.extract.schema_drift.json_fields import FieldObservation, observe_records, payloads
from engine.storage.stores.source_fields import FieldRecord
from schemas.mapping import paths, stem
from transforms.conform.contract_rules import Absence, Terms


def start_tracking(
    project: Project, connector: Connector, streams: Collection[str], at: datetime
) -> dict[str, "FieldTracker"]:
    """Start tracking the fields of some streams; a system that describes itself is asked once a run.

    `at` is the source's clock. Raises SettingsError for a mapped field that was never there; one that has vanished is
    drift.
    """
    trackers = compare_fields(project, connector, at, streams)
    for tracker in trackers:
        tracker.keep()
    return {tracker.stream.name: tracker for tracker in trackers}


def compare_fields(
    project: Project, connector: Connector, at: datetime, streams: Collection[str] | None = None
) -> list["FieldTracker"]:
    """Compare the fields of a source with those that were accepted, without storing anything."""
    chosen = [stream for stream in connector.streams if streams is None or stream.name in streams]
    offered = connector.discover() if any(stream.has_schema_api for stream in chosen) else {}
    trackers = [FieldTracker(project, connector, stream, at) for stream in chosen]
    for tracker in trackers:
        tracker.describe(offered)
    return trackers


class FieldTracker:
    """Track the fields of one stream in one run."""

    def __init__(self, project: Project, connector: Connector, stream: Stream, at: datetime) -> None:
        self.project, self.connector, self.stream, self.at = project, connector, stream, at
        self.name, self.config = connector.name, project.connection(connector.name)
        self.use = FieldUsage(project, connector.name, stream)
        self.seen = self.use.tracked(project.ledger.source_fields.records(connector.name, stream.name))
        self.notes: list[str] = []
        self._refused: FieldObservation | None = None

    @property
    def drift(self) -> Drift:
        """The fields that differ from what was accepted."""
        return drift(self.seen)

    @property
    def unused(self) -> list[str]:
        """The fields of the source that are neither read, written nor ignored on purpose."""
        return [record.path for record in self.seen if not record.is_gone and not self.use(record.path)]

    def describe(self, offered: Mapping[str, Sequence[SourceField]]) -> None:
        """Take the fields that a source describes."""
        if self.stream.has_schema_api:
            fields = {stem(field.path): _at_stem(field) for field in offered.get(self.stream.name, ())}
            self.notes += never_seen(self.connector, self.stream, fields, self.seen)
            self._renew(FieldObservation(self.at, fields))

    def keep(self) -> None:
        """Store the fields of a stream that describes itself."""
        if self.stream.has_schema_api:
            self.project.ledger.source_fields.replace(self.name, self.stream.name, self.seen, self.at)

    def hold(self) -> None:
        """Raise SettingsError if the contract is `freeze` and a field differs from what was accepted."""
        if self.config.contract == "freeze" and self.drift:
            raise SettingsError(
                f"{self.name} {self.stream.name}: {self.drift}; the contract is freeze: nothing lands until "
                f"`belvedere fields accept {self.name} {self.stream.name}`"
            )

    def watched(self, pages: Iterable[Page]) -> Iterator[Page]:
        """Check each page before it lands, if the contract is `freeze` and only records show the fields."""
        is_watched = self.config.contract == "freeze" and not self.stream.has_schema_api and self.seen
        for page in pages:
            if is_watched and page.rows and not page.deleted:
                self._look_at(page)
            yield page

    def settle(self, result: StreamResult) -> None:
        """Observe the records that landed, if only records show the fields, and report drift in the result."""
        if not self.stream.has_schema_api:
            self._look_at_landed()
        changes = self.drift
        result.new_fields, result.gone_fields, result.retyped_fields = map(
            list, (changes.new, changes.gone, changes.retyped)
        )
        result.never_seen = [path for path in self.use.mapped if self.seen and not covering(path, self._known_paths)]

    @property
    def _known_paths(self) -> set[str]:
        return {record.path for record in self.seen}

    @property
    def _observed_paths(self) -> list[str]:
        return [*dict.fromkeys([*self.use.mapped, *sorted(self._known_paths)])]

    def _renew(self, observation: FieldObservation) -> None:
        fields = {path: field for path, field in observation.fields.items() if self.use.is_tracked(path)}
        tracked = FieldObservation(observation.at, fields, observation.rows, observation.counts)
        self.seen = renewed(self.seen, tracked, self.name, self.stream.name, self.use)

    def _look_at(self, page: Page) -> None:
        texts = pa.array([bytes(row).decode("utf-8", "replace") for row in page.rows], pa.string())
        observation, before = observe_records([texts], self._observed_paths, self.at), self.seen
        self._renew(observation)
        try:
            self.hold()
        except SettingsError:
            self._refused = observation
            raise
        finally:
            self.seen = before  # records that land are observed at the end

    def _look_at_landed(self) -> None:
        ledger, name, stream = self.project.ledger, self.name, self.stream.name
        files = self.project.lake.proven(ledger.source_fields.unobserved_files(name, stream))
        if files:
            self._renew(observe_records(payloads(files), self._observed_paths, self.at))
        if self._refused:
            self._renew(self._refused)
        if files or self._refused:
            ledger.source_fields.replace(name, stream, self.seen, self.at)


def never_seen(
    connector: Connector, stream: Stream, offered: Mapping[str, SourceField], records: Sequence[FieldRecord]
) -> Iterator[str]:
    """Yield messages about mapped fields that were never there; raises SettingsError for one that a user mapped."""
    existing = {*offered, *(item.path for item in records)}
    ours = {path for item in type(connector).streams if item.name == stream.name for path in paths(item.fields)}
    for path in paths(stream.fields):
        if path.startswith("_") or covering(path, existing):
            continue
        message = f"{connector.name}: {stream.name} have no field {path!r}"
        if path not in ours:
            raise SettingsError(f"{message}, which fields.{stream.name} maps; {_near(path, offered)}")
        yield f"{message}: what it feeds stays empty; {_near(path, offered)}"


def terms(project: Project, connection: str, stream: Stream) -> Terms:
    """Return what a build does with rows that break the contract."""
    contract = project.connection(connection).contract
    use = FieldUsage(project, connection, stream)
    records = {
        record.path: record for record in use.tracked(project.ledger.source_fields.records(connection, stream.name))
    }
    absences = {path: absence for path in paths(stream.fields) if (absence := _absence(path, records))}
    new = tuple(record.path for record in records.values() if record.change == "new" and not use(record.path))
    return Terms(contract == "discard_value", absences, new if contract == "discard_row" else ())


def _absence(path: str, records: Mapping[str, FieldRecord]) -> Absence | None:
    record = records.get(covering(path, records) or "")
    if record is None or record.gone_at is None or record.gone_at == record.back_at:
        return None
    return Absence(record.path, record.gone_at, record.back_at)


def _at_stem(field: SourceField) -> SourceField:
    return SourceField(stem(field.path), field.type, field.label, field.is_custom, field.is_writable)


def _near(wanted: str, offered: Mapping[str, SourceField]) -> str:
    """Suggest fields that are named alike, else the custom ones: a system has hundreds of fields."""
    by_name = {path.rpartition(".")[2]: path for path in offered}
    near = [by_name[name] for name in get_close_matches(stem(wanted).rpartition(".")[2], by_name)]
    custom = [field.path for field in offered.values() if field.is_custom]
    return choices(wanted, near or custom or offered)
