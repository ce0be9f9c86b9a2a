"""Folders of CSV, JSON Lines and Parquet: what an export, a bookkeeper or a script leaves behind.

A stream is read whole when any of its files changed; rows that differ from what is held are landed, rows that are
missing are deleted.
"""

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from connectors.kit.base import Check, Connector, ConnectorSettings, SourceField
from connectors.kit.errors import ReplyError, SettingsError, choices
from connectors.kit.field_map import parse_entry
from connectors.kit.raw_rows import Page
from connectors.kit.repair import UNREADABLE, Repairs, is_unicode, read_json, valid_text, without_surrogates
from connectors.kit.stream import Checkpoint, Slice, Stream

BATCH_ROWS = 20_000
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


class FileStream(BaseModel):
    """Describe one stream: which files, how they are written, which columns feed which fields.

    `delimiter` is a character, or "whitespace" for columns set apart by any number of blanks. `names` heads files that
    have no head. `dates` maps a column to the format its dates are written in, to be read as ISO dates.
    `invalid_text` says what to do with bytes that are no text in `encoding`: `refuse` the file, whose encoding may be
    another one, or `replace` them by U+FFFD. Half an emoji in UTF-8 is replaced in either case.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str = Field(description="File or pattern below the root: invoices/*.csv")
    format: Literal["csv", "jsonl", "parquet"] | None = None
    delimiter: str = Field(",", pattern=r"^(.|whitespace)$")
    encoding: str = "utf-8"
    invalid_text: Literal["refuse", "replace"] = "refuse"
    names: list[str] | None = None
    dates: dict[str, str] = Field(default_factory=dict)
    primary_key: str | list[str] | None = Field(None, description="Column, or columns; the row's number when not given")
    table: str | None = None
    fields: dict[str, Any] = Field(default_factory=dict)
    nulls: list[str] = [""]
    ignores: list[str] = Field(default_factory=list)

    def declared(self, name: str) -> Stream:
        """Declare it as every connector does."""
        fields = {field: parse_entry(path) for field, path in self.fields.items()}
        columns = [self.primary_key] if isinstance(self.primary_key, str) else self.primary_key or ["number of the row"]
        return Stream(
            name,
            "_row",
            fields,
            table=self.table,
            object=self.path,
            deletes="sweep",
            nulls=tuple(self.nulls),
            ignores=tuple(self.ignores),
            key_columns="|".join(columns),
        )


class _Keys:
    """Count the records of a stream: rows that share a key are one, rows without a key are one each."""

    def __init__(self, stream: FileStream) -> None:
        self.are_unique = stream.primary_key is None  # a row's number is
        self.repeated: dict[int, str] = {}
        self._seen, self._lone = set[int](), 0

    @property
    def records(self) -> int:
        return self._lone + len(self._seen)

    def add(self, key: str | None) -> None:
        if key is None or self.are_unique:
            self._lone += 1
        elif (mark := hash(key)) in self._seen:  # a number takes less room than the key
            self.repeated.setdefault(mark, key)
        else:
            self._seen.add(mark)

    def notes(self) -> Iterator[str]:
        """Report the keys that occur more than once."""
        if self.repeated:
            keys = "1 key occurs" if len(self.repeated) == 1 else f"{len(self.repeated):,} keys occur"
            example = next(iter(self.repeated.values()))
            yield f"duplicate keys: {keys} more than once, such as {example!r}; only one row per key is stored"


class Files(Connector):
    """Read files below a folder."""

    class Settings(ConnectorSettings):
        """Name the folder and what lies in it."""

        root: Path
        streams: dict[str, FileStream]

    settings: Settings
    batch_rows = BATCH_ROWS  # rows on one page

    @classmethod
    def declared_streams(cls, settings: Mapping[str, Any]) -> tuple[Stream, ...]:
        listed = settings.get("streams") or {}
        return tuple(FileStream.model_validate(config).declared(name) for name, config in listed.items())

    def __init__(self, name: str, settings: ConnectorSettings) -> None:
        super().__init__(name, settings)
        self.streams = tuple(stream.declared(stream_name) for stream_name, stream in self.settings.streams.items())

    def check(self) -> Check:
        root = self.settings.root
        if not root.is_dir():
            raise SettingsError(f"connection {self.name!r}: settings.root: no folder {root}")
        for stream in self.settings.streams.values():
            self._files(stream)
        return Check(str(root), self.now())

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        fields = {}
        for name, stream in self.settings.streams.items():
            first = next((row for _, row in self._rows(stream, Repairs())), {})
            fields[name] = [SourceField(column, "text") for column in first]
        return fields

    def now(self) -> datetime:
        return datetime.now(UTC)

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Read all files in order, batch after batch; a checkpoint says how many rows have landed."""
        described, done = self.settings.streams[stream.name], int((checkpoint or {}).get("rows", 0))
        batch: list[bytes] = []
        count, keys, repairs = 0, _Keys(described), Repairs()
        for count, (key, row) in enumerate(self._rows(described, repairs), start=1):
            keys.add(key)
            if count > done:
                batch.append(msgspec.json.encode({**row, "_row": key}))
            if len(batch) == self.batch_rows:
                yield Page(stream, batch, self.now(), {"rows": count})
                batch = []
        yield Page(stream, batch, self.now(), None, keys.records, notes=tuple(keys.notes()), repairs=repairs)

    def _rows(self, stream: FileStream, repairs: Repairs) -> Iterator[tuple[str | None, dict[str, Any]]]:
        root = self.settings.root.resolve()
        for path in self._files(stream):
            file_name = path.relative_to(root).as_posix()  # two folders may hold files of one name
            for number, row in enumerate(_read(path, stream, repairs), start=1):
                for column, form in stream.dates.items():
                    row[column] = _iso(row.get(column), form)
                yield _key(row, stream.primary_key, f"{file_name}:{number}"), row

    def _files(self, stream: FileStream) -> list[Path]:
        root = self.settings.root.resolve()
        try:
            fitting = [*root.glob(stream.path)]
        except (NotImplementedError, ValueError):
            message = f"{stream.path!r} is not a pattern of files below settings.root"
            raise SettingsError(f"connection {self.name!r}: {message}") from None
        files = sorted(path for path in fitting if path.is_file() and path.resolve().is_relative_to(root))
        if not files:
            present = [str(path.relative_to(root)) for path in sorted(root.rglob("*"))[:50] if path.is_file()]
            raise SettingsError(
                f"connection {self.name!r}: no file below {root} matches {stream.path!r}; {choices(stream.path, present)}"
            )
        return files


