"""Zendesk Support.

Source: Zendesk's developer documentation (OAuth tokens for grant types, migrating from API tokens to
OAuth access tokens, incremental exports, satisfaction ratings, organizations, organization fields,
pagination). The incremental exports leave out what changed in the last minute, repeat rows at their
borders, and end where they say `end_of_stream`: an empty page does not. They have no upper bound either:
what changed after a slice's end comes with it, and once more with the next slice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs, urlsplit

import msgspec
from pydantic import Field, SecretStr, model_validator
from requests.auth import AuthBase

from connectors.kit.base import Check, SourceField, TargetRecord
from connectors.kit.errors import AccessError, ReplyError, SettingsError
from connectors.kit.http.auth import Basic, Bearer
from connectors.kit.http.loop_guard import PaginationGuard
from connectors.kit.http.oauth import TokenEndpoint, client_credentials
from connectors.kit.http.response import Reply
from connectors.kit.http_connector import HttpConnector, HttpSettings
from connectors.kit.json_path import at
from connectors.kit.rate_limit.limiter import Limit, RateHeader
from connectors.kit.raw_rows import Page, cut
from connectors.kit.repair import UNREADABLE, Repairs, read_json
from connectors.kit.stream import Checkpoint, Slice, Stream
from connectors.kit.write import chunks
from connectors.zendesk.streams import STANDARD, STREAMS
from schemas.mapping import paths

CUSTOM = "organization_fields"
WAYS_IN = (("client_id", "client_secret"), ("email", "api_token"), ("oauth_token",))
TOKENS_END = (
    "Zendesk no longer issues API tokens, and existing ones stop working on 2027-04-30: set client_id and "
    "client_secret of an OAuth client instead of email and api_token"
)


class _Meta(msgspec.Struct):
    has_more: bool = False
    after_cursor: str | None = None


class _Head(msgspec.Struct):
    """One page of an export or a list: its records unparsed, under the list's own name, and where it goes on."""

    tickets: list[msgspec.Raw] | None = None
    organizations: list[msgspec.Raw] | None = None
    users: list[msgspec.Raw] | None = None
    satisfaction_ratings: list[msgspec.Raw] | None = None
    organization_fields: list[msgspec.Raw] | None = None
    end_of_stream: bool = False
    after_cursor: str | None = None
    end_time: float | None = None
    next_page: str | None = None
    metric_sets: list[dict[str, Any]] | None = None
    meta: _Meta | None = None

    def rows(self, name: str) -> list[bytes]:
        """Give the records; raises ReplyError where there is no such list, which is no end."""
        listed = getattr(self, name)
        if listed is None:
            raise ReplyError(f"an answer has no list at {name!r}")
        return [bytes(record) for record in listed]


_HEAD = msgspec.json.Decoder(_Head)


