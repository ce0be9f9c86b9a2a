"""HubSpot CRM.

Source: HubSpot's public OpenAPI collection (CRM objects, search, batch, associations v4, owners, properties), its
usage guidelines and its developer changelog. What its users found: search stops at 10,000 results and lags writes
by seconds; associations move no stamp; a batch answers 207 while single records failed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from threading import Lock

from pydantic import Field, SecretStr
from requests.auth import AuthBase

from connectors.hubspot.batch import Batch
from connectors.hubspot.records import RecordReader, record_in_payload
from connectors.hubspot.responses import (
    AccountDetails,
    Listed,
    Properties,
    id_of,
    parsed,
    spliced,
    with_team,
)
from connectors.hubspot.streams import ASSOCIATED, PREFIX, STREAMS, TITLE, mapped_properties
from connectors.hubspot.tasks import COMPANY, FIELD, TASKS, TaskWriter
from connectors.hubspot.values import as_millis
from connectors.hubspot.writer import BATCH, Writer
from connectors.kit.base import Change, Check, ConnectorSettings, Outcome, SourceField, TargetRecord, Writing
from connectors.kit.errors import AccessError, ReplyError
from connectors.kit.http.auth import Bearer
from connectors.kit.http.client import Http
from connectors.kit.http.loop_guard import PaginationGuard
from connectors.kit.http.response import Reply
from connectors.kit.http_connector import HttpConnector, HttpSettings
from connectors.kit.rate_limit.limiter import Limit, RateHeader
from connectors.kit.raw_rows import Page
from connectors.kit.repair import Repairs
from connectors.kit.stream import Checkpoint, Slice, Stream

TEN_SECONDS, DAY = 10, 86_400
ROOM = 15_000  # characters of names in an address: beyond some 16,300 it is refused
ENVELOPE = ("id", "createdAt", "updatedAt", "archived", "archivedAt", "url")


class HubSpot(HttpConnector):
    """Read companies, deals, tickets, engagements and owners; write company properties.

    A company that was merged away vanishes; its winner names it in `hs_merged_object_ids`, which feeds
    `merged_ids`, so that there is nothing more to do for merges here. A new association alone moves no stamp:
    it is seen when its record changes, or when the stream is read anew.
    """

    class Settings(HttpSettings):
        """Set how to reach a portal; `portal_id` pins it, so that another one is refused.

        `api_version` is a dated version of the API ("2026-03"); v3, with associations v4, when not given.
        """

        base_url: str = "https://api.hubapi.com"
        token: SecretStr
        portal_id: int | None = None
        api_version: str | None = Field(None, pattern=r"^20\d\d-\d\d$")
        requests_per_10_seconds: int = Field(100, gt=0)  # 100, 190 or 250, by the account's plan
        requests_per_day: int = Field(250_000, gt=0)  # 250,000, 625,000 or 1,000,000; a tenth is kept for write-back
        searches_per_second: float = Field(4, gt=0)

    settings: Settings
    streams = STREAMS
    targets = (TASKS,)
    list_page_size = 100  # the most that HubSpot accepts
    search_page_size = 200  # the most that HubSpot accepts
    writing = Writing(
        batch=BATCH,
        parallel=4,  # some 100 ms a batch: 40 a second at most, within 100 in ten seconds where others work too
        write_timeout=timedelta(
            minutes=5
        ),  # a 502 or 504 may have been taken: nobody documents for how long it goes on
    )
    rate_headers = (
        RateHeader("X-HubSpot-RateLimit-Remaining", TEN_SECONDS, "X-HubSpot-RateLimit-Max"),
        RateHeader("X-HubSpot-RateLimit-Daily-Remaining", DAY, "X-HubSpot-RateLimit-Daily"),
    )

    def __init__(self, name: str, settings: ConnectorSettings, http: Http | None = None) -> None:
        super().__init__(name, settings, http)
        self._described: dict[str, dict[str, SourceField]] = {}
        self._describing = Lock()
        self._batch = Batch(name, self.http, self._path, self.search_page_size)
        self._as_records, self._writer = RecordReader(self._batch), Writer(name, self.http, self._path)
        self._tasks = TaskWriter(self._writer)

    def auth(self) -> AuthBase:
        return Bearer(self.settings.token)

    def limits(self) -> Sequence[Limit]:
        settings = self.settings
        return (
            Limit(settings.requests_per_10_seconds, TEN_SECONDS),
            Limit(settings.requests_per_day, DAY, reserve=0.1),
            Limit(1, 1 / settings.searches_per_second, "search"),
        )

    def check(self) -> Check:
        """Find the portal, and the properties of every object that is read; custom ones come with it from now on."""
        account = self.account()
        self._described.clear()
        return Check(account, self.now(), tuple(self._left_out()))

    def account(self) -> str:
        """Find the portal; raises AccessError where it is not the one of the settings."""
        body = self.http.get(f"account-info/{self.settings.api_version or 'v3'}/details").body
        account = parsed(AccountDetails, body, f"{self.name}: account").portalId
        if self.settings.portal_id not in (None, account):
            pinned = self.settings.portal_id
            raise AccessError(
                f"{self.name}: the token belongs to portal {account}, but settings.portal_id is {pinned}: "
                "use the other portal's token or correct portal_id"
            )
        return str(account)

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        """List the properties of each object, and what every record holds beside them; owners are not described."""
        envelope = tuple(SourceField(path, "", is_writable=False) for path in ENVELOPE)
        return {
            stream.name: (*envelope, *self._fields(stream).values()) if stream.has_schema_api else ()
            for stream in self.streams
        }

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Read all by list, what changed by search: pages by ascending id, so that nothing is skipped or repeated.

        A list has no upper bound: what changed after the slice's end comes once more with the next slice.
        """
        if stream.object == "owners":
            return self._owners(stream, checkpoint or {})
        if slice_.start is None:
            return self._listed(stream, slice_, checkpoint or {})
        return self._searched(stream, slice_, checkpoint or {})

    def count(self, stream: Stream, slice_: Slice) -> int | None:
        """Ask search for its total; it counts live records only, lags by seconds, and knows no owners."""
        if stream.cursor is None:
            return None
        total = self._search(stream, slice_, "0", 1, Repairs()).total
        if total is None:
            raise ReplyError(f"{self.name} {stream.name}: the search response has no total")
        return total

    def deletes(self, stream: Stream, slice_: Slice) -> Iterator[Page]:
        """List all archived records, whatever the slice.

        HubSpot offers no filter here, and `archivedAt` is none: of contacts it tells the last change, not the
        deletion (developer changelog, "new definition for archivedAt"). So a deletion that one run could not land
        is seen by the next.
        """
        for rows, _, repairs in self._pages(stream, self._path("objects", stream.object), "", archived=True):
            if rows:
                yield self.page(stream, rows, None, deleted=True, repairs=repairs)

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        """Read records by id, in batches of 100; archived ones are not there."""
        return self._as_records.fetch(stream.object, record_ids, fields, self.writable(stream))

    def find(
        self, stream: Stream, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[TargetRecord]]:
        """Find live records by a property: at once where it is unique, else by search, which lags by seconds."""
        return self._as_records.find(stream.object, field, values, fields, self.writable(stream))

    def current_record(self, stream: Stream, payload: bytes, fields: Sequence[str]) -> TargetRecord | None:
        """Tell from a record as it was extracted what `fetch` would answer."""
        return record_in_payload(payload, fields, self.writable(stream))

    def writable(self, stream: Stream) -> Mapping[str, SourceField]:
        """Describe the properties of a stream's object by their own names; a task has its company beside them."""
        own = self._fields(stream)
        return own | {COMPANY: FIELD} if stream.object == "tasks" else own

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]:
        """Write changes in batches, and answer an outcome for each."""
        if stream.object == "tasks":
            return self._tasks.write(changes, self.writable(stream))
        return self._writer.write(stream.object, changes, self.writable(stream))

    def _listed(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint) -> Iterator[Page]:
        total = None if checkpoint else self.count(stream, slice_)
        path = self._path("objects", stream.object)
        for rows, after, repairs in self._pages(stream, path, checkpoint.get("after", "")):
            yield self._page(stream, rows, {"after": after} if after else None, total, repairs)
            total = None

    def _pages(
        self, stream: Stream, path: str, after: str | None, *, archived: bool = False
    ) -> Iterator[tuple[Sequence[bytes], str | None, Repairs]]:
        params = {"limit": self.list_page_size, "archived": str(archived).lower()}
        if names := self._properties(stream):
            params["properties"] = ",".join(names)
        trail = PaginationGuard(f"{self.name} {stream.name}", after)
        while after is not None:
            repairs = Repairs()
            listed = self._decoded(stream, self.http.get(path, params | ({"after": after} if after else {})), repairs)
            after = trail.on(listed.after)
            yield listed.results, after, repairs

    def _searched(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint) -> Iterator[Page]:
        """Go on behind the last id, never by HubSpot's own paging, which ends at 10,000 results."""
        last: str | None = checkpoint.get("last_id", "0")
        while last is not None:
            repairs = Repairs()
            listed = self._search(stream, slice_, last, self.search_page_size, repairs)
            rows, total = listed.results, listed.total if last == "0" else None
            more = listed.after is not None or len(rows) == self.search_page_size
            last = self._last(stream, rows, last) if more else None
            yield self._page(stream, rows, {"last_id": last} if last else None, total, repairs)

    def _last(self, stream: Stream, rows: Sequence[bytes], last: str) -> str:
        """Tell the page's last id; raises ReplyError where going on behind it would skip or repeat records."""
        ids = [int(last), *(int(number) for row in rows if (number := id_of(row)))]
        if len(ids) == 1 or any(earlier >= later for earlier, later in pairwise(ids)):
            raise ReplyError(f"{self.name} {stream.name}: the search makes no progress by id after {last}")
        return str(ids[-1])

    def _search(self, stream: Stream, slice_: Slice, last: str, limit: int, repairs: Repairs) -> Listed:
        """Search; all five members are required, every value is a text (OpenAPI file)."""
        stamp = (stream.cursor or "").removeprefix(PREFIX)
        filters = [{"propertyName": "hs_object_id", "operator": "GT", "value": last}]
        bounds = (("GTE", slice_.start), ("LT", slice_.end))
        filters += [{"propertyName": stamp, "operator": sign, "value": as_millis(at)} for sign, at in bounds if at]
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": ["hs_object_id"],
            "properties": self._properties(stream),
            "limit": limit,
            "after": "0",
        }
        path = self._path("objects", f"{stream.object}/search")
        return self._decoded(stream, self.http.post(path, json=body, scope="search"), repairs)

    def _owners(self, stream: Stream, checkpoint: Checkpoint) -> Iterator[Page]:
        """List those who are there, then those who left: old deals still name them."""
        after, path = checkpoint.get("after", ""), self._path("owners")
        for archived in (True,) if checkpoint.get("archived") else (False, True):
            for rows, following, repairs in self._pages(stream, path, after, archived=archived):
                next_checkpoint = (
                    {"archived": archived, "after": following} if following else {"archived": True, "after": ""}
                )
                is_end = archived and following is None
                named = [with_team(row) for row in rows]
                yield self.page(stream, named, None if is_end else next_checkpoint, repairs=repairs)
            after = ""

    def _page(
        self,
        stream: Stream,
        rows: Sequence[bytes],
        checkpoint: Checkpoint | None,
        total: int | None,
        repairs: Repairs,
    ) -> Page:
        """Make a page, each record with the ids of the company and the contact that it belongs to."""
        kinds, titled = ASSOCIATED.get(stream.object, {}), TITLE in stream.paths
        if not kinds and not titled:
            return self.page(stream, rows, checkpoint, total, repairs=repairs)
        ids = [id_of(row) for row in rows]
        present = [number for number in ids if number]
        links = {
            f"_{kind}_id": self._batch.associated(stream.object, plural, present) for plural, kind in kinds.items()
        }
        members: dict[str, Mapping[str, str | None]] = {**links}
        if titled:
            members[TITLE] = self._batch.titles(links.get("_contact_id", {}), repairs)
        full = [
            spliced(row, {name: values.get(number) for name, values in members.items()}) if number else row
            for number, row in zip(ids, rows, strict=True)
        ]
        return self.page(stream, full, checkpoint, total, repairs=repairs)

    def _fields(self, stream: Stream) -> dict[str, SourceField]:
        """Describe a stream's properties, by their own names; asked for once."""
        if stream.object == "owners":
            return {}
        with self._describing:
            if stream.object not in self._described:
                self._described[stream.object] = self._described_properties(stream)
            return self._described[stream.object]

    def _described_properties(self, stream: Stream) -> dict[str, SourceField]:
        path = self._path("properties", stream.object)
        try:
            answer = parsed(Properties, self.http.get(path).body, f"{self.name}: {path}")
        except AccessError as error:
            raise AccessError(
                f"{error}; if this portal has no {stream.object}, leave {stream.name} out of `streams`"
            ) from None
        return {
            row.name: SourceField(
                f"{PREFIX}{row.name}",
                row.type,
                row.label or "",
                is_custom=not row.hubspotDefined,
                is_writable=row.is_writable,
                is_unique=bool(row.hasUniqueValue),
            )
            for row in answer.results
        }

    def _properties(self, stream: Stream) -> list[str]:
        """Name the properties to ask for, for only those come back: what is mapped, then what is custom.

        Custom ones are known once `check` has asked for them; so one that is mapped later has been read before.
        """
        return list(_fitting([*mapped_properties(stream), *self._custom(stream)]))

    def _custom(self, stream: Stream) -> list[str]:
        described, mapped = self._described.get(stream.object, {}), set(mapped_properties(stream))
        return sorted(name for name, field in described.items() if field.is_custom and name not in mapped)

    def _left_out(self) -> Iterator[str]:
        """Ask for the properties of every object; note which custom ones an address has no room for."""
        for stream in self.streams:
            self._fields(stream)
            requested = set(self._properties(stream))
            if unread := [name for name in self._custom(stream) if name not in requested]:
                yield (
                    f"{self.name}: {len(unread)} custom properties of {stream.object} are read only if mapped, "
                    f"because the request URL would be too long: {', '.join(unread[:5])}{', ...' if unread[5:] else ''}"
                )

    def _decoded(self, stream: Stream, reply: Reply, repairs: Repairs) -> Listed:
        return parsed(Listed, reply.body, f"{self.name} {stream.name}", repairs)

    def _path(self, area: str, rest: str = "", classic: str = "v3") -> str:
        version = self.settings.api_version
        root = f"crm/{area}/{version}" if version else f"crm/{classic}/{area}"
        return f"{root}/{rest}" if rest else root


def _fitting(names: Sequence[str]) -> Iterator[str]:
    """Keep as many names as fit into an address."""
    room = ROOM
    for name in names:
        room -= len(name) + len("%2C")
        if room < 0:
            return
        yield name
