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

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from requests.auth import AuthBase

from connectors.kit.auth import Basic, Bearer, HeaderToken
from connectors.kit.base import Change, Check, Held, Outcome, SourceField
from connectors.kit.budget import Limit, RateHeader
from connectors.kit.connector import HttpConnector, HttpSettings
from connectors.kit.errors import ReplyError, SettingsError, UnknownOutcome
from connectors.kit.fieldmap import mapped
from connectors.kit.page import Page
from connectors.kit.paging import AnyPaging, NoPaging, Offset, PageNumber, Range, at
from connectors.kit.records import cut
from connectors.kit.reply import Refused
from connectors.kit.stream import Checkpoint, Deletes, Slice, Stream

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class Strict(BaseModel):
    """Refuse settings that are not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoAuth(Strict):
    """Send no secret."""

    kind: Literal["none"] = "none"

    def opened(self) -> AuthBase | None:
        return None


class BearerAuth(Strict):
    """Send a bearer token."""

    kind: Literal["bearer"]
    token: SecretStr

    def opened(self) -> AuthBase:
        return Bearer(self.token)


class BasicAuth(Strict):
    """Send a user and a password."""

    kind: Literal["basic"]
    user: str
    password: SecretStr

    def opened(self) -> AuthBase:
        return Basic(self.user, self.password)


class HeaderAuth(Strict):
    """Send a secret in a header of its own."""

    kind: Literal["header"]
    header: str
    secret: SecretStr

    def opened(self) -> AuthBase:
        return HeaderToken(self.header, self.secret)


class Rate(Strict):
    """Name the headers by which the vendor tells what is left in a window of so many seconds, and its limit there."""

    remaining: str
    seconds: float = Field(gt=0)
    limit: str | None = None

    def declared(self) -> RateHeader:
        """Declare it as every connector does."""
        return RateHeader(self.remaining, self.seconds, self.limit)


class Cursor(Strict):
    """Say which stamp moves when a record changes, and how to ask for what is newer.

    `until_param` takes the end of a slice as `param` takes its start; with `window_days` a long gap is read by pieces,
    each of which counts by itself. `template` is the value to send, with `{since}` in it; `encode: base64url_json` packs
    it as Tryton wants its domains.
    """

    path: str
    param: str
    format: Literal["iso", "date", "epoch_s", "epoch_ms"] = "iso"
    template: Any = "{since}"
    encode: Literal["none", "json", "base64url_json"] = "none"
    lag_minutes: float = 1
    lookback_minutes: float = 10
    until_param: str | None = Field(None, description="Parameter that bounds a slice from above, where there is one")
    window_days: float | None = Field(None, gt=0, description="How long a slice may be; needs until_param")

    @model_validator(mode="after")
    def _bounded(self) -> "Cursor":
        if self.window_days and not self.until_param:
            raise ValueError("window_days needs until_param: only a slice with two ends can be cut")
        return self

    def value(self, since: datetime) -> str:
        """Write the value to send."""
        written = _formatted(self.template, _since(since, self.format))
        if self.encode == "none":
            return str(written)
        text = json.dumps(written, separators=(",", ":"))
        return text if self.encode == "json" else urlsafe_b64encode(text.encode()).decode()


class Deletions(Strict):
    """Say where the API tells what was deleted; with `param`, since when (a feed), else all of it (a list)."""

    path: str
    record_path: str = ""
    primary_key: str = "id"
    deleted_at: str | None = Field(None, description="Path to the time of a deletion")
    param: str | None = None
    paging: AnyPaging = NoPaging()

    def told(self, stream: Stream) -> Stream:
        """Describe its records, which name those of the stream."""
        return replace(stream, primary_key=self.primary_key, cursor=self.deleted_at, deleted_values={})


class Write(Strict):
    """Say how one record is changed, and read again: `{id}` stands for its key."""

    path: str
    method: Literal["PATCH", "PUT", "POST"] = "PATCH"
    wrap: str | None = Field(
        None, description="Member of the body that holds the values; the body itself when not given"
    )
    record_path: str | None = Field(None, description="Where the record lies in the answer to reading it")

    def of(self, number: str) -> str:
        """Spell a record's path; a key may hold a slash."""
        return self.path.replace("{id}", quote(number, safe=""))