class Zendesk(HttpConnector):
    """Read organizations, tickets with their metrics, agents and satisfaction ratings."""

    class Settings(HttpSettings):
        """Set how to reach an account: by an OAuth client, or by an API token until these end.

        The client (Admin Center, Apps and integrations, APIs, OAuth clients) is of the kind
        "confidential"; its tokens live for 30 minutes and are renewed. `scope: read` is all that is
        needed. API tokens (`email`, `api_token`) cannot be created any more and end on 2027-04-30.
        `oauth_token` is a token that is never renewed. `page_size` is that of the incremental exports;
        `exports_per_minute` is 30 with the high-volume add-on.
        """

        asked_by_init: ClassVar[tuple[str, ...]] = ("client_id", "client_secret")

        client_id: str | None = None
        client_secret: SecretStr | None = None
        scope: str = "read"
        email: str | None = None
        api_token: SecretStr | None = None
        oauth_token: SecretStr | None = None
        page_size: int = Field(1000, ge=1, le=1000)
        requests_per_minute: int = Field(400, ge=1)  # 200 to 2,500, by the account's plan
        exports_per_minute: int = Field(10, ge=1)

        @model_validator(mode="after")
        def _one_way_in(self) -> "Zendesk.Settings":
            ways = [[name for name in way if getattr(self, name)] for way in WAYS_IN]
            used = [(way, names) for way, names in zip(WAYS_IN, ways, strict=True) if names]
            if not used:
                raise ValueError(
                    "no secret is set: set client_id and client_secret of an OAuth client "
                    "(an existing email and api_token work until 2027-04-30)"
                )
            if len(used) > 1:
                several = ", ".join(name for _, names in used for name in names)
                raise ValueError(
                    f"{several} are set: keep one way to authenticate, preferably client_id and client_secret"
                )
            ((way, names),) = used
            for name in way:
                if name not in names:
                    raise ValueError(f"{names[0]} needs {name}")
            return self

    settings: Settings
    streams = STREAMS
    rate_headers = (RateHeader("X-Rate-Limit-Remaining", 60, "X-Rate-Limit"),)

    def auth(self) -> AuthBase:
        settings = self.settings
        if settings.client_id:
            check = "settings.client_id and settings.client_secret, and that the client may have the "
            check += f"scope {settings.scope!r} and belongs to an admin"
            client, secret = settings.client_id, settings.client_secret
            endpoint = TokenEndpoint(self.name, lambda: self.http, "oauth/tokens", client, secret, check, "json")
            return client_credentials(endpoint, settings.scope)
        if settings.oauth_token:
            check = "settings.oauth_token, which is never renewed: client_id and client_secret are"
            return Bearer(settings.oauth_token, settings_to_check=check)
        check = f"settings.email and settings.api_token; {TOKENS_END}"
        secret = settings.api_token or SecretStr("")
        return Basic(f"{settings.email}/token", secret, settings_to_check=check)

    def limits(self) -> Sequence[Limit]:
        settings = self.settings
        return (Limit(settings.requests_per_minute, 60), Limit(settings.exports_per_minute, 60, "export"))

    def check(self) -> Check:
        """Find who the secret belongs to: nobody is an answer too."""
        user = at(self.http.get("api/v2/users/me.json").json(), "user")
        if not isinstance(user, dict) or not user.get("id"):
            raise AccessError(f"{self.name}: the secret belongs to no user; check the secret in settings")
        notes = [f"{self.name}: {TOKENS_END}"] if self.settings.api_token else []
        if user.get("role") not in ("admin", "agent"):
            notes.append(f"{self.name}: the user is neither agent nor admin, so some tickets may not be visible")
        address = urlsplit(self.settings.base_url)
        return Check(f"{address.hostname}{address.path.rstrip('/')}", self.now(), tuple(notes))

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        """List the fields of organizations, the only ones that the API describes; of the others what is mapped."""
        offered = {
            stream.name: {path: SourceField(path, "") for path in paths(stream.fields) if not path.startswith("_")}
            for stream in self.streams
        }
        if "accounts" in offered:
            offered["accounts"] = {path: SourceField(path, "") for path in STANDARD} | self._custom_fields()
        return {name: tuple(fields.values()) for name, fields in offered.items()}

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Read by the export or the list that the stream has, to its own end."""
        start, position = _epoch(slice_.start), checkpoint or {}
        if stream.object == "tickets":
            return self._tickets(stream, start, position)
        if stream.object == "organizations":
            return self._organizations(stream, start, position)
        params: list[tuple[str, Any]] = [("role[]", "agent"), ("role[]", "admin")]
        if stream.object == "satisfaction_ratings":
            params = [("score", "received"), ("start_time", start)]
        return self._pages(stream, params, position)

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        """Read organizations or tickets by id, in batches of 100; those that are no more are not there."""
        if stream.object not in ("organizations", "tickets"):
            raise SettingsError(f"{self.name}: {stream.name} cannot be read by id, only accounts and tickets can")
        records = {}
        for chunk in chunks([number for number in record_ids if number.isdecimal()], 100):
            reply = self.http.get(f"api/v2/{stream.object}/show_many.json", {"ids": ",".join(chunk)})
            for record in cut(reply.body, stream.object):
                row = read_json(record)
                values = {path: _at(row, path) for path in fields}
                records[str(row["id"])] = TargetRecord(str(row["id"]), values, row.get("updated_at"))
        return records

    def _tickets(self, stream: Stream, start: int, checkpoint: Checkpoint) -> Iterator[Page]:
        cursor, done = checkpoint.get("cursor"), False
        trail = PaginationGuard(f"{self.name} tickets", cursor)
        while not done:
            params = {"cursor": cursor} if cursor else {"start_time": start}
            repairs = Repairs()
            head = self._exported("tickets/cursor", params | {"include": "metric_sets"}, repairs)
            if not head.end_of_stream and not trail.on(head.after_cursor):
                raise ReplyError(f"{self.name} tickets: the export makes no progress after cursor {cursor}")
            cursor, done = head.after_cursor, head.end_of_stream
            rows = _with_metrics(head.rows("tickets"), head.metric_sets or (), repairs)
            yield self.page(stream, rows, None if done else {"cursor": cursor}, repairs=repairs)

    def _organizations(self, stream: Stream, start: int, checkpoint: Checkpoint) -> Iterator[Page]:
        start, done = int(checkpoint.get("start_time", start)), False
        while not done:
            repairs = Repairs()
            head = self._exported("organizations", {"start_time": start}, repairs)
            following = _following(head, start)
            if not head.end_of_stream and following <= start:
                raise ReplyError(f"{self.name} organizations: the export makes no progress after {start}")
            start, done = following, head.end_of_stream
            rows = [_with_deleted(row, repairs) for row in head.rows("organizations")]
            yield self.page(stream, rows, None if done else {"start_time": start}, repairs=repairs)

    def _exported(self, what: str, query: dict[str, Any], repairs: Repairs) -> _Head:
        params = query | {"per_page": self.settings.page_size}
        return self._head(self.http.get(f"api/v2/incremental/{what}.json", params, scope="export"), repairs)

    def _pages(self, stream: Stream, params: list[tuple[str, Any]], checkpoint: Checkpoint) -> Iterator[Page]:
        for records, after, repairs in self._listed(stream.object, params, checkpoint.get("after")):
            yield self.page(stream, records, {"after": after} if after else None, repairs=repairs)

    def _listed(
        self, name: str, query: list[tuple[str, Any]], after: str | None = None
    ) -> Iterator[tuple[list[bytes], str | None, Repairs]]:
        """Page by cursor; a list that answers by offset instead, as old ones do, would end early and is refused."""
        more, trail = True, PaginationGuard(f"{self.name} {name}", after)
        while more:
            params = [*query, ("page[size]", 100), *([("page[after]", after)] if after else [])]
            repairs = Repairs()
            head = self._head(self.http.get(f"api/v2/{name}.json", params), repairs)
            if head.meta is None and head.next_page:
                raise ReplyError(f"{self.name} {name}: the response has no cursor to continue from")
            meta = head.meta or _Meta()
            if meta.has_more and not trail.on(meta.after_cursor):
                raise ReplyError(f"{self.name} {name}: paging makes no progress after {after}")
            after, more = meta.after_cursor, meta.has_more
            yield head.rows(name), after if more else None, repairs

    def _head(self, reply: Reply, repairs: Repairs) -> _Head:
        try:
            return cast("_Head", read_json(reply.body, _HEAD, repairs))
        except UNREADABLE as error:
            raise ReplyError(
                f"{self.name}: {urlsplit(reply.url).path} does not have the documented form: {error}"
            ) from None

    def _custom_fields(self) -> dict[str, SourceField]:
        fields = {}
        for records, _, _ in self._listed(CUSTOM, []):
            for row in map(read_json, records):
                if not at(row, "key"):
                    raise ReplyError(f"{self.name}: {CUSTOM} are not listed as documented")
                path = f"{CUSTOM}.{row['key']}"
                fields[path] = SourceField(path, row.get("type", ""), row.get("title", ""), is_custom=True)
        return fields


def _following(head: _Head, start: int) -> int:
    """Tell where the next page starts: as the link to it says; only its time is taken, never the link."""
    linked = parse_qs(urlsplit(head.next_page or "").query).get("start_time", [""])[0]
    return int(linked) if linked.isdecimal() else int(head.end_time or start)


def _with_metrics(rows: list[bytes], metric_sets: Sequence[dict[str, Any]], repairs: Repairs) -> list[bytes]:
    """Put metrics that came beside the tickets into them; other answers hold them there already."""
    by_ticket = {metrics.get("ticket_id"): metrics for metrics in metric_sets}
    return [_with(row, lambda ticket: _metrics(ticket, by_ticket), repairs) for row in rows] if by_ticket else rows


def _metrics(ticket: dict[str, Any], by_ticket: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    metrics = by_ticket.get(ticket.get("id"))
    return {"metric_set": metrics} if metrics else {}


def _with_deleted(row: bytes, repairs: Repairs) -> bytes:
    return _with(row, lambda organization: {"_is_deleted": organization.get("deleted_at") is not None}, repairs)


def _with(row: bytes, more: Callable[[dict[str, Any]], dict[str, Any]], repairs: Repairs) -> bytes:
    """Add members to a record; what is no object lands as it is, for the rules to refuse."""
    record = read_json(row, repairs=repairs)
    return msgspec.json.encode(record | more(record)) if isinstance(record, dict) else row


def _at(row: Any, path: str) -> Any:
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def _epoch(moment: datetime | None) -> int:
    return int(moment.astimezone(UTC).timestamp()) if moment else 0
