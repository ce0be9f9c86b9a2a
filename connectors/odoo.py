"""Odoo, by its JSON-RPC external API (versions 14 to 19).

Source: Odoo's external API documentation. What its users found: `write_date` is the start of the transaction, so a
long one commits rows under an older stamp; over RPC it has whole seconds; all rows of one transaction share it; an
empty value is `false`; archived rows are hidden unless `active_test` is off; `write` moves the stamp even when nothing
changed; `write` and `create` are atomic a call.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import msgspec
from pydantic import SecretStr

from connectors._odoo_streams import DOMAINS, OPTIONAL, STREAMS
from connectors.kit.base import (
    Change,
    Check,
    Checkpoint,
    ConnectorSettings,
    Held,
    Outcome,
    Page,
    Slice,
    SourceField,
    Stream,
)
from connectors.kit.budget import Limit
from connectors.kit.connector import HttpConnector, HttpSettings
from connectors.kit.errors import (
    AccessError,
    BusyError,
    ConnectorError,
    ReplyError,
    SettingsError,
    UnknownOutcome,
    choices,
)
from connectors.kit.http import Http
from connectors.kit.write import halves
from schemas.mapping import paths

ALL = {"active_test": False}
LOCKED = ("serializ", "deadlock", "lock timeout", "OperationalError")


class RpcError(ReplyError):
    """The server answered with an error; `name` is its class there."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class Odoo(HttpConnector):
    """Read partners, leads, orders, invoices, payments, activities and users; write partner fields."""

    class Settings(HttpSettings):
        """Set how to reach a database. `max_transaction_minutes` is how long a transaction may run there."""

        database: str
        login: str
        api_key: SecretStr
        company_ids: list[int] | None = None
        page_size: int = 500
        max_transaction_minutes: float = 5
        requests_per_second: int = 20

    settings: Settings
    streams = STREAMS
    max_batch = 100
    upsert_key = None
    zero_is_empty = True  # a number that was never set reads 0 here: the two cannot be told apart

    def __init__(self, name: str, settings: ConnectorSettings, http: Http | None = None) -> None:
        super().__init__(name, settings, http)
        lag = timedelta(minutes=self.settings.max_transaction_minutes)
        self.streams = tuple(replace(stream, lag=lag) for stream in STREAMS)
        self._uid: int | None = None
        self._described: dict[str, dict[str, Any]] = {}
        self._countries: dict[int, str] = {}

    def limits(self) -> Sequence[Limit]:
        return (Limit(self.settings.requests_per_second, 1),)

    def check(self) -> Check:
        version = self._call("common", "version", [])["server_version"]
        self._uid = None
        self._login()
        return Check(self.settings.database, self.now(), (f"Odoo {version}", *self._missing_fields()))

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        return {stream.name: tuple(self.writable(stream).values()) for stream in self.streams}

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Page by ascending id inside a fixed window of `write_date`: safe on every version, whatever is edited."""
        last = int((checkpoint or {}).get("last_id", 0))
        total = self.count(stream, slice_) if checkpoint is None else None
        while True:
            domain = [*self._window(stream, slice_), ["id", ">", last]]
            options = {
                "fields": self._columns(stream),
                "limit": self.settings.page_size,
                "order": "id",
                "context": self._context(),
            }
            rows = self._execute(stream.object, "search_read", [domain], options)
            if rows and rows[-1]["id"] <= last:
                raise ReplyError(f"{self.name} {stream.name}: paging makes no progress after id {last}")
            more = len(rows) == self.settings.page_size
            last = rows[-1]["id"] if rows else last
            yield self.page(stream, self._records(stream, rows), {"last_id": last} if more else None, total)
            total = None
            if not more:
                return

    def count(self, stream: Stream, slice_: Slice) -> int:
        """Ask for the number of records of a slice."""
        return int(
            self._execute(stream.object, "search_count", [self._window(stream, slice_)], {"context": self._context()})
        )

    def keys(self, stream: Stream) -> Iterator[Sequence[str]]:
        """List every id, archived ones too: what is missing was deleted."""
        last, size = 0, 5000
        while True:
            domain = [*DOMAINS.get(stream.object, []), ["id", ">", last]]
            ids = self._execute(
                stream.object, "search", [domain], {"limit": size, "order": "id", "context": self._context()}
            )
            yield [str(number) for number in ids]
            if len(ids) < size:
                return
            last = ids[-1]

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, Held]:
        """Read records by id; those that are no more are not there."""
        domain = [["id", "in", [int(number) for number in record_ids]]]
        options = {"fields": [*fields, "write_date"], "context": self._context()}
        rows = self._execute(stream.object, "search_read", [domain], options)
        return {
            str(row["id"]): Held(str(row["id"]), {name: _value(row[name]) for name in fields}, str(row["write_date"]))
            for row in rows
        }

    def writable(self, stream: Stream) -> Mapping[str, SourceField]:
        """Describe the fields of a stream's model."""
        return {
            name: SourceField(
                name,
                held["type"],
                held["string"],
                is_custom=name.startswith("x_"),
                is_writable=not held["readonly"],
            )
            for name, held in self._fields(stream.object).items()
        }

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]:
        """Write equal values in one call each; a call that is refused is halved until the bad record stands alone."""
        outcomes: list[Outcome] = []
        ordered = sorted(changes, key=lambda change: (change.action, msgspec.json.encode(change.after, order="sorted")))
        for _, some in groupby(
            ordered, key=lambda change: (change.action, msgspec.json.encode(change.after, order="sorted"))
        ):
            outcomes += self._write_equal(stream, list(some))
        return outcomes

    def _write_equal(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]:
        if changes[0].action != "update":
            return [
                Outcome(change.op_id, "rejected", message="Odoo has no upsert key: creates are refused")
                for change in changes
            ]
        ids = [int(change.record_id or 0) for change in changes]
        values = {name: False if value is None else value for name, value in changes[0].after.items()}
        try:
            self._execute(stream.object, "write", [ids, values], {"context": self._context()}, writes=True)
        except UnknownOutcome as error:
            return [Outcome(change.op_id, "unknown", change.record_id, message=str(error)) for change in changes]
        except BusyError as error:
            return [Outcome(change.op_id, "retry", change.record_id, message=str(error)) for change in changes]
        except RpcError as error:
            if len(changes) == 1:
                return [Outcome(changes[0].op_id, "rejected", changes[0].record_id, message=str(error))]
            return [outcome for half in halves(changes) for outcome in self._write_equal(stream, half)]
        return [Outcome(change.op_id, "applied", change.record_id) for change in changes]

    def _window(self, stream: Stream, slice_: Slice) -> list[Any]:
        window: list[Any] = list(DOMAINS.get(stream.object, []))
        window += [["write_date", ">=", _stamp(slice_.start)]] if slice_.start else []
        return window + ([["write_date", "<", _stamp(slice_.end)]] if slice_.end else [])

    def _columns(self, stream: Stream) -> list[str]:
        known = self._fields(stream.object)
        wanted = dict.fromkeys(path.split(".")[0] for path in paths(stream.fields) if not path.startswith("_"))
        wanted |= {"country_id": None} if stream.object == "res.partner" else {}
        return [name for name in [*wanted, "write_date"] if name in known and name != "id"]

    def _records(self, stream: Stream, rows: list[dict[str, Any]]) -> list[bytes]:
        if stream.object == "res.partner":
            for row in rows:
                row["_country_code"] = self._country(row.get("country_id"))
        if stream.object == "account.move" and rows:
            places = self._ship_to([row["partner_shipping_id"][0] for row in rows if row.get("partner_shipping_id")])
            for row in rows:
                row["_ship_to_country"] = places.get((row.get("partner_shipping_id") or [0])[0])
        return [msgspec.json.encode(row) for row in rows]

    def _country(self, country: Any) -> str | None:
        if not country:
            return None
        if not self._countries:
            rows = self._execute("res.country", "search_read", [[]], {"fields": ["code"]})
            self._countries = {row["id"]: row["code"] for row in rows}
        return self._countries.get(country[0])

    def _ship_to(self, partners: list[int]) -> dict[int, str | None]:
        domain = [["id", "in", sorted(set(partners))]]
        rows = self._execute(
            "res.partner", "search_read", [domain], {"fields": ["country_id"], "context": self._context()}
        )
        return {row["id"]: self._country(row["country_id"]) for row in rows}

    def _context(self) -> dict[str, Any]:
        return ALL | ({"allowed_company_ids": self.settings.company_ids} if self.settings.company_ids else {})

    def _fields(self, model: str) -> dict[str, Any]:
        if model not in self._described:
            options = {"attributes": ["type", "string", "readonly", "relation"]}
            self._described[model] = self._execute(model, "fields_get", [], options)
        return self._described[model]

    def _missing_fields(self) -> Iterator[str]:
        for stream in self.streams:
            known = self._fields(stream.object)
            for name in dict.fromkeys(path.split(".")[0] for path in paths(stream.fields)):
                if name in known or name.startswith("_"):
                    continue
                said = f"{self.name}: {stream.object} has no field {name!r}"
                if name not in OPTIONAL:
                    raise SettingsError(f"{said}, which fields.{stream.name} maps; {choices(name, known)}")
                yield f"{said}: what it feeds stays empty"

    def _login(self) -> int:
        if self._uid is None:
            held = self.settings
            uid = self._call("common", "authenticate", [held.database, held.login, held.api_key.get_secret_value(), {}])
            if not uid:
                raise AccessError(
                    f"{self.name}: login {held.login!r} or its key was refused; check settings.login and settings.api_key"
                )
            self._uid = int(uid)
        return self._uid

    def _execute(
        self, model: str, method: str, args: list[Any], options: dict[str, Any], *, writes: bool = False
    ) -> Any:
        held = self.settings
        call = [held.database, self._login(), held.api_key.get_secret_value(), model, method, args, options]
        return self._call("object", "execute_kw", call, writes=writes)

    def _call(self, service: str, method: str, args: list[Any], *, writes: bool = False) -> Any:
        body = {
            "jsonrpc": "2.0",
            "method": "call",
            "id": 1,
            "params": {"service": service, "method": method, "args": args},
        }
        answer = self.http.post("jsonrpc", json=body, writes=writes).json()
        if "error" in answer:
            raise self._error(answer["error"])
        if "result" not in answer:
            raise ReplyError(f"{self.name}: an answer has neither result nor error")
        return answer["result"]

    def _error(self, error: Mapping[str, Any]) -> ConnectorError:
        data = error.get("data", {})
        name, said = (
            str(data.get("name", "")),
            str(data.get("message") or error.get("message", "")).split("\n")[0],
        )
        if name.endswith(("AccessDenied", "AccessError")):
            return AccessError(f"{self.name}: {said}; check settings.login and settings.api_key")
        if any(word in name or word in said for word in LOCKED):
            return BusyError(f"{self.name}: {said}")
        return RpcError(f"{self.name}: {said}", name)


def _value(value: Any) -> Any:
    return value or None


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
