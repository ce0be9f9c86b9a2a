"""Schema drift: what a source shows of its fields, against what was accepted, under the connection's contract.

evolve         what is new is reported and kept in the payload; a row that lacks a field that is gone, or holds a
               value that is not of its type, goes to quarantine
freeze         the stream stops before anything lands, until the change is accepted
discard_row    a row that brings a new field along goes to quarantine, too
discard_value  a value that cannot be read, or is gone, is left out and counted
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
from engine.extract.schema_drift.json_fields import FieldObservation, looked_at, payloads
from engine.storage.source_fields import FieldRecord
from schemas.mapping import paths, stem
from transforms.conform.contract_rules import Absence, Terms


def look(project: Project, connector: Connector, streams: Collection[str], at: datetime) -> dict[str, "FieldTracker"]:
    """Ask a system that describes itself for its fields, once a run; `at` is the source's clock.

    Raises SettingsError where a map names a field that nobody has ever seen there; one that has vanished is drift.
    """
    shapes = glance(project, connector, at, streams)
    for shape in shapes:
        shape.keep()
    return {shape.stream.name: shape for shape in shapes}


def glance(
    project: Project, connector: Connector, at: datetime, streams: Collection[str] | None = None
) -> list["FieldTracker"]:
    """Compare what a source shows of its fields with what was accepted, and write nothing down."""
    chosen = [stream for stream in connector.streams if streams is None or stream.name in streams]
    offered = connector.discover() if any(stream.has_schema_api for stream in chosen) else {}
    shapes = [FieldTracker(project, connector, stream, at) for stream in chosen]
    for shape in shapes:
        shape.describe(offered)
    return shapes


class FieldTracker:
    """Watch the fields of one stream in one run."""

    def __init__(self, project: Project, connector: Connector, stream: Stream, at: datetime) -> None:
        self.project, self.connector, self.stream, self.at = project, connector, stream, at
        self.name, self.config = connector.name, project.connection(connector.name)
        self.use = FieldUsage(project, connector.name, stream)
        self.seen = self.use.tracked(project.ledger.source_fields.records(connector.name, stream.name))
        self.notes: list[str] = []
        self._refused: FieldObservation | None = None

    @property
    def drift(self) -> Drift:
        """Name what is not as it was accepted."""
        return drift(self.seen)

    @property
    def unused(self) -> list[str]:
        """Name the fields that are there and neither read, written nor ignored on purpose."""
        return [one.path for one in self.seen if not one.is_gone and not self.use(one.path)]

    def describe(self, offered: Mapping[str, Sequence[SourceField]]) -> None:
        """Take what a source says of itself."""
        if self.stream.has_schema_api:
            fields = {stem(field.path): _at_stem(field) for field in offered.get(self.stream.name, ())}
            self.notes += never_seen(self.connector, self.stream, fields, self.seen)
            self._renew(FieldObservation(self.at, fields))

    def keep(self) -> None:
        """Write down what is known now."""
        if self.stream.has_schema_api:
            self.project.ledger.source_fields.replace(self.name, self.stream.name, self.seen, self.at)

    def hold(self) -> None:
        """Raise SettingsError where the contract lets nothing land that is not as it was accepted."""
        if self.config.contract == "freeze" and self.drift:
            raise SettingsError(
                f"{self.name} {self.stream.name}: {self.drift}; the contract is freeze: nothing lands until "
                f"`belvedere fields accept {self.name} {self.stream.name}`"
            )

    def watched(self, pages: Iterable[Page]) -> Iterator[Page]:
        """Look at each page before it lands, where only the records can tell and the contract is freeze."""
        is_watched = self.config.contract == "freeze" and not self.stream.has_schema_api and self.seen
        for page in pages:
            if is_watched and page.rows and not page.deleted:
                self._look_at(page)
            yield page

    def settle(self, result: StreamResult) -> None:
        """Look at what has landed, where only the records can tell, and say what has drifted."""
        if not self.stream.has_schema_api:
            self._look_at_landed()
        found = self.drift
        result.new_fields, result.gone_fields, result.retyped_fields = map(list, (found.new, found.gone, found.retyped))
        result.never_seen = [path for path in self.use.mapped if self.seen and not covering(path, self._known)]

    @property
    def _known(self) -> set[str]:
        return {one.path for one in self.seen}

    @property
    def _asked(self) -> list[str]:
        return [*dict.fromkeys([*self.use.mapped, *sorted(self._known)])]

    def _renew(self, seen: FieldObservation) -> None:
        fields = {path: field for path, field in seen.fields.items() if self.use.is_tracked(path)}
        kept = FieldObservation(seen.at, fields, seen.rows, seen.counts)
        self.seen = renewed(self.seen, kept, self.name, self.stream.name, self.use)

    def _look_at(self, page: Page) -> None:
        texts = pa.array([bytes(row).decode("utf-8", "replace") for row in page.rows], pa.string())
        seen, before = looked_at([texts], self._asked, self.at), self.seen
        self._renew(seen)
        try:
            self.hold()
        except SettingsError:
            self._refused = seen
            raise
        finally:
            self.seen = before  # what lands is looked at as a whole at the end

    def _look_at_landed(self) -> None:
        ledger, name, stream = self.project.ledger, self.name, self.stream.name
        files = self.project.lake.proven(ledger.source_fields.unobserved_files(name, stream))
        if files:
            self._renew(looked_at(payloads(files), self._asked, self.at))
        if self._refused:
            self._renew(self._refused)
        if files or self._refused:
            ledger.source_fields.replace(name, stream, self.seen, self.at)


def never_seen(
    connector: Connector, stream: Stream, offered: Mapping[str, SourceField], seen: Sequence[FieldRecord]
) -> Iterator[str]:
    """Note mapped fields that are not there and never were; raises SettingsError for one that a user mapped."""
    known = {*offered, *(one.path for one in seen)}
    ours = {path for one in type(connector).streams if one.name == stream.name for path in paths(one.fields)}
    for path in paths(stream.fields):
        if path.startswith("_") or covering(path, known):
            continue
        said = f"{connector.name}: {stream.name} have no field {path!r}"
        if path not in ours:
            raise SettingsError(f"{said}, which fields.{stream.name} maps; {_near(path, offered)}")
        yield f"{said}: what it feeds stays empty; {_near(path, offered)}"


def terms(project: Project, connection: str, stream: Stream) -> Terms:
    """Say what a build does with rows that do not keep to the contract."""
    contract = project.connection(connection).contract
    use = FieldUsage(project, connection, stream)
    seen = {one.path: one for one in use.tracked(project.ledger.source_fields.records(connection, stream.name))}
    gone = {path: absence for path in paths(stream.fields) if (absence := _absence(path, seen))}
    new = tuple(one.path for one in seen.values() if one.change == "new" and not use(one.path))
    return Terms(contract == "discard_value", gone, new if contract == "discard_row" else ())


def _absence(path: str, seen: Mapping[str, FieldRecord]) -> Absence | None:
    one = seen.get(covering(path, seen) or "")
    if one is None or one.gone_at is None or one.gone_at == one.back_at:
        return None
    return Absence(one.path, one.gone_at, one.back_at)


def _at_stem(field: SourceField) -> SourceField:
    return SourceField(stem(field.path), field.type, field.label, field.is_custom, field.is_writable)


def _near(path: str, offered: Mapping[str, SourceField]) -> str:
    """Name the nearest fields by the last part of their paths, else the custom ones: a system has hundreds."""
    by_name = {one.rpartition(".")[2]: one for one in offered}
    near = [by_name[name] for name in get_close_matches(stem(path).rpartition(".")[2], by_name)]
    custom = [field.path for field in offered.values() if field.is_custom]
    return choices(path, near or custom or offered)
