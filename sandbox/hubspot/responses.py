"""The shapes of HubSpot's answers: pages, errors of a record, errors of a request."""

from collections.abc import Callable
from typing import Any

from sandbox.core.response import Request, Response

Record = dict[str, Any]


def page(request: Request, rows: list[Record], limit: int, show: Callable[[Record], Record] = dict) -> Response:
    """Cut one page out of rows, and say where the next begins."""
    after = request.first("after")
    rest = [row for row in rows if not after or int(row["id"]) >= int(after)]
    payload: Record = {"results": [show(row) for row in rest[:limit]]}
    if len(rest) > limit:
        following = rest[limit]["id"]
        link = f"{request.base}{request.path}?limit={limit}&after={following}"
        payload["paging"] = {"next": {"after": following, "link": link}}
    return Response(payload=payload)


def problem(category: str, message: str, item: Record, **context: list[str]) -> Record:
    """Say what is wrong with one record of a batch."""
    ids = {"ids": [str(item["id"])]} if item.get("id") else {}
    traced = {"objectWriteTraceId": [item["objectWriteTraceId"]]} if item.get("objectWriteTraceId") else {}
    return {
        "status": "error",
        "category": category,
        "message": message,
        "context": ids | traced | context,
        "links": {},
        "errors": [],
    }


def error(status: int, category: str, message: str) -> Response:
    """Refuse a whole request."""
    return Response(
        status,
        {
            "status": "error",
            "message": message,
            "correlationId": "00000000-0000-0000-0000-000000000000",
            "category": category,
        },
    )


def batch(stamp: str, results: list[Record], errors: list[Record], status: int = 200) -> Response:
    """Answer a batch: its results in an order of their own, 207 when some records failed."""
    done = {"status": "COMPLETE", "results": results[::-1], "startedAt": stamp, "completedAt": stamp}
    if errors:
        return Response(207, done | {"numErrors": len(errors), "errors": errors})
    return Response(status, done)
