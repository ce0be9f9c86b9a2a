"""Odoo, by its JSON-RPC external API (versions 14 to 19).

Source: Odoo's external API documentation. What its users found: `write_date` is the start of the transaction, so a
long one commits rows under an older stamp; over RPC it has whole seconds; all rows of one transaction share it; an
empty value is `false`; archived rows are hidden unless `active_test` is off; `write` moves the stamp even when nothing
changed; `write` and `create` are atomic a call.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import msgspec
from pydantic import Field, SecretStr

from connectors.kit.base import Change, Check, ConnectorSettings, Outcome, SourceField, TargetRecord, Writing
from connectors.kit.errors import ReplyError, SettingsError
from connectors.kit.http.client import Http
from connectors.kit.http_connector import HttpConnector, HttpSettings
from connectors.kit.rate_limit.limiter import Limit
from connectors.kit.raw_rows import Page
from connectors.kit.repair import Repairs
from connectors.kit.stream import Checkpoint, Slice, Stream
from connectors.odoo.record_names import Names
from connectors.odoo.records import RecordReader
from connectors.odoo.rpc import Rpc, RpcError
from connectors.odoo.streams import DOMAINS, LOOKED_UP, STREAMS
from connectors.odoo.values import stamp
from connectors.odoo.virtual_fields import TASKS, Virtual, number_of, virtual_fields
from connectors.odoo.writer import BATCH, Writer
from schemas.mapping import paths

CUSTOM = "x_"
REQUEST = timedelta(minutes=2)  # a worker is killed that takes longer over a request (limit_time_real)


class Odoo(HttpConnector):
    """Read partners, leads, orders, invoices, payments, activities and users; write them, and tasks as activities."""

    class Settings(HttpSettings):
        """Set how to reach a database.

        `max_transaction_minutes` is how long a transaction may run there: what it commits may be stamped so much
        earlier. `company_ids` limits what is read to some companies; null is the login's own choice.
        """

        database: str
        login: str
        api_key: SecretStr
        company_ids: list[int] | None = None
        page_size: int = Field(500, ge=1, le=5000)
        max_transaction_minutes: float = Field(5, ge=0)
        requests_per_second: int = Field(20, ge=1)

    settings: Settings
    streams: tuple[Stream, ...] = STREAMS
    targets = (TASKS,)
    keys_page_size = 5000  # ids in one response when all are listed to find deletions
    writing = Writing(
        batch=BATCH,
        parallel=2,  # a server has few workers, and people wait for the same ones
        zero_means_null=True,  # a number that was never set reads 0 here: the two cannot be told apart
    )

    def __init__(self, name: str, settings: ConnectorSettings, http: Http | None = None) -> None:
        super().__init__(name, settings, http)
        lag = timedelta(minutes=self.settings.max_transaction_minutes)
        self.streams = tuple(replace(stream, lag=lag) for stream in STREAMS)
        configured = self.settings
        self._rpc = Rpc(name, self.http, configured.database, configured.login, configured.api_key)
        self._described: dict[str, dict[str, Any]] = {}
        self._writable: dict[str, dict[str, SourceField]] = {}
        self._describing = Lock()
        self._virtual, names = Virtual(self._search), Names(self._search)
        self._record_reader = RecordReader(self._search, self._search_live, self._virtual, names)
        self._writer = Writer(self._rpc, self._virtual, names, self._context)
        self.writing = replace(self.writing, write_timeout=lag + REQUEST)

    def limits(self) -> Sequence[Limit]:
        return (Limit(self.settings.requests_per_second, 1),)

    def check(self) -> Check:
        notes = [f"Odoo {self._rpc.version()}"]
        self._rpc.log_in()
        account = self.account()
        self._check_companies()
        self._described.clear()
        self._writable.clear()
        for stream in self.streams:
            self._fields(stream.object)
        return Check(account, self.now(), tuple(notes))

    def account(self) -> str:
        """Name the database that lets the login in."""
        self._rpc.user()
        return f"{self.settings.database}/{urlsplit(self.settings.base_url).hostname}"

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        return {stream.name: tuple(self._offered(stream)) for stream in self.streams}

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Page by ascending id inside a fixed window of `write_date`: safe on every version, whatever is edited."""
        last, size = int((checkpoint or {}).get("last_id", 0)), self.settings.page_size
        total = self.count(stream, slice_) if checkpoint is None else None
        while True:
            domain = [*self._window(stream, slice_), ["id", ">", last]]
            columns, repairs = self._columns(stream), Repairs()
            rows = self._call_model(stream, "search_read", domain, repairs, fields=columns, limit=size, order="id")
            more = len(rows) >= size
            last = self._moved(stream, last, [row["id"] for row in rows if _is_record(row)], more)
            next_checkpoint = {"last_id": last} if more else None
            yield self.page(stream, self._payloads(stream, rows), next_checkpoint, total, repairs=repairs)
            total = None
            if not more:
                return

    def count(self, stream: Stream, slice_: Slice) -> int:
        """Ask for the number of records of a slice."""
        return int(self._call_model(stream, "search_count", self._window(stream, slice_)))

    def keys(self, stream: Stream) -> Iterator[Sequence[str]]:
        """List every id, archived ones too: what is missing was deleted."""
        last = 0
        while True:
            domain = [*DOMAINS.get(stream.object, []), ["id", ">", last]]
            ids = self._call_model(stream, "search", domain, limit=self.keys_page_size, order="id")
            more = len(ids) >= self.keys_page_size
            last = self._moved(stream, last, ids, more)
            yield [str(number) for number in ids]
            if not more:
                return

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        """Read records by id; those that are no more are not there."""
        numbers = [int(number) for number in record_ids if number.isdecimal()]
        return self._record_reader.fetch(stream.object, numbers, fields, self.writable(stream))

    def find(
        self, stream: Stream, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[TargetRecord]]:
        """Find live records by a field, or by external id whatever became of them."""
        within = DOMAINS.get(stream.object, [])
        return self._record_reader.find(stream.object, field, values, fields, self.writable(stream), within)

    def current_record(self, stream: Stream, payload: bytes, fields: Sequence[str]) -> TargetRecord | None:
        """Tell from a record as it was extracted what `fetch` would answer."""
        return self._record_reader.current_record(stream.object, payload, fields, self.writable(stream))

    def writable(self, stream: Stream) -> Mapping[str, SourceField]:
        """Describe the fields of a stream's model, and those that are written as something else."""
        if stream.object not in self._writable:
            self._writable[stream.object] = self._real(stream) | virtual_fields(stream.object)
        return self._writable[stream.object]

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]:
        """Write equal values in one call each; a call that is refused is halved until the bad record stands alone."""
        return self._writer.write(stream.object, changes, self.writable(stream))

    def _real(self, stream: Stream) -> dict[str, SourceField]:
        return {
            name: SourceField(
                name,
                description["type"],
                description["string"],
                is_custom=name.startswith(CUSTOM),
                is_writable=not description["readonly"],
            )
            for name, description in self._fields(stream.object).items()
        }

    def _call_model(
        self, stream: Stream, method: str, domain: list[Any], repairs: Repairs | None = None, **options: Any
    ) -> Any:
        options["context"] = self._context()
        rows = self._rpc.execute(stream.object, method, [domain], options, repairs=repairs)
        if not isinstance(rows, int if method == "search_count" else list):
            raise ReplyError(f"{self.name} {stream.name}: the response of {method} does not have the documented form")
        return rows

    def _moved(self, stream: Stream, last: int, ids: Sequence[Any], more: bool) -> int:
        """Tell the last id of a page; raises ReplyError where going on behind it would skip or repeat records."""
        if not all(isinstance(number, int) for number in ids) or (ids[-1] <= last if ids else more):
            raise ReplyError(f"{self.name} {stream.name}: paging makes no progress after id {last}")
        return int(ids[-1]) if ids else last

    def _offered(self, stream: Stream) -> Iterator[SourceField]:
        """Name each field as the map reads it: of a relation, which is [id, name], one of its parts."""
        for name, description in self._real(stream).items():
            read = [path for path in paths(stream.fields) if path.split(".")[0] == name]
            for path in read or [f"{name}.0" if description.type.endswith(("2one", "2many")) else name]:
                yield replace(description, path=path)

    def _window(self, stream: Stream, slice_: Slice) -> list[Any]:
        """Ask for a window of whole seconds; rows that never got a stamp belong to the first one."""
        window: list[Any] = list(DOMAINS.get(stream.object, []))
        if slice_.start:
            window.append(["write_date", ">=", stamp(slice_.start)])
        elif slice_.end:
            window += ["|", ["write_date", "=", False]]
        return window + ([["write_date", "<", stamp(slice_.end)]] if slice_.end else [])

    def _columns(self, stream: Stream) -> list[str]:
        """List what to read: what is mapped and there, and custom fields, so that one mapped later has been read."""
        described = self._fields(stream.object)
        custom = [name for name, description in described.items() if _is_read(name, description)]
        wanted = dict.fromkeys([*_mapped(stream), LOOKED_UP.get(stream.object, "id"), "write_date", *sorted(custom)])
        return [name for name in wanted if name in described and name != "id"]

    def _payloads(self, stream: Stream, rows: list[Any]) -> list[bytes]:
        """Add what a record only names: the country's code, the account behind a contact, the place delivered to."""
        named, records = LOOKED_UP.get(stream.object), [row for row in rows if isinstance(row, dict)]
        if stream.object == "res.partner":
            for row in records:
                row["_country_code"] = self._virtual.country(number_of(row.get("country_id")))
        elif named:
            partners = self._partners({number_of(row.get(named)) for row in records})
            for row in records:
                partner = partners.get(number_of(row.get(named)), {})
                if stream.object == "account.move":
                    row["_ship_to_country"] = self._virtual.country(number_of(partner.get("country_id")))
                else:
                    row["_account_id"] = number_of(partner.get("commercial_partner_id"))
        return [msgspec.json.encode(row) for row in rows]

    def _partners(self, ids: Iterable[int | None]) -> dict[int | None, dict[str, Any]]:
        wanted = sorted(number for number in ids if number)
        options = {"fields": ["commercial_partner_id", "country_id"], "context": self._context()}
        domain = [["id", "in", wanted]]
        rows = self._looked_up("res.partner", "search_read", [domain], options) if wanted else []
        return {row["id"]: row for row in rows}

    def _search(self, model: str, domain: list[Any], fields: Sequence[str]) -> list[dict[str, Any]]:
        return self._looked_up(model, "search_read", [domain], {"fields": [*fields], "context": self._context()})

    def _search_live(self, model: str, domain: list[Any], fields: Sequence[str]) -> list[dict[str, Any]]:
        context = self._context() | {"active_test": True}
        return self._looked_up(model, "search_read", [domain], {"fields": [*fields], "context": context})

    def _looked_up(self, model: str, method: str, args: list[Any], options: dict[str, Any]) -> list[dict[str, Any]]:
        rows = self._rpc.execute(model, method, args, options)
        if not isinstance(rows, list) or not all(map(_is_record, rows)):
            raise ReplyError(f"{self.name}: the response of {method} of {model} does not have the documented form")
        return rows

    def _context(self) -> dict[str, Any]:
        companies = self.settings.company_ids
        return {"active_test": False} | ({"allowed_company_ids": companies} if companies else {})

    def _fields(self, model: str) -> dict[str, Any]:
        with self._describing:
            if model not in self._described:
                self._described[model] = self._described_fields(model)
            return self._described[model]

    def _described_fields(self, model: str) -> dict[str, Any]:
        options = {"attributes": ["type", "string", "readonly", "relation", "store"]}
        try:
            described = self._rpc.execute(model, "fields_get", [], options)
        except RpcError as error:
            streams = ", ".join(stream.name for stream in self.streams if stream.object == model)
            raise SettingsError(f"{error}; install its module, or leave {streams} out of `streams`") from None
        if not isinstance(described, dict) or not all(map(_is_described, described.values())):
            raise ReplyError(f"{self.name}: the response of fields_get of {model} does not have the documented form")
        return described

    def _check_companies(self) -> None:
        if configured := self.settings.company_ids:
            users = self._looked_up("res.users", "read", [[self._rpc.user()], ["company_ids"]], {})
            theirs = [number for user in users for number in user.get("company_ids") or ()]
            if strange := sorted({*configured} - {*theirs}):
                allowed = ", ".join(map(str, theirs))
                raise SettingsError(
                    f"{self.name}: the login has no access to company_ids {strange}; choices: {allowed}"
                )


def _mapped(stream: Stream) -> list[str]:
    """List the fields that a stream's map reads, without those that the connector adds."""
    return [*dict.fromkeys(path.split(".")[0] for path in paths(stream.fields) if not path.startswith("_"))]


def _is_record(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), int)


def _is_described(description: Any) -> bool:
    return (
        isinstance(description, dict)
        and isinstance(description.get("type"), str)
        and {"string", "readonly"} <= description.keys()
    )


def _is_read(name: str, described: Mapping[str, Any]) -> bool:
    """Take custom fields along that are stored values: files are large, and the server works the others out."""
    return name.startswith(CUSTOM) and described["type"] != "binary" and bool(described.get("store", True))
