"""Sample pages: when this is asked, that is answered; and the records that lie in an answer."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.kit.json_path import at
from connectors.kit.stream import Stream
from connectors.kit.testing.http_server import StubRequest, StubResponse


@dataclass(frozen=True)
class Sample:
    """Answer `body` to a request of `path` that has at least these parameters, and these members in its JSON body.

    `stream` names the stream whose records lie in the answer; None for all other answers. `{base_url}` in body and
    headers becomes the stand-in's address. `deleted` says that the records are tombstones. `told_by` answers a request
    by a function, as writes need.
    """

    stream: str | None
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: Mapping[str, Any] = field(default_factory=dict)
    method: str = "GET"
    status: int = 200
    deleted: bool = False
    told_by: Callable[[StubRequest], StubResponse] | None = None

    def fits(self, request: StubRequest) -> bool:
        """Tell whether a request asks for this page."""
        if (request.method, request.path) != (self.method, self.path):
            return False
        sent = request.json if self.sent else None
        asks = all(_texts(value) <= set(request.lists.get(name, ())) for name, value in self.query.items())
        return asks and all(isinstance(sent, dict) and sent.get(name) == value for name, value in self.sent.items())

    @property
    def response(self) -> StubResponse:
        return StubResponse(self.body, self.status, self.headers)


def fitting(samples: Iterable[Sample], request: StubRequest) -> Sample | None:
    """Find the sample that says most of what a request must hold."""
    fits = [sample for sample in samples if sample.fits(request)]
    return max(fits, key=lambda sample: len(sample.query) + len(sample.sent), default=None)


def listed(body: Any, stream: Stream) -> list[Any]:
    """Find the list of a stream's records in a parsed answer: the outermost whose objects have its key."""
    for rows in lists(body):
        if any(isinstance(row, Mapping) and at(row, stream.primary_key) is not None for row in rows):
            return rows
    return []


def keys_of(rows: Iterable[Any], stream: Stream) -> list[str]:
    """Name the records of a list by their key."""
    keys = (at(row, stream.primary_key) for row in rows)
    return [str(key) for key in keys if key is not None]


def lists(body: Any) -> Iterator[list[Any]]:
    """Find every list in a parsed answer, the outermost first."""
    level = [body]
    while level:
        yield from (value for value in level if isinstance(value, list))
        level = [inner for value in level for inner in _inner(value)]


def _inner(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else ()


def _texts(value: Any) -> set[str]:
    return {str(member) for member in value} if isinstance(value, list | tuple) else {str(value)}
