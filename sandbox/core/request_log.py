"""What a request asks for: where it goes, and which question it puts, whichever page of the answer it wants."""

import json
from typing import Any

from sandbox.core.response import Request

PLACES = {"after", "cursor", "start_time", "page", "page[after]"}
READS = ("search", "search_read", "search_count", "read", "fields_get", "check_access_rights", "name_search")


def address_of(path: str, body: Any) -> str:
    """Tell where a request goes; a call of JSON-RPC is told by its model and method too."""
    params = body.get("params") if isinstance(body, dict) else None
    args = params.get("args") if isinstance(params, dict) else None
    if isinstance(args, list) and params and params.get("method") == "execute_kw":
        return "/".join([path, *map(str, args[3:5])])
    return path


def is_write(method: str, address: str) -> bool:
    """Tell whether a request wants something changed; searches and batch reads are sent by POST too."""
    last = address.rstrip("/").rpartition("/")[2]
    if address.startswith("/odoo"):
        return last not in (*READS, "jsonrpc")
    return method != "GET" and last not in ("search", "read")


def question(request: Request) -> str:
    """Tell what is asked for, the place of the page apart."""
    query = {name: values for name, values in request.query.items() if name not in PLACES}
    return json.dumps([request.method, request.path, query, _placeless(request.body)], sort_keys=True)


def _placeless(body: Any) -> Any:
    """Leave out of a body where its page begins: its `after`, and what ids must be greater than."""
    if isinstance(body, dict):
        is_place = body.get("propertyName") == "hs_object_id"
        return {} if is_place else {name: _placeless(item) for name, item in body.items() if name not in PLACES}
    if isinstance(body, list):
        return [] if body[:2] == ["id", ">"] else [_placeless(item) for item in body]
    return body
