"""What goes wrong with an answer, and when."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import format_datetime
from typing import Any

import msgspec

from connectors.kit.testing.clock import TIME
from connectors.kit.testing.http_server import StubRequest, StubResponse

WAIT = 30
MAX_BODY = 1 << 20
LOGIN_PAGE = b"<!doctype html><html><body><form>Please log in</form></body></html>"
When = Callable[[int], bool]
Spoil = Callable[[StubResponse], StubResponse]


@dataclass(frozen=True)
class Fault:
    """Spoil the answers to those requests whose number, counted from 0, `when` picks."""

    name: str
    spoil: Spoil
    when: When = lambda number: True

    def response_to(self, request: StubRequest, honest: StubResponse) -> StubResponse:
        return self.spoil(honest) if self.when(request.number) else honest

    def at(self, *numbers: int) -> "Fault":
        return replace(self, name=f"{self.name}, at request {numbers[0]}", when=lambda number: number in numbers)

    def every(self, step: int) -> "Fault":
        return replace(self, name=f"{self.name}, at every {step}. request", when=lambda n: n % step == step - 1)

    def since(self, first: int) -> "Fault":
        return replace(self, name=f"{self.name}, from request {first} on", when=lambda number: number >= first)


def places(count: int, most: int = 6) -> list[int]:
    """Pick requests, or pages, evenly: the first, the last, and some between."""
    if count <= most:
        return list(range(count))
    return sorted({round(step * (count - 1) / (most - 1)) for step in range(most)})


def _error(status: int, **headers: str) -> Spoil:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda honest: StubResponse({"error": "no"}, status, named)


def _dated(honest: StubResponse) -> StubResponse:
    return StubResponse({"error": "slow down"}, 429, {"Retry-After": format_datetime(TIME.date(WAIT), usegmt=True)})


def _body(body: bytes) -> Spoil:
    return lambda honest: StubResponse(body)


def _listless(honest: StubResponse) -> StubResponse:
    return StubResponse(without_lists(msgspec.json.decode(honest.raw)))


def _retyped(kind: type, instead: Any) -> Spoil:
    return lambda honest: StubResponse(_instead(msgspec.json.decode(honest.raw), kind, instead))


def _instead(value: Any, kind: type, instead: Any, depth: int = 0) -> Any:
    """Put another value in place of everything of a kind, except of an object that is the answer itself."""
    if isinstance(value, kind) and (depth or kind is list):
        return instead
    if isinstance(value, Mapping):
        return {name: _instead(inner, kind, instead, depth + 1) for name, inner in value.items()}
    return [_instead(inner, kind, instead, depth + 1) for inner in value] if isinstance(value, list) else value


def _half(honest: StubResponse) -> StubResponse:
    return StubResponse(honest.raw[:-1])


def _packed(honest: StubResponse) -> StubResponse:
    return StubResponse(gzip.compress(_padded(honest)), honest.status, {**honest.headers, "Content-Encoding": "gzip"})


def _padded(honest: StubResponse) -> bytes:
    return honest.raw + b" " * MAX_BODY


def without_lists(value: Any) -> Any:
    """Leave every list out of an answer, which is then no page any more."""
    if isinstance(value, Mapping):
        return {name: without_lists(inner) for name, inner in value.items() if not isinstance(inner, list)}
    return None if isinstance(value, list) else value


BUSY: Sequence[Fault] = (
    Fault("429 with Retry-After in seconds", _error(429, Retry_After=str(WAIT))),
    Fault("429 with Retry-After as a date", _dated),
    Fault("503 with Retry-After", _error(503, Retry_After=str(WAIT))),
)
BROKEN: Sequence[Fault] = (
    Fault("429", _error(429)),
    Fault("500", _error(500)),
    Fault("502", _error(502)),
    Fault("503", _error(503)),
    Fault("a reset", lambda honest: replace(honest, wire="reset")),
    Fault("a truncated answer", lambda honest: replace(honest, wire="truncated")),
    Fault(
        "a login page", lambda honest: StubResponse(LOGIN_PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
    ),
)
STRANGE: Sequence[Fault] = (
    Fault("an empty object", _body(b"{}")),
    Fault("an empty body", _body(b"")),
    Fault("an empty list", _body(b"[]")),
    Fault("a number", _body(b"5")),
    Fault("a text", _body(b'"down for maintenance"')),
    Fault("null", _body(b"null")),
    Fault("half of a JSON text", _half),
    Fault("a login page that calls itself JSON", _body(LOGIN_PAGE)),
    Fault("an answer without its list", _listless),
    Fault("a number in place of its list", _retyped(list, 5)),
)
ODD: Sequence[Fault] = (
    *STRANGE,
    Fault("a text in place of every object", _retyped(dict, "no")),
    Fault("null in place of every object", _retyped(dict, None)),
    Fault("an object in place of every text", _retyped(str, {})),
    Fault("null in place of every text", _retyped(str, None)),
    Fault("a text in place of every number", _retyped(int, "no")),
)
EXPIRED = Fault("401", _error(401))
UNSAFE: Sequence[Fault] = (
    Fault("an answer that drips for ever", lambda honest: replace(honest, wire="dripping")),
    Fault("an answer that is too large", lambda honest: replace(honest, body=_padded(honest))),
    Fault("an answer that is too large when unpacked", _packed),
)
