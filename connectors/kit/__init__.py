"""What the author of a connector imports: `from connectors.kit import HttpConnector, Stream, Page, ...`.

A submodule is imported when one of its names is first used, so that importing part of the kit stays
fast. The connectors of this repository import the submodules; tests of a connector import
`connectors.kit.testing`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectors.kit.base import (
        Action,
        Change,
        Check,
        Connector,
        ConnectorSettings,
        CountsSlices,
        FindsByField,
        ListsKeys,
        Outcome,
        ReadsByKey,
        ReadsPayload,
        ReportsDeletes,
        SourceField,
        Status,
        TargetRecord,
        Writes,
        Writing,
    )
    from connectors.kit.errors import (
        AccessError,
        BusyError,
        ConnectorError,
        RecordError,
        ReplyError,
        SettingsError,
        UnknownOutcome,
    )
    from connectors.kit.http.auth import Basic, Bearer, HeaderToken, Refreshed
    from connectors.kit.http.loop_guard import PaginationGuard
    from connectors.kit.http.oauth import RefreshToken, TokenEndpoint, client_credentials
    from connectors.kit.http.paging import CursorInBody, KeySet, NextLink, NoPaging, Offset, PageNumber, Range
    from connectors.kit.http.response import Refused, Reply
    from connectors.kit.http_connector import HttpConnector, HttpSettings
    from connectors.kit.json_path import at
    from connectors.kit.rate_limit.limiter import Limit, RateHeader
    from connectors.kit.raw_rows import Page, cut
    from connectors.kit.stream import Checkpoint, Slice, Stream
    from connectors.kit.write import all_of, by_id, chunks, halves, in_turn, outcome
    from schemas.mapping import Constant, Field, paths

__all__ = [
    "AccessError",
    "Action",
    "Basic",
    "Bearer",
    "BusyError",
    "Change",
    "Check",
    "Checkpoint",
    "Connector",
    "ConnectorError",
    "ConnectorSettings",
    "Constant",
    "CountsSlices",
    "CursorInBody",
    "Field",
    "FindsByField",
    "HeaderToken",
    "HttpConnector",
    "HttpSettings",
    "KeySet",
    "Limit",
    "ListsKeys",
    "NextLink",
    "NoPaging",
    "Offset",
    "Outcome",
    "Page",
    "PageNumber",
    "PaginationGuard",
    "Range",
    "RateHeader",
    "ReadsByKey",
    "ReadsPayload",
    "RecordError",
    "RefreshToken",
    "Refreshed",
    "Refused",
    "Reply",
    "ReplyError",
    "ReportsDeletes",
    "SettingsError",
    "Slice",
    "SourceField",
    "Status",
    "Stream",
    "TargetRecord",
    "TokenEndpoint",
    "UnknownOutcome",
    "Writes",
    "Writing",
    "all_of",
    "at",
    "by_id",
    "chunks",
    "client_credentials",
    "cut",
    "halves",
    "in_turn",
    "outcome",
    "paths",
]
_MODULES = {
    "AccessError": "connectors.kit.errors",
    "Action": "connectors.kit.base",
    "Basic": "connectors.kit.http.auth",
    "Bearer": "connectors.kit.http.auth",
    "BusyError": "connectors.kit.errors",
    "Change": "connectors.kit.base",
    "Check": "connectors.kit.base",
    "Checkpoint": "connectors.kit.stream",
    "Connector": "connectors.kit.base",
    "ConnectorError": "connectors.kit.errors",
    "ConnectorSettings": "connectors.kit.base",
    "Constant": "schemas.mapping",
    "CountsSlices": "connectors.kit.base",
    "CursorInBody": "connectors.kit.http.paging",
    "Field": "schemas.mapping",
    "FindsByField": "connectors.kit.base",
    "HeaderToken": "connectors.kit.http.auth",
    "TargetRecord": "connectors.kit.base",
    "HttpConnector": "connectors.kit.http_connector",
    "HttpSettings": "connectors.kit.http_connector",
    "KeySet": "connectors.kit.http.paging",
    "Limit": "connectors.kit.rate_limit.limiter",
    "ListsKeys": "connectors.kit.base",
    "NextLink": "connectors.kit.http.paging",
    "NoPaging": "connectors.kit.http.paging",
    "Offset": "connectors.kit.http.paging",
    "Outcome": "connectors.kit.base",
    "Page": "connectors.kit.raw_rows",
    "PageNumber": "connectors.kit.http.paging",
    "Range": "connectors.kit.http.paging",
    "RateHeader": "connectors.kit.rate_limit.limiter",
    "ReadsByKey": "connectors.kit.base",
    "ReadsPayload": "connectors.kit.base",
    "RecordError": "connectors.kit.errors",
    "RefreshToken": "connectors.kit.http.oauth",
    "Refreshed": "connectors.kit.http.auth",
    "Refused": "connectors.kit.http.response",
    "Reply": "connectors.kit.http.response",
    "ReplyError": "connectors.kit.errors",
    "ReportsDeletes": "connectors.kit.base",
    "SettingsError": "connectors.kit.errors",
    "Slice": "connectors.kit.stream",
    "SourceField": "connectors.kit.base",
    "Status": "connectors.kit.base",
    "Stream": "connectors.kit.stream",
    "TokenEndpoint": "connectors.kit.http.oauth",
    "PaginationGuard": "connectors.kit.http.loop_guard",
    "UnknownOutcome": "connectors.kit.errors",
    "Writes": "connectors.kit.base",
    "Writing": "connectors.kit.base",
    "all_of": "connectors.kit.write",
    "at": "connectors.kit.json_path",
    "by_id": "connectors.kit.write",
    "chunks": "connectors.kit.write",
    "client_credentials": "connectors.kit.http.oauth",
    "cut": "connectors.kit.raw_rows",
    "halves": "connectors.kit.write",
    "in_turn": "connectors.kit.write",
    "outcome": "connectors.kit.write",
    "paths": "schemas.mapping",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"connectors.kit has no {name!r}; it has {', '.join(__all__)}")

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
