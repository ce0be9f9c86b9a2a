"""Odoo's external API: JSON-RPC with `authenticate` and `execute_kw`."""

from datetime import datetime
from functools import partial
from typing import Any

from sandbox.core.clock import Clock, seconds
from sandbox.core.request_log import READS
from sandbox.core.response import Request, Response
from sandbox.core.write_log import WriteLog
from sandbox.odoo.activity import OdooError
from sandbox.odoo.domain import UnknownField, matches
from sandbox.odoo.fields import LABELS, READ_ONLY
from sandbox.odoo.load import OdooLoad
from sandbox.odoo.values import REQUIRED
from sandbox.world.odoo import Tables

DATABASE, LOGIN, KEY = "sandbox", "belvedere@example.com", "sandbox-odoo-key"
VERSION = {"server_version": "17.0", "server_version_info": [17, 0, 0, "final", 0, ""], "protocol_version": 1}
UID = 2
WRITES = ("create", "write", "unlink", "load", "action_feedback")
Row = dict[str, Any]


class Odoo(OdooLoad):
    """Answer for one database."""

    def __init__(self, tables: Tables, clock: Clock, log: WriteLog) -> None:
        super().__init__(tables, clock)
        self.log = log

    def handle(self, request: Request) -> Response:
        """Answer one call; errors come with HTTP 200, as they do from the real one."""
        body, self.mishap = request.body or {}, request.mishap
        if request.method != "POST" or request.path != "/jsonrpc":
            return Response(404, {"error": "not found"})
        params = body.get("params", {})
        answer = {"jsonrpc": "2.0", "id": body.get("id")}
        try:
            return Response(
                payload=answer | {"result": self._call(params["service"], params["method"], params["args"])}
            )
        except OdooError as error:
            return Response(payload=answer | {"error": _error(error.name, str(error))})
        except UnknownField as error:
            return Response(payload=answer | {"error": _error("builtins.ValueError", str(error))})

    def _call(self, service: str, method: str, args: list[Any]) -> Any:
        if service == "common":
            return self._common(method, args)
        database, uid, key, model, name, positional, *rest = args
        if database != DATABASE or uid != UID or key != KEY:
            raise OdooError("odoo.exceptions.AccessDenied", "Access Denied")
        if model not in self.tables or model not in self.fields:
            raise OdooError("builtins.KeyError", f"Object {model} doesn't exist")
        handler = getattr(self, f"_{name}", None)
        if name not in (*READS, *WRITES) or handler is None:
            raise OdooError("builtins.AttributeError", f"The method '{name}' does not exist on the model '{model}'")
        return handler(model, *positional, **(rest[0] if rest else {}))

    def _common(self, method: str, args: list[Any]) -> Any:
        if method == "version":
            return VERSION
        database, login, key = args[:3]
        return UID if (database, login, key) == (DATABASE, LOGIN, KEY) else False

    def _searched(self, model: str, domain: list[Any], context: Row | None, order: str | None = None) -> list[Row]:
        rows = list(self.tables[model].values())
        hides = (context or {}).get("active_test", True) and not _mentions(domain, "active")
        if hides and "active" in self.fields[model]:
            rows = [row for row in rows if row.get("active", True)]
        rows = [row for row in rows if matches(self, model, row, domain)]
        for part in reversed([part.split() for part in (order or "id").split(",")]):
            name = part[0]
            self._require_fields(model, [name])
            rows = sorted(rows, key=partial(_sort_value, name=name), reverse="desc" in part[1:])
        return rows

    def _search(
        self,
        model: str,
        domain: list[Any],
        offset: int = 0,
        limit: int | None = None,
        order: str | None = None,
        context: Row | None = None,
    ) -> list[int]:
        rows = self._searched(model, domain, context, order)
        return [row["id"] for row in rows[offset : offset + limit if limit else None]]

    def _search_count(self, model: str, domain: list[Any], context: Row | None = None) -> int:
        return len(self._searched(model, domain, context))

    def _search_read(
        self,
        model: str,
        domain: list[Any] | None = None,
        fields: list[str] | None = None,
        offset: int = 0,
        limit: int | None = None,
        order: str | None = None,
        context: Row | None = None,
    ) -> list[Row]:
        self._require_fields(model, fields or [])
        rows = self._searched(model, domain or [], context, order)
        return [self._as_read(model, row, fields) for row in rows[offset : offset + limit if limit else None]]

    def _read(
        self, model: str, ids: list[int], fields: list[str] | None = None, context: Row | None = None
    ) -> list[Row]:
        self._require_fields(model, fields or [])
        return [self._as_read(model, self._row(model, number), fields) for number in ids]

    def _fields_get(
        self,
        model: str,
        allfields: list[str] | None = None,
        attributes: list[str] | None = None,
        context: Row | None = None,
    ) -> Row:
        described = {}
        for name, (kind, relation) in self.fields[model].items():
            description = {"type": kind, "string": LABELS.get(name, name.replace("_", " ").title()), "store": True}
            description |= {"readonly": name in READ_ONLY, "required": name in REQUIRED.get(model, ())} | (
                {"relation": relation} if relation else {}
            )
            if not allfields or name in allfields:
                described[name] = {
                    key: value for key, value in description.items() if not attributes or key in attributes
                }
        return described

    def _check_access_rights(
        self, model: str, operation: str, raise_exception: bool = True, context: Row | None = None
    ) -> bool:
        return True

    def _require_fields(self, model: str, names: list[str]) -> None:
        for name in names:
            if name not in self.fields[model]:
                raise OdooError("builtins.ValueError", f"Invalid field '{name}' on model '{model}'")

    def _as_read(self, model: str, row: Row, fields: list[str] | None) -> Row:
        return {"id": row["id"], **{name: self._value(model, row, name) for name in fields or self.fields[model]}}

    def _value(self, model: str, row: Row, name: str) -> Any:
        kind, relation = self.fields[model][name]
        value = row.get(name, False)
        if value is None or value is False:
            empty: Row = {"one2many": [], "many2many": [], "float": 0.0, "monetary": 0.0, "integer": 0}
            return empty.get(kind, False)
        if isinstance(value, datetime):
            return seconds(value)
        if kind == "many2one":
            other = self.tables[relation].get(value, {})
            return [value, other.get("name") or other.get("model") or f"{relation},{value}"]
        return value


def _mentions(domain: list[Any], name: str) -> bool:
    return any(isinstance(part, list | tuple) and part[0] == name for part in domain)


def _sort_value(row: Row, name: str) -> tuple[int, Any]:
    return _sortable(row.get(name, False))


def _sortable(value: Any) -> tuple[int, Any]:
    return (0, 0) if value is False or value is None else (1, value)


def _error(name: str, message: str) -> Row:
    return {
        "code": 200,
        "message": "Odoo Server Error",
        "data": {
            "name": name,
            "message": message,
            "arguments": [message],
            "debug": "Traceback (most recent call last) ...",
            "context": {},
        },
    }
