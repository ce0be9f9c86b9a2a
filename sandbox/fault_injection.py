"""What faults make of an answer that a system gave: honest in form, wrong in content."""

from typing import Any

from sandbox.core.faults import Fault
from sandbox.core.request_log import question
from sandbox.core.response import Request, Response

SEARCHES = ("search", "search_read", "read", "search_count")


class Spoiling:
    """Spoil answers; remembers pages as long as some are to come twice."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._last: dict[str, Response] = {}

    def of(self, faults: list[Fault], prefix: str, request: Request, answer: Response) -> Response:
        """Spoil one answer by all the faults that strike its request."""
        for fault in faults:
            if fault.kind == "empty" and answer.status == 200:
                answer = Response(200, emptied(prefix, request, answer.payload), answer.headers)
            elif fault.kind == "foreign_link":
                answer = Response(answer.status, self._linked(answer.payload, fault.to), answer.headers)
            elif fault.kind == "duplicate_page":
                answer = self._last.get(question(request), answer)
        return answer

    def remember(self, request: Request, answer: Response) -> None:
        """Keep an answer, so that it can come once more."""
        self._last[question(request)] = answer

    def forget(self) -> None:
        """Keep nothing: no page is to come twice."""
        self._last.clear()

    def _linked(self, value: Any, to: str) -> Any:
        """Let every link of an answer lead to another origin."""
        if isinstance(value, dict):
            return {name: self._linked(item, to) for name, item in value.items()}
        if isinstance(value, list):
            return [self._linked(item, to) for item in value]
        is_link = isinstance(value, str) and value.startswith(self.origin)
        return to + value.removeprefix(self.origin) if is_link else value


def emptied(prefix: str, request: Request, payload: Any) -> Any:
    """Take the records out of an answer, in the shape that its system gives to none."""
    if prefix == "odoo":
        return _odoo(request, payload)
    if not isinstance(payload, dict):
        return payload
    bare = {name: [] if isinstance(value, list) else value for name, value in payload.items()}
    if prefix == "hubspot":
        bare.pop("paging", None)
        return bare | ({"total": 0} if "total" in bare else {})
    if prefix == "plain":
        return bare | ({"next": None, "total": 0} if "next" in bare else {})
    ends: dict[str, Any] = {"end_of_stream": True, "count": 0, "next_page": None, "links": {"next": None, "prev": None}}
    ends["meta"] = {"has_more": False, "after_cursor": None}
    return bare | {name: value for name, value in ends.items() if name in bare}


def _odoo(request: Request, payload: Any) -> Any:
    args = request.body["params"]["args"]
    method = args[4] if len(args) > 4 else ""
    if method not in SEARCHES or "result" not in payload:
        return payload
    return payload | {"result": 0 if method == "search_count" else []}