class RestStream(Strict):
    """Describe one stream."""

    path: str
    params: dict[str, str | list[str]] = Field(default_factory=dict)
    record_path: str = ""
    primary_key: str = "id"
    table: str | None = None
    paging: AnyPaging = NoPaging()
    cursor: Cursor | None = None
    fields: dict[str, Any] = Field(default_factory=dict)
    nulls: list[str] = [""]
    total_path: str | None = None
    deleted: dict[str, list[str]] = Field(default_factory=dict, description="Path -> texts that mark a deleted record")
    derived: list[str] = Field(default_factory=list, description="Paths whose values change without a new stamp")
    deletions: Deletions | None = None
    ignores: list[str] = Field(default_factory=list)
    write: Write | None = None

    @property
    def deletes(self) -> Deletes:
        """Tell in which way deletions are known."""
        if self.deletions:
            return "feed" if self.deletions.param else "list"
        if self.deleted:
            return "flag"
        return "none" if self.cursor else "sweep"

    @property
    def may_hide_rows(self) -> bool:
        """Tell whether rows that move while they are read could be left out unnoticed."""
        is_counted = bool(self.total_path) or isinstance(self.paging, Range) or getattr(self.paging, "overlap", False)
        return isinstance(self.paging, PageNumber | Offset) and not is_counted

    def declared(self, name: str) -> Stream:
        """Declare it as every connector does."""
        cursor = self.cursor
        unit: Any = {"epoch_s": "epoch_s", "epoch_ms": "epoch_ms"}.get(cursor.format, "text") if cursor else "text"
        return Stream(
            name,
            primary_key=self.primary_key,
            fields={field: mapped(given) for field, given in self.fields.items()},
            table=self.table,
            object=self.path,
            cursor=cursor.path if cursor else None,
            cursor_unit=unit,
            deletes=self.deletes,
            deleted_values={path: tuple(words) for path, words in self.deleted.items()},
            lag=timedelta(minutes=cursor.lag_minutes if cursor else 0),
            lookback=timedelta(minutes=cursor.lookback_minutes if cursor else 0),
            window=timedelta(days=cursor.window_days) if cursor and cursor.window_days else None,
            derived=tuple(self.derived),
            nulls=tuple(self.nulls),
            ignores=tuple(self.ignores),
        )


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
            told = described.paging.total(reply)
            if described.total_path:
                told = at(reply.json(), described.total_path)
            following = described.paging.following(place, reply, rows)
            rows = described.paging.fresh(place, rows)
            yield self.page(stream, rows, following, int(told) if str(told).isdecimal() and not place else None)
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
        told = self.settings.streams[stream.name].deletions
        place: dict[str, Any] | None = {} if told else None
        while told and place is not None:
            params, headers, link = told.paging.ask(place)
            cursor = self.settings.streams[stream.name].cursor
            since = [(told.param, cursor.value(slice_.start))] if told.param and cursor and slice_.start else []
            asked = {} if link else {"params": [*since, *params]}
            reply = self.http.get(link or told.path, headers={**self.settings.headers, **headers}, **asked)
            rows = cut(reply.body, told.record_path)
            place = told.paging.following(place, reply, rows)
            yield self.page(told.told(stream), rows, place, deleted=True)

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


def _since(moment: datetime, kind: str) -> Any:
    seconds = moment.astimezone(UTC).timestamp()
    return {
        "iso": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "date": f"{moment:%Y-%m-%d}",
        "epoch_s": int(seconds),
        "epoch_ms": int(seconds * 1000),
    }[kind]


def _formatted(template: Any, since: Any) -> Any:
    """Put the stamp into a template, which may be a list or a mapping; `{year}` and the like serve Tryton's datetimes."""
    if template == "{since}":
        return since
    if isinstance(template, str):
        return template.replace("{since}", str(since))
    if isinstance(template, list):
        return [_formatted(one, since) for one in template]
    if isinstance(template, Mapping):
        return {key: _formatted(one, since) for key, one in template.items()}
    return template


def _paths(record: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(record, Mapping) and record:
        for key, value in record.items():
            yield from _paths(value, f"{prefix}{key}.")
    elif prefix:
        yield prefix[:-1]
