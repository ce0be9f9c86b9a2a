"""The source of all clients: HubSpot's list of companies, answered from memory in a process of its own.

The records are the sandbox's own, serialised once by the sandbox's own answer, and served over and over under rising
ids, so that a page costs a join of bytes. What else our connector asks (account, properties, a search's total, archived
companies) is answered by the sandbox, or in its words. Nothing is compressed, for any client.
"""

import json
import sys
from collections.abc import Iterator
from datetime import date
from email.utils import format_datetime
from itertools import chain
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event
from urllib.parse import parse_qs, urlsplit

from connectors.hubspot.connector import HubSpot as Connector
from sandbox.core.clock import Clock
from sandbox.core.response import Request
from sandbox.core.write_log import WriteLog
from sandbox.hubspot.api import TOKEN, HubSpot
from sandbox.world.build import build

TODAY, CUSTOMERS, SEED = date(2026, 10, 20), 3_000, 7
FIRST, STEP = 9_000_007, 7  # ids as the sandbox gives them
LIST = "/crm/v3/objects/companies"
LETS_IN = {"Authorization": f"Bearer {TOKEN}"}
ANSWER = "HTTP/1.1 {} OK\r\nDate: {}\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: {}\r\n\r\n"


def properties() -> list[str]:
    """Name the properties of a company that our connector asks for."""
    stream = next(one for one in Connector.streams if one.name == "accounts")
    wanted = [path for path in (*stream.paths, stream.cursor or "") if path.startswith("properties.")]
    return list(dict.fromkeys(path.removeprefix("properties.") for path in wanted))


class Companies:
    """Serve so many companies by pages."""

    def __init__(self, count: int, hubspot: HubSpot) -> None:
        self.count = count
        self._templates = [_template(record) for record in _listed(hubspot)]

    def page(self, after: str | None, limit: int) -> tuple[int, bytes]:
        """Give the number of a page, from 1, and its JSON."""
        start = (int(after) - FIRST) // STEP if after else 0
        end = min(start + limit, self.count)
        records = b",".join(self._record(place) for place in range(start, end))
        following = b"" if end == self.count else b',"paging":{"next":{"after":"%d","link":"?after=%d"}}'
        number = FIRST + STEP * end
        tail = following % (number, number) if following else b""
        return start // limit + 1, b'{"results":[' + records + b"]" + tail + b"}"

    def _record(self, place: int) -> bytes:
        template = self._templates[place % len(self._templates)]
        return (b'"%d"' % (FIRST + STEP * place)).join(template)


def _listed(hubspot: HubSpot) -> Iterator[dict[str, object]]:
    """List the sandbox's companies as it shows them."""
    query = {"limit": ["100"], "archived": ["false"], "properties": [",".join(properties())]}
    after: dict[str, list[str]] | None = {}
    while after is not None:
        answer = hubspot.handle(Request("GET", LIST, query | after, LETS_IN)).payload
        yield from answer["results"]
        after = {"after": [answer["paging"]["next"]["after"]]} if "paging" in answer else None


def _template(record: dict[str, object]) -> list[bytes]:
    """Cut a serialised record where its id stands."""
    return json.dumps(record, separators=(",", ":")).encode().split(json.dumps(record["id"]).encode())


class Source(ThreadingTCPServer):
    """Answer, and remember which pages were asked for; told so, refuse or hold from some page on."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, count: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        clock = Clock(TODAY)
        self.date = format_datetime(clock.now(), usegmt=True)
        self.hubspot = HubSpot(build(CUSTOMERS, SEED, TODAY).portal, clock, WriteLog(clock))
        self.companies = Companies(count, self.hubspot)
        self.asked: list[int] = []
        self.fault: tuple[str, int] | None = None
        self._never = Event()

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request."""
        url = urlsplit(target)
        query = parse_qs(url.query)
        if url.path.startswith("/_source/"):
            return 200, json.dumps(self._told(url.path.rpartition("/")[2], query)).encode()
        if url.path == LIST:
            return self._list(query)
        if url.path == f"{LIST}/search":
            return 200, json.dumps(self._search(json.loads(body))).encode()
        answer = self.hubspot.handle(Request(method, url.path, query, LETS_IN, json.loads(body) if body else None))
        return answer.status, json.dumps(answer.payload).encode()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away: some are killed on purpose."""

    def _list(self, query: dict[str, list[str]]) -> tuple[int, bytes]:
        if query.get("archived", ["false"])[0].lower() == "true":
            return 200, b'{"results":[]}'
        number, page = self.companies.page(query.get("after", [None])[0], int(query["limit"][0]))
        self.asked.append(number)
        if self.fault and number >= self.fault[1]:
            if self.fault[0] == "hold":
                self._never.wait()
            return 403, b'{"status":"error","category":"MISSING_SCOPES","message":"refused on purpose"}'
        return 200, page

    def _search(self, body: dict[str, object]) -> dict[str, object]:
        """Tell the total; nothing has changed since the list was read."""
        groups: list[dict[str, list[dict[str, str]]]] = body["filterGroups"]  # type: ignore[assignment]
        asked = chain.from_iterable(group["filters"] for group in groups)
        since = any(one["operator"] == "GTE" for one in asked)
        return {"total": 0 if since else self.companies.count, "results": []}

    def _told(self, what: str, query: dict[str, list[str]]) -> object:
        if what == "fault":
            self.fault = (query["kind"][0], int(query["page"][0])) if "kind" in query else None
        asked = self.asked
        if what == "forget":
            self.asked = []
        return asked


class _Connection(StreamRequestHandler):
    server: Source
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            method, target, _ = line.decode("latin-1").split(" ", 2)
            status, body = self.server.answer(method, target, self.rfile.read(length) if length else b"")
            self.wfile.write(ANSWER.format(status, self.server.date, len(body)).encode() + body)


def main() -> None:
    """Serve as many companies as the first argument says; the first line printed tells where, and what to ask for."""
    with Source(int(sys.argv[1])) as source:
        url = f"http://127.0.0.1:{source.server_address[1]}"
        print(json.dumps({"url": url, "token": TOKEN, "properties": properties()}), flush=True)
        source.serve_forever()


if __name__ == "__main__":
    main()
