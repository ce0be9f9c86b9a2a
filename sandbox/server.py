"""The sandbox: one process, four systems, on 127.0.0.1 only."""

import gzip
import json
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from time import sleep
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sandbox.control_api import Control
from sandbox.core.clock import Clock
from sandbox.core.faults import Fault, Faults
from sandbox.core.hooks import Hook, Hooks
from sandbox.core.locks import locked
from sandbox.core.request_log import address_of
from sandbox.core.response import Mishap, Request, Response
from sandbox.core.write_log import WriteLog
from sandbox.fault_injection import Spoiling
from sandbox.generic_rest.api import Plain
from sandbox.hubspot.api import HubSpot
from sandbox.odoo.api import Odoo
from sandbox.scenario import change
from sandbox.user_activity import People
from sandbox.world.build import build
from sandbox.zendesk.api import Zendesk

HOST = "127.0.0.1"
BROKEN = object()  # a body that is no JSON
DROPS = 20
LOGIN_PAGE = b"<!doctype html><html><body><form>Please log in</form></body></html>"


class Sandbox(People):
    """Run the systems; as a context manager for as long as a block runs."""

    def __init__(self, customers: int = 300, seed: int = 7, today: date | None = None, port: int = 0) -> None:
        self.world = build(customers, seed, today or datetime.now(UTC).date())
        self.clock = Clock(today or datetime.now(UTC).date())
        self.log = WriteLog(self.clock)
        self.faults, self.hooks = Faults(), Hooks()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.hubspot = HubSpot(self.world.portal, self.clock, self.log)
        self.odoo = Odoo(self.world.tables, self.clock, self.log)
        self.zendesk = Zendesk(self.world.desk, self.clock, self.log)
        self.plain = Plain(self.world.plain, self.clock, self.log)
        self.lock = RLock()
        self.systems: dict[str, Callable[[Request], Response]] = {
            "hubspot": self.hubspot.handle,
            "odoo": self.odoo.handle,
            "zendesk": self.zendesk.handle,
            "plain": self.plain.handle,
            "_sandbox": Control(self).handle,
        }
        handler = type("Handler", (_Handler,), {"sandbox": self})
        self.server = _Server((HOST, port), handler)
        self.port = self.server.server_address[1]
        self.url = f"http://{HOST}:{self.port}"
        self.spoiling = Spoiling(self.url)

    def __enter__(self) -> "Sandbox":
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        if self.hooks.errors and error is None:
            raise self.hooks.errors[0]

    @property
    def writes(self) -> list[dict[str, Any]]:
        """List every write of ours that was applied, in order."""
        return self.log.by("us")

    @property
    def edits(self) -> list[dict[str, Any]]:
        """List what people did meanwhile, numbered with our writes in one order."""
        return self.log.by("people")

    @property
    def truth(self) -> dict[int, dict[str, Any]]:
        """Tell which records of which system are which customer: what no system knows."""
        return self.world.truth

    @property
    def dirty(self) -> list[dict[str, str]]:
        """List the records that were spoilt on purpose, and how."""
        return self.world.dirty

    def changes(self) -> list[dict[str, str]]:
        """Make a handful of changes at the sources and tell what they were."""
        with self.lock:
            return change(self.world, self.hubspot, self.odoo, self.zendesk)

    def when(self, match: str, *, after: int, do: Callable[[], object], method: str | None = None) -> Hook:
        """Do something when so many requests to places that begin with `match` have been answered: edits while paging."""
        return self.hooks.add(match, after, do, method)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away: some are killed on purpose."""


class _Handler(BaseHTTPRequestHandler):
    sandbox: Sandbox
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def version_string(self) -> str:
        return "sandbox"

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.sandbox.clock.now(), usegmt=True)

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        url = urlsplit(self.path)
        prefix, _, rest = url.path.strip("/").partition("/")
        with self.sandbox.lock:
            self.sandbox.requests[self.command, url.path] += 1
        if prefix not in self.sandbox.systems:
            return self._send(Response(404, {"error": f"choices: {', '.join(self.sandbox.systems)}"}))
        body = _parsed(raw)
        path = address_of(url.path, body)
        query = parse_qs(url.query, keep_blank_values=True)
        request = Request(self.command, f"/{rest}", query, self.headers, body, f"{self.sandbox.url}/{prefix}")
        if prefix == "_sandbox":
            return self._reply(prefix, path, request, [])
        with self.sandbox.faults.striking(self.command, path) as faults:
            return self._reply(prefix, path, request, faults)

    def _reply(self, prefix: str, path: str, request: Request, faults: list[Fault]) -> None:
        if any(self._spoilt_before(fault, prefix, request) for fault in faults):
            return None
        if request.body is BROKEN:
            return self._send(
                Response(400, {"status": "error", "message": "Invalid input JSON", "category": "VALIDATION_ERROR"})
            )
        request = replace(request, mishap=_mishap(faults))
        for fault in faults:
            if fault.kind == "delayed_write":
                self.sandbox.clock.later(fault.delay, partial(self._answer, prefix, request))
                return self._send(Response(504, {"message": "gateway timeout"}))
        answer = self._spoilt(faults, prefix, request, self._answer(prefix, request))
        self.sandbox.hooks.answered(self.command, path)
        if any(fault.kind == "lost_answer" for fault in faults):
            return self._hang_up()
        return self._send(answer, faults)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _answer(self, prefix: str, request: Request) -> Response:
        try:
            with self.sandbox.lock:
                return self.sandbox.systems[prefix](request)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return Response(500, {"message": f"the sandbox cannot read this request: {error!r}"})

    def _spoilt(self, faults: list[Fault], prefix: str, request: Request, answer: Response) -> Response:
        body = self.sandbox.spoiling.of(faults, prefix, request, answer)
        if self.sandbox.faults.has("duplicate_page"):
            self.sandbox.spoiling.remember(request, body)
        else:
            self.sandbox.spoiling.forget()
        return body

    def _spoilt_before(self, fault: Fault, prefix: str, request: Request) -> bool:
        """Spoil a request that its system never sees; tells whether it is over."""
        if fault.kind == "latency":
            sleep(fault.ms / 1000)
        elif fault.kind == "reset":
            self._hang_up(reset=True)
        elif fault.kind == "rate_limit":
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            payload = {
                "status": "error",
                "message": "You have reached your limit.",
                "errorType": "RATE_LIMIT",
                "policyName": "TEN_SECONDLY_ROLLING",
            }
            self._send(Response(429, payload, headers))
        elif fault.kind == "error":
            self._send(Response(fault.status, {"message": "internal error"}))
        elif fault.kind == "locked":
            self._send(locked(prefix, request, fault.lock))
        elif fault.kind == "expired_token":
            self._send(Response(401, {"status": "error", "message": "expired", "category": "EXPIRED_AUTHENTICATION"}))
        elif fault.kind == "foreign_redirect":
            self._send(Response(302, None, {"Location": fault.to + self.path}))
        elif fault.kind == "html":
            self._write(200, "text/html; charset=utf-8", LOGIN_PAGE, {})
        else:
            return False
        return fault.kind != "latency"

    def _send(self, answer: Response, faults: Sequence[Fault] = ()) -> None:
        body = b"" if answer.payload is None else json.dumps(answer.payload, separators=(",", ":")).encode()
        if any(fault.kind == "bad_json" for fault in faults):
            body = body[: len(body) * 2 // 3]
        self._write(answer.status, "application/json;charset=utf-8", body, answer.headers, faults)

    def _write(
        self, status: int, kind: str, body: bytes, headers: dict[str, str], faults: Sequence[Fault] = ()
    ) -> None:
        if len(body) > 1024 and "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers = gzip.compress(body, 1), {**headers, "Content-Encoding": "gzip"}
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        truncated = any(fault.kind == "truncated" for fault in faults)
        pause = sum(fault.ms for fault in faults if fault.kind == "drip")
        self._pour(body[: len(body) // 2] if truncated else body, pause)
        if truncated:
            self._hang_up()

    def _pour(self, body: bytes, pause: int) -> None:
        """Send a body at once, or in a number of drops, so many milliseconds apart."""
        size = max(1, -(-len(body) // DROPS)) if pause else len(body) or 1
        with suppress(ConnectionError):  # a client need not wait for the last drop
            for start in range(0, len(body), size):
                sleep(pause / 1000)
                self.wfile.write(body[start : start + size])
                self.wfile.flush()

    def _hang_up(self, *, reset: bool = False) -> None:
        self.wfile.flush()
        self.close_connection = True
        if reset:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.shutdown(socket.SHUT_RDWR) if not reset else self.connection.close()


def _mishap(faults: list[Fault]) -> Mishap:
    """Say what goes wrong inside the system that is asked."""
    refused = next((fault.record for fault in faults if fault.kind == "partial"), None)
    silent = next((fault for fault in faults if fault.kind == "silent"), None)
    return Mishap(refused, silent is not None, silent is not None and silent.echo)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return BROKEN


def serve(port: int = 8765, customers: int = 300, seed: int = 7, today: date | None = None, days: int = 0) -> None:
    """Run the sandbox until interrupted, and say where; `days` have passed since `today`, with changes on the first."""
    sandbox = Sandbox(customers, seed, today, port)
    for day in range(days):
        sandbox.clock.advance(86400)
        if day == 0:
            sandbox.changes()
    print(
        f"sandbox: {customers} customers at {sandbox.url}/hubspot, /odoo, /zendesk and /plain; Ctrl-C ends it",
        flush=True,
    )
    try:
        sandbox.server.serve_forever()
    except KeyboardInterrupt:
        sandbox.server.server_close()
