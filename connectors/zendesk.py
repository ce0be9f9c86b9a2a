"""Zendesk Support.

Source: Zendesk's developer documentation (incremental exports, satisfaction ratings, organizations, job statuses).
The incremental exports leave out what changed in the last minute, repeat rows at their borders, and end where they
say `end_of_stream`: an empty page does not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from pydantic import Field as Setting
from pydantic import SecretStr, model_validator
from requests.auth import AuthBase

from connectors.kit.auth import Basic, Bearer
from connectors.kit.base import Check, Checkpoint, ConnectorSettings, Held, Page, Slice, SourceField, Stream
from connectors.kit.budget import Limit
from connectors.kit.connector import HttpConnector, HttpSettings
from connectors.kit.errors import AccessError, ReplyError, SettingsError, choices
from connectors.kit.http import Http
from connectors.kit.records import cut
from connectors.kit.reply import Reply
from connectors.kit.write import chunks
from schemas.mapping import Constant, Field, paths

LAG = timedelta(seconds=90)  # the exports leave out the last minute
STREAMS = (
    Stream(
        "accounts",
        primary_key="id",
        table="accounts",
        object="organizations",
        cursor="updated_at",
        deletes="flag",
        deleted_values={"_is_deleted": ("true",)},
        lag=LAG,
        fields={
            "account_id": "id",
            "name": "name",
            "tax_id": "organization_fields.vat_number",
            "domain": "domain_names.0",
            "phone": "organization_fields.phone",
            "postal_code": "organization_fields.postcode",
            "country": "organization_fields.country",
            "link_id": "external_id",
            "is_active": (Field("_is_deleted", values={"true": "false"}), Constant("true")),
            "created_at": "created_at",
            "updated_at": "updated_at",
        },
        ignores=("tags", "url", "details", "notes", "group_id", "shared_tickets", "shared_comments"),
    ),
    Stream(
        "tickets",
        primary_key="id",
        table="tickets",
        object="tickets",
        cursor="generated_timestamp",
        cursor_unit="epoch_s",
        deletes="flag",
        deleted_values={"status": ("deleted",)},
        lag=LAG,
        fields={
            "ticket_id": "id",
            "account_id": "organization_id",
            "subject": "subject",
            "owner_id": "assignee_id",
            "status": "status",
            "priority": "priority",
            "first_reply_minutes": "metric_set.reply_time_in_minutes.calendar",
            "resolution_minutes": "metric_set.full_resolution_time_in_minutes.calendar",
            "reopens": "metric_set.reopens",
            "solved_at": "metric_set.solved_at",
            "created_at": "created_at",
            "updated_at": "updated_at",
        },
        ignores=("requester_id", "tags", "type", "satisfaction_rating"),
    ),
    Stream(
        "owners",
        primary_key="id",
        table="owners",
        object="users",
        fields={
            "owner_id": "id",
            "name": "name",
            "email": "email",
            "role": Constant("other"),
            "is_active": "active",
            "updated_at": "updated_at",
        },
        deletes="sweep",
    ),
    Stream(
        "ratings",
        primary_key="id",
        table="ratings",
        object="satisfaction_ratings",
        cursor="updated_at",
        lag=LAG,
        lookback=timedelta(minutes=10),
        fields={
            "rating_id": "id",
            "ticket_id": "ticket_id",
            "kind": Constant("csat"),
            "score": Field("score", values={"good": "1", "bad": "0"}),
            "score_min": Constant("0"),
            "score_max": Constant("1"),
            "comment": "comment",
            "rated_at": ("updated_at", "created_at"),
            "updated_at": "updated_at",
        },
        ignores=("requester_id", "assignee_id", "group_id", "reason"),
    ),
)


class Zendesk(HttpConnector):
    """Read organizations, tickets with their metrics, agents and satisfaction ratings."""

    class Settings(HttpSettings):
        """Set how to reach an account: an API token with its e-mail address, or an OAuth token."""

        email: str | None = None
        api_token: SecretStr | None = None
        oauth_token: SecretStr | None = None
        requests_per_minute: int = 400  # 200 to 2,500, by the account's plan

        @model_validator(mode="after")
        def _one_way_in(self) -> "Zendesk.Settings":
            if not self.oauth_token and not (self.email and self.api_token):
                raise ValueError("give email and api_token, or oauth_token")
            return self

    settings: Settings
    streams = STREAMS

    def auth(self) -> AuthBase:
        held = self.settings
        if held.oauth_token:
            return Bearer(held.oauth_token)
        return Basic(f"{held.email}/token", held.api_token or SecretStr(""))

    def limits(self) -> Sequence[Limit]:
        return (Limit(self.settings.requests_per_minute, 60),)

    def check(self) -> Check:
        user = self.http.get("api/v2/users/me.json").json().get("user") or {}
        if not user.get("id"):
            raise ReplyError(f"{self.name}: the secret opens no user; check settings.email and settings.api_token")
        notes = (
            ()
            if user.get("role") in ("admin", "agent")
            else (f"{self.name}: the user is neither agent nor admin: tickets may be hidden",)
        )
        return Check(urlsplit(self.settings.base_url).netloc + urlsplit(self.settings.base_url).path, self.now(), notes)

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        rows = self.http.get("api/v2/organization_fields.json").json()["organization_fields"]
        custom = [
            SourceField(f"organization_fields.{row['key']}", row["type"], row["title"], is_custom=True) for row in rows
        ]
        return {"accounts": custom}

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Read by the export that the stream has; it goes on to its own end, past the slice's, which loses nothing."""
        readers = {
            "organizations": self._organizations,
            "tickets": self._tickets,
            "users": self._agents,
            "satisfaction_ratings": self._ratings,
        }
        return readers[stream.object](stream, slice_, checkpoint or {})

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, Held]:
        """Read organizations by id, in batches of 100."""
        held = {}
        for some in chunks(list(record_ids), 100):
            answer = self.http.get("api/v2/organizations/show_many.json", {"ids": ",".join(some)}).json()
            for row in answer["organizations"]:
                values = {name: row["organization_fields"].get(name) for name in fields}
                held[str(row["id"])] = Held(str(row["id"]), values, row["updated_at"])
        return held

    def _tickets(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint) -> Iterator[Page]:
        cursor = checkpoint.get("cursor")
        while True:
            asked = {"cursor": cursor} if cursor else {"start_time": _epoch(slice_.start)}
            reply = self.http.get(
                "api/v2/incremental/tickets/cursor.json", asked | {"include": "metric_sets", "per_page": 1000}
            )
            head = _HEAD.decode(reply.body)
            rows = _with_metrics(cut(reply.body, "tickets"), head.metric_sets)
            if not head.end_of_stream and head.after_cursor in (None, cursor):
                raise ReplyError(f"{self.name} tickets: the export makes no progress after cursor {cursor}")
            cursor = head.after_cursor
            yield self.page(stream, rows, None if head.end_of_stream else {"cursor": cursor})
            if head.end_of_stream:
                return

    def _organizations(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint) -> Iterator[Page]:
        start = int(checkpoint.get("start_time", _epoch(slice_.start)))
        while True:
            reply = self.http.get("api/v2/incremental/organizations.json", {"start_time": start, "per_page": 1000})
            head = _HEAD.decode(reply.body)
            rows = [_with_deleted(row) for row in cut(reply.body, "organizations")]
            following = int(
                parse_qs(urlsplit(head.next_page or "").query).get("start_time", [head.end_time or start])[0]
            )
            if not head.end_of_stream and following <= start:
                raise ReplyError(f"{self.name} organizations: the export makes no progress after {start}")
            start = following
            yield self.page(stream, rows, None if head.end_of_stream else {"start_time": start})
            if head.end_of_stream:
                return

    def _agents(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint) -> Iterator[Page]:
        return self._cursored(stream, "users", [("role[]", "agent"), ("role[]", "admin")], checkpoint)

    def _ratings(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint) -> Iterator[Page]:
        asked: list[tuple[str, Any]] = [("score", "received"), ("start_time", _epoch(slice_.start))]
        return self._cursored(stream, "satisfaction_ratings", asked, checkpoint)

    def _cursored(
        self, stream: Stream, name: str, asked: list[tuple[str, Any]], checkpoint: Checkpoint
    ) -> Iterator[Page]:
        after = checkpoint.get("after")
        while True:
            params = [*asked, ("page[size]", 100), *([("page[after]", after)] if after else [])]
            reply = self.http.get(f"api/v2/{name}.json", params)
            meta = _HEAD.decode(reply.body).meta
            if meta.has_more and meta.after_cursor in (None, after):
                raise ReplyError(f"{self.name} {name}: paging makes no progress after {after}")
            after = meta.after_cursor
            yield self.page(stream, cut(reply.body, name), {"after": after} if meta.has_more else None)
            if not meta.has_more:
                return


