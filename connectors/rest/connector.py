"""A REST API described wholly in YAML: for a system that has no connector of its own.

```yaml
connector: rest
settings:
  base_url: https://erp.example.com/api
  auth: {kind: bearer, token: "{{ env.ERP_TOKEN }}"}
  streams:
    accounts:
      path: customers
      record_path: data
      table: accounts
      primary_key: id
      paging: {kind: page, size: 200}
      cursor: {path: updated_at, param: updated_since}
      fields: {account_id: id, name: name, country: {path: country, values: {Germany: DE}}}
```

Paging, best first: `keyset` (asks for what is behind the last record's key), `cursor` (a token in the answer), `link`,
`range`, `page`, `offset`; rows that are deleted meanwhile make the last two skip others, which `offset` notices with
`overlap: true`. `{kind: keyset, param: starting_after, key: id, size: 100}` is Stripe's. `rate_headers:
[{remaining: X-RateLimit-Remaining, limit: X-RateLimit-Limit, seconds: 60}]` slows down when the API says that little is
left.

Writing is declared by a stream's `write`: `docs/rest.md` shows all of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from pydantic import Field
from requests.auth import AuthBase

from connectors.kit.arrow import whole_number
from connectors.kit.base import Change, Check, Outcome, SourceField, TargetRecord, Writing
from connectors.kit.errors import ReplyError
from connectors.kit.http.loop_guard import PaginationGuard
from connectors.kit.http.oauth import RefreshToken
from connectors.kit.http.paging import value_in, without
from connectors.kit.http_connector import HttpConnector, HttpSettings
from connectors.kit.rate_limit.limiter import Limit
from connectors.kit.raw_rows import Page, cut
from connectors.kit.repair import Repairs, read_json
from connectors.kit.stream import Checkpoint, Slice, Stream
from connectors.rest.auth import AnyAuth, NoAuth, QueryAuth
from connectors.rest.batch_writer import BatchWriter
from connectors.rest.config import EPOCH, Rate, RestStream, untagged
from connectors.rest.records import RecordReader
from connectors.rest.write_config import Pace
from connectors.rest.writer import Writer


class Rest(HttpConnector):
    """Read, and where a stream says how, write a REST API that YAML describes."""

    class Settings(HttpSettings):
        """Describe the API."""

        auth: AnyAuth = NoAuth()
        headers: dict[str, str] = Field(default_factory=dict)
        requests_per_second: float = Field(10, gt=0)
        rate_headers: list[Rate] = Field(default_factory=list)
        tagged_values: bool = Field(False, description='Dates and numbers come as {"__class__": ...}, as from Tryton')
        check_path: str | None = None
        writing: Pace = Pace()
        streams: dict[str, RestStream] = Field(min_length=1)

        def addresses(self) -> Mapping[str, str]:
            token_url = getattr(self.auth, "token_url", None)
            own = {"auth.token_url": token_url} if token_url is not None else {}
            return {**super().addresses(), **own}

    settings: Settings

    @classmethod
    def declared_streams(cls, settings: Mapping[str, Any]) -> tuple[Stream, ...]:
        listed = settings.get("streams") or {}
        return tuple(RestStream.model_validate(config).declared(name) for name, config in listed.items())

    def __init__(self, name: str, settings: Any, http: Any = None) -> None:
        self.rate_headers = tuple(rate.declared() for rate in settings.rate_headers)
        self._auth: AuthBase | None = None
        super().__init__(name, settings, http)
        self.streams = tuple(stream.declared(stream_name) for stream_name, stream in self.settings.streams.items())
        self.writing = self._writing()
        if any(stream.write and stream.write.find for stream in self.settings.streams.values()):
            self.find = self._find_records  # a capability is found by its method, and most APIs do not have this one

    def auth(self) -> AuthBase | None:
        self._auth = self.settings.auth.opened(self.name, lambda: self.http)
        return self._auth

    def keep_tokens(self, folder: Path) -> None:
        if isinstance(self._auth, RefreshToken):
            self._auth.keep(folder)

    def limits(self) -> Sequence[Limit]:
        rate = self.settings.requests_per_second
        return (Limit(int(rate), 1) if rate >= 1 else Limit(1, 1 / rate),)

    def check(self) -> Check:
        first = next(iter(self.settings.streams.values()))
        path = self.settings.check_path
        if path is None:
            self._page_of(first, {}, Slice())
        else:
            self.http.get(path, headers=self.settings.headers, expect=None)
        return Check(self.settings.base_url, self.now(), tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        if isinstance(self._auth, RefreshToken) and self._auth.rotated:
            yield (
                f"{self.name}: the server replaces the refresh token each time it is used; the newest is "
                f"kept in {self._auth.rotated}: back up that file; without it somebody has to authorize again"
            )

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        return {name: self._sampled_fields(stream) for name, stream in self.settings.streams.items()}

    def _sampled_fields(self, stream: RestStream) -> list[SourceField]:
        rows = cut(self._page_of(stream, {}, Slice()).body, stream.record_path)
        try:
            sample_paths = dict.fromkeys(path for row in rows[:100] for path in _paths(read_json(row)))
        except RecursionError:
            raise ReplyError(f"{self.name}: a record at {stream.path} is nested too deeply to be read") from None
        return [SourceField(path, "json") for path in sample_paths]

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Read page after page; a cursor asks for what is newer than the slice's start."""
        described, position = self.settings.streams[stream.name], dict(checkpoint or {})
        trail = PaginationGuard(f"{self.name} {stream.name}", position)
        while True:
            reply = self._page_of(described, position, slice_)
            rows: Sequence[bytes] = cut(reply.body, described.record_path, repairs := Repairs())
            trail.came(rows, position)
            if self.settings.tagged_values:
                rows = [msgspec.json.encode(untagged(read_json(row, repairs=repairs))) for row in rows]
            total = described.paging.total(reply)
            if described.total_path and not position:
                total = value_in(reply, described.total_path)
            following = trail.on(self._stored(described.paging.following(position, reply, rows), described.pairs))
            rows = described.paging.fresh(position, rows)
            yield self.page(stream, rows, following, None if position else whole_number(total), repairs=repairs)
            if following is None:
                return
            position = following

    def counted_slice(self, stream: Stream, slice_: Slice) -> Slice:
        """Tell what an answer's total is a count of: all that was asked for, which may be more than the slice."""
        cursor = self.settings.streams[stream.name].cursor
        return cursor.counted(slice_) if cursor else slice_

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        """Read records by their keys; those that are no more are not there."""
        return self._record_reader(stream).fetch(record_ids, fields)

    def current_record(self, stream: Stream, payload: bytes, fields: Sequence[str]) -> TargetRecord | None:
        """Tell from a record as it was extracted what `fetch` would answer."""
        return self._record_reader(stream).extracted(payload, fields)

    def writable(self, stream: Stream) -> Mapping[str, SourceField]:
        """List the fields of a first page, and those that are declared: what else may be written, nobody tells."""
        described, how = self.settings.streams[stream.name], self._record_reader(stream).how
        fixed = {described.primary_key, described.cursor.path if described.cursor else ""}
        declared = [*how.unique, *how.fields]
        names = dict.fromkeys([*(field.path for field in self._sampled_fields(described)), *declared])
        return {
            name: SourceField(name, "json", is_writable=name not in fixed, is_unique=name in how.unique)
            for name in names
        }

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]:
        """Change, make and delete records, each with its outcome."""
        records = self._record_reader(stream)
        batch = records.how.batch
        return (BatchWriter(records, batch) if batch else Writer(records)).write(changes)

    def _find_records(
        self, stream: Stream, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[TargetRecord]]:
        """Find records by a field: what `find` is where a stream declares how."""
        return self._record_reader(stream).find(field, values, fields)

    def _record_reader(self, stream: Stream) -> RecordReader:
        where = f"connection {self.name!r}: streams.{stream.name}"
        settings, described = self.settings, self.settings.streams[stream.name]
        return RecordReader(where, self.http, described, settings.headers, tagged=settings.tagged_values)

    def _writing(self) -> Writing:
        """Declare how the connection is written to; what not every stream can do is not promised."""
        pace = self.settings.writing
        ways = [stream.write for stream in self.settings.streams.values() if stream.write]
        return Writing(
            batch=max((how.batch.size if how.batch else 1 for how in ways), default=1),
            parallel=pace.parallel,
            versions=bool(ways) and all(how.version is not None for how in ways),
            idempotent=bool(ways) and all(how.is_idempotent for how in ways),
            write_timeout=timedelta(seconds=pace.write_timeout_seconds),
            lag=timedelta(seconds=pace.lag_seconds),
            zero_means_null=pace.zero_means_null,
        )

    def deletes(self, stream: Stream, slice_: Slice) -> Iterator[Page]:
        """Read what the API says was deleted, since the slice's start where it can be asked so."""
        deletions = self.settings.streams[stream.name].deletions
        position: dict[str, Any] | None = {} if deletions else None
        trail = PaginationGuard(f"{self.name} {stream.name}", position)
        while deletions and position is not None:
            params, headers, link = deletions.paging.ask(position)
            cursor = self.settings.streams[stream.name].cursor
            since = (
                [(deletions.param, cursor.since(slice_.start))] if deletions.param and cursor and slice_.start else []
            )
            query = None if link else [*since, *params]
            reply = self.http.get(link or deletions.path, query, {**self.settings.headers, **headers})
            rows = cut(reply.body, deletions.record_path, repairs := Repairs())
            trail.came(rows, position)
            position = trail.on(self._stored(deletions.paging.following(position, reply, rows), []))
            yield self.page(deletions.with_deletes(stream), rows, position, deleted=True, repairs=repairs)

    def _stored(self, position: dict[str, Any] | None, pairs: list[tuple[str, str]]) -> dict[str, Any] | None:
        """Leave out of a link what we sent ourselves, a secret perhaps; `again` names what has to be added."""
        if not position or "link" not in position:
            return position
        auth = self.settings.auth
        secret = [(auth.param, auth.secret.get_secret_value())] if isinstance(auth, QueryAuth) else []
        link, names = without(position["link"], [*pairs, *secret])
        again = sorted(names & {name for name, _ in pairs})
        return {"link": link} | ({"again": again} if again else {})

    def _page_of(self, stream: RestStream, position: dict[str, Any], slice_: Slice) -> Any:
        params, headers, link = stream.paging.ask(position)
        if link:
            again = [pair for pair in stream.pairs if pair[0] in position.get("again", ())]
            return self.http.get(link, again, {**self.settings.headers, **headers})
        listed = stream.pairs
        cursor = stream.cursor
        if cursor and (slice_.start or cursor.encode != "none"):
            listed.append((cursor.param, cursor.since(slice_.start or EPOCH)))
        if cursor and cursor.until_param and slice_.end:
            listed.append((cursor.until_param, cursor.until(slice_.end)))
        return self.http.get(stream.path, [*listed, *params], {**self.settings.headers, **headers})


def _paths(record: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(record, Mapping) and record:
        for key, value in record.items():
            yield from _paths(value, f"{prefix}{key}.")
    elif prefix:
        yield prefix[:-1]
