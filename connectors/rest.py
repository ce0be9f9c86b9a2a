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
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from pydantic import Field
from requests.auth import AuthBase

from connectors._rest_streams import BasicAuth, BearerAuth, HeaderAuth, NoAuth, Rate, RestStream, Write
from connectors.kit.base import Change, Check, Held, Outcome, SourceField
from connectors.kit.budget import Limit
from connectors.kit.connector import HttpConnector, HttpSettings
from connectors.kit.errors import ReplyError, SettingsError, UnknownOutcome
from connectors.kit.page import Page
from connectors.kit.paging import at, told
from connectors.kit.records import cut
from connectors.kit.reply import Refused
from connectors.kit.stream import Checkpoint, Slice, Stream

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class Rest(HttpConnector):
    """Read, and where a stream says how, write a REST API that YAML describes."""

    class Settings(HttpSettings):
        """Describe the API."""

        auth: Annotated[NoAuth | BearerAuth | BasicAuth | HeaderAuth, Field(discriminator="kind")] = NoAuth()
        headers: dict[str, str] = Field(default_factory=dict)
        requests_per_second: float = Field(10, gt=0)
        rate_headers: list[Rate] = Field(default_factory=list)
        tagged_values: bool = Field(False, description='Dates and numbers come as {"__class__": ...}, as from Tryton')
        check_path: str | None = None
        streams: dict[str, RestStream] = Field(min_length=1)

    settings: Settings
    max_batch = 1
    upsert_key = None

    @classmethod
    def declared(cls, settings: Mapping[str, Any]) -> tuple[Stream, ...]:
        listed = settings.get("streams") or {}
        return tuple(RestStream.model_validate(given).declared(name) for name, given in listed.items())

    def __init__(self, name: str, settings: Any, http: Any = None) -> None:
        self.rate_headers = tuple(rate.declared() for rate in settings.rate_headers)
        super().__init__(name, settings, http)
        self.streams = tuple(stream.declared(one) for one, stream in self.settings.streams.items())

    def auth(self) -> AuthBase | None:
        return self.settings.auth.opened()

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
        return Check(self.settings.base_url, self.now(), tuple(self._hiding()))

    def _hiding(self) -> Iterator[str]:
        """Name the streams of which rows could be left out unnoticed, and what helps."""
        for name, stream in self.settings.streams.items():
            if stream.may_hide_rows:
                yield (
                    f"{self.name} {name}: pages by number and tells no count: a record that moves while it is read can "
                    "hide another; set total_path, paging kind keyset, or overlap: true with kind offset"
                )

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        found = {}
        for name, stream in self.settings.streams.items():
            rows = cut(self._page_of(stream, {}, Slice()).body, stream.record_path)
            seen = dict.fromkeys(path for row in rows[:100] for path in _paths(msgspec.json.decode(row)))
            found[name] = [SourceField(path, "json") for path in seen]
        return found

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Read page after page; a cursor asks for what is newer than the slice's start."""
        described, place = self.settings.streams[stream.name], dict(checkpoint or {})
        last: list[bytes] = []
        while True:
            reply = self._page_of(described, place, slice_)
            rows: Sequence[bytes] = cut(reply.body, described.record_path)
            if rows and rows == last:  # an API that does not know the parameter answers its first page for ever
                raise ReplyError(f"{self.name} {stream.name}: paging makes no progress: a page came twice, at {place}")
            last = list(rows)
            if self.settings.tagged_values:
                rows = [msgspec.json.encode(untagged(msgspec.json.decode(row))) for row in rows]
            total = described.paging.total(reply)
            if described.total_path and not place:
                total = told(reply, described.total_path)
            following = described.paging.following(place, reply, rows)
            rows = described.paging.fresh(place, rows)
            yield self.page(stream, rows, following, int(total) if str(total).isdecimal() and not place else None)
            if following is None:
                return
            place = following

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, Held]:
        """Read records one by one; those that are no more are not there."""
        how, held = self._how(stream), {}
        for number in record_ids:
            try:
                body = self.http.get(how.of(number), headers=self.settings.headers).json()
            except Refused as error:
                if error.status == 404:
                    continue
                raise
            record = at(body, how.record_path) if how.record_path else body
            held[number] = Held(number, {field: at(record, field) for field in fields})
        return held

    def writable(self, stream: Stream) -> Mapping[str, SourceField]:
        """List the fields of a first page: what else may be written, the API does not tell."""
        return {field.path: field for field in self.discover()[stream.name]}

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]:
        """Change records one by one."""
        return [self._written(self._how(stream), change) for change in changes]

    def _written(self, how: Write, change: Change) -> Outcome:
        body: Any = dict(change.after)
        body = {how.wrap: body} if how.wrap else body
        path = how.of(change.record_id or "")
        send = {"PATCH": self.http.patch, "PUT": self.http.put, "POST": self.http.post}[how.method]
        try:
            send(path, json=body, headers=self.settings.headers, writes=True, expect=None)
        except UnknownOutcome as error:
            return Outcome(change.op_id, "unknown", change.record_id, message=str(error))
        except Refused as error:
            return Outcome(change.op_id, "rejected", change.record_id, message=f"refused ({error.status})")
        return Outcome(change.op_id, "applied", change.record_id)

    def _how(self, stream: Stream) -> Write:
        how = self.settings.streams[stream.name].write
        if how is None:
            raise SettingsError(f"connection {self.name!r}: streams.{stream.name} has no `write`, so it only reads")
        return how

    def deletes(self, stream: Stream, slice_: Slice) -> Iterator[Page]:
        """Read what the API says was deleted, since the slice's start where it can be asked so."""
        gone = self.settings.streams[stream.name].deletions
        place: dict[str, Any] | None = {} if gone else None
        while gone and place is not None:
            params, headers, link = gone.paging.ask(place)
            cursor = self.settings.streams[stream.name].cursor
            since = [(gone.param, cursor.value(slice_.start))] if gone.param and cursor and slice_.start else []
            asked = {} if link else {"params": [*since, *params]}
            reply = self.http.get(link or gone.path, headers={**self.settings.headers, **headers}, **asked)
            rows = cut(reply.body, gone.record_path)
            place = gone.paging.following(place, reply, rows)
            yield self.page(gone.told(stream), rows, place, deleted=True)

    def _page_of(self, stream: RestStream, place: dict[str, Any], slice_: Slice) -> Any:
        params, headers, link = stream.paging.ask(place)
        if link:
            return self.http.get(link, headers={**self.settings.headers, **headers})
        listed = [
            (name, value)
            for name, given in stream.params.items()
            for value in ([given] if isinstance(given, str) else given)
        ]
        cursor = stream.cursor
        if cursor and (slice_.start or cursor.encode != "none"):
            listed.append((cursor.param, cursor.value(slice_.start or EARLIEST)))
        if cursor and cursor.until_param and slice_.end:
            listed.append((cursor.until_param, cursor.value(slice_.end)))
        return self.http.get(stream.path, [*listed, *params], {**self.settings.headers, **headers})


def untagged(value: Any) -> Any:
    """Write tagged values plainly: {"__class__": "date", "year": 2026, ...} becomes 2026-..., a Decimal its digits."""
    if isinstance(value, list):
        return [untagged(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("__class__") == "Decimal":
        return value.get("decimal")
    if value.get("__class__") in ("date", "datetime"):
        parts = [value.get(name, 0) for name in ("year", "month", "day", "hour", "minute", "second", "microsecond")]
        try:
            moment = datetime(*parts, tzinfo=UTC)
        except (TypeError, ValueError):  # it stays as it came, for the rules to refuse
            return value
        return moment.isoformat() if value["__class__"] == "datetime" else moment.date().isoformat()
    return {name: untagged(one) for name, one in value.items()}


def _paths(record: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(record, Mapping) and record:
        for key, value in record.items():
            yield from _paths(value, f"{prefix}{key}.")
    elif prefix:
        yield prefix[:-1]