class _Meta(msgspec.Struct):
    has_more: bool = False
    after_cursor: str | None = None


class _Head(msgspec.Struct):
    end_of_stream: bool = False
    after_cursor: str | None = None
    end_time: int | None = None
    next_page: str | None = None
    metric_sets: list[dict[str, Any]] = msgspec.field(default_factory=list)
    meta: _Meta = msgspec.field(default_factory=_Meta)


_HEAD = msgspec.json.Decoder(_Head)


def _with_metrics(rows: list[bytes], metric_sets: list[dict[str, Any]]) -> list[bytes]:
    """Put side-loaded metrics into their tickets; newer answers hold them there already."""
    if not metric_sets:
        return rows
    by_ticket = {metrics["ticket_id"]: metrics for metrics in metric_sets}
    tickets = [msgspec.json.decode(row) for row in rows]
    return [msgspec.json.encode(ticket | {"metric_set": by_ticket.get(ticket["id"])}) for ticket in tickets]


def _with_deleted(row: bytes) -> bytes:
    deleted = msgspec.json.decode(row).get("deleted_at") is not None
    return row.rstrip()[:-1] + b',"_is_deleted":' + (b"true" if deleted else b"false") + b"}"


def _epoch(moment: datetime | None) -> int:
    return int(moment.astimezone(UTC).timestamp()) if moment else 0