def _read(path: Path, stream: FileStream, repairs: Repairs) -> Iterator[dict[str, Any]]:
    kind = stream.format or FORMATS.get(path.suffix.lower())
    if kind is None:
        raise SettingsError(f"{path.name}: the format cannot be told from the name; set format: csv, jsonl or parquet")
    rows = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[kind](path, stream, repairs)
    try:
        yield from rows
    except UnicodeDecodeError:
        message = f"{path.name}: not valid {stream.encoding}; set encoding (latin-1?)"
        raise SettingsError(f"{message}, or invalid_text: replace") from None
    except (csv.Error, pa.ArrowException) as error:
        raise ReplyError(f"{path.name}: cannot be read as {kind} ({type(error).__name__})") from None


def _lines(path: Path, stream: FileStream, repairs: Repairs, newline: str | None = None) -> Iterator[str]:
    """Read lines; what is no text is replaced and counted, or raises UnicodeDecodeError."""
    errors = "surrogateescape" if stream.invalid_text == "replace" else "surrogatepass"
    with path.open(encoding=_encoding(stream), errors=errors, newline=newline) as opened:
        for line in opened:
            yield line if is_unicode(line) else without_surrogates(line, repairs)


def _csv(path: Path, stream: FileStream, repairs: Repairs) -> Iterator[dict[str, Any]]:
    opened = _lines(path, stream, repairs, newline="")
    if stream.delimiter == "whitespace":
        lines: Iterator[list[str]] = (line.split() for line in opened if line.strip())
    else:
        lines = csv.reader(opened, delimiter=stream.delimiter)
    names = stream.names or next(lines, [])
    for cells in filter(None, lines):  # a blank line is no record
        yield dict(zip(names, cells, strict=False))


def _jsonl(path: Path, stream: FileStream, repairs: Repairs) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(path, stream, repairs), start=1):
        if line.strip():
            yield _object(line, f"{path.name}, line {number}", repairs)


def _object(line: str, position: str, repairs: Repairs) -> dict[str, Any]:
    try:
        record = read_json(line.encode(), repairs=repairs)
    except UNREADABLE:
        raise ReplyError(f"{position}: not JSON") from None
    if not isinstance(record, dict):
        raise ReplyError(f"{position}: not an object")
    return record


def _encoding(stream: FileStream) -> str:
    """Read UTF-8 with or without the mark that spreadsheets put in front."""
    try:
        encoding = codecs.lookup(stream.encoding).name
    except LookupError:
        raise SettingsError(
            f"unknown encoding {stream.encoding!r}; set utf-8, latin-1 or cp1252, for example"
        ) from None
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _parquet(path: Path, stream: FileStream, repairs: Repairs) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
        for column in filter(_is_float, batch.columns):
            repairs.numbers += pc.sum(pc.invert(pc.is_finite(column))).as_py() or 0  # JSON makes them null
        try:
            yield from batch.to_pylist()
        except UnicodeDecodeError:
            columns = [_valid(column, repairs) for column in batch.columns]
            yield from pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()


def _is_float(column: pa.Array) -> bool:
    return bool(pa.types.is_floating(column.type))


def _valid(column: pa.Array, repairs: Repairs) -> pa.Array:
    """Replace what is no UTF-8 in a column of texts: Parquet does not prove that its texts are any."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    texts = column.cast(pa.large_binary()).to_pylist()
    return pa.array([None if text is None else valid_text(text, repairs) for text in texts], pa.large_string())


def _key(row: Mapping[str, Any], key: str | list[str] | None, position: str) -> str | None:
    if key is None:
        return position
    parts = [row.get(column) for column in ([key] if isinstance(key, str) else key)]
    return None if any(part in (None, "") for part in parts) else "|".join(str(part) for part in parts)


def _iso(text: Any, form: str) -> Any:
    """Rewrite a date as ISO; what cannot be read stays, for the rules to refuse."""
    try:
        return datetime.strptime(str(text), form).date().isoformat()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return text
