"""What a request costs the client: ours beside requests' bare adapter, and beside a session as it is usually used.

A server in another process answers every request with one page of 100 records. Prints CPU microseconds a call and the
ratio to the bare adapter; the ways take turns in one run, since machines differ.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import process_time
from typing import Any

import requests
from pydantic import SecretStr

from connectors.kit.http.auth import Bearer
from connectors.kit.http.client import Http
from connectors.kit.rate_limit.limiter import Limit, RateHeader

ROUNDS, CALLS = 8, 100
ASKED = {"limit": "100", "archived": "false", "after": "1700"}
SEARCH = {"filterGroups": [], "sorts": ["hs_object_id"], "properties": ["name", "domain"], "limit": 100, "after": "0"}
LIMITS = (Limit(10**6, 10), Limit(10**8, 86_400, reserve=0.1))
RATES = (RateHeader("X-Left", 10, "X-Most"),)


def page() -> bytes:
    """Make one page as HubSpot sends it."""
    properties = {f"field_{number}": f"value of field {number}" for number in range(20)}
    return json.dumps({"results": [{"id": str(number), "properties": properties} for number in range(100)]}).encode()


def serve(told: Connection) -> None:
    """Answer every request on every connection with the page."""
    body = page()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head += "Date: Tue, 20 Oct 2026 05:00:00 GMT\r\nX-Left: 999999\r\nX-Most: 1000000\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told.send(listening.getsockname()[1])
        while True:
            Thread(target=_answer, args=(listening.accept()[0], head.encode() + body), daemon=True).start()


def _answer(client: socket.socket, answer: bytes) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    asked = b""
    while part := client.recv(1 << 16):
        asked += part
        head, _, body = asked.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if b"\r\n\r\n" in asked and len(body) >= int(length or 0):
            client.sendall(answer)
            asked = b""


@contextmanager
def server() -> Iterator[str]:
    """Run the server in a process of its own."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{here.recv()}"
    process.terminate()
    process.join()


def bare(url: str, method: str, **options: Any) -> Callable[[], object]:
    """Send one prepared request by the adapter and read it raw: the floor."""
    session = requests.Session()
    prepared = session.prepare_request(requests.Request(method, f"{url}/crm/v3/objects/companies", **options))
    adapter = session.get_adapter(url)

    def call() -> bytes:
        with adapter.send(prepared, stream=True) as response:
            return bytes(response.raw.read())

    return call


def ways(url: str, folder: Path) -> dict[str, Callable[[], object]]:
    """Name each way of sending, GET and POST."""
    path = "crm/v3/objects/companies"
    plain = requests.Session()
    auth = Bearer(SecretStr("token"))
    ours = Http("crm", url, auth=auth, limits=LIMITS, rates=RATES)
    shared = Http("crm", url, auth=auth, limits=LIMITS, rates=RATES, places=8)
    shared.share_rate_limit(folder, "account")
    return {
        "GET: bare adapter.send": bare(url, "GET", params=ASKED),
        "GET: ours": lambda: ours.get(path, ASKED),
        "GET: ours, budget in a file": lambda: shared.get(path, ASKED),
        "GET: Session.get": lambda: plain.get(f"{url}/{path}", params=ASKED).content,
        "POST: bare adapter.send": bare(url, "POST", json=SEARCH),
        "POST: ours": lambda: ours.post(path, json=SEARCH),
        "POST: Session.post": lambda: plain.post(f"{url}/{path}", json=SEARCH).content,
    }


def main() -> None:
    """Measure and print."""
    with server() as url, TemporaryDirectory() as folder:
        spent = measured(ways(url, Path(folder)))
    for name, seconds in spent.items():
        floor = spent[f"{name.partition(':')[0]}: bare adapter.send"]
        print(f"{name:<30} {seconds * 1e6:>8,.0f} us of CPU a call   {seconds / floor:5.2f} times the bare adapter")


def measured(them: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Tell each way's CPU seconds a call: the least of several rounds."""
    spent = dict.fromkeys(them, float("inf"))
    for way in them.values():
        way()
    for _ in range(ROUNDS):
        for name, way in them.items():
            start = process_time()
            for _ in range(CALLS):
                way()
            spent[name] = min(spent[name], (process_time() - start) / CALLS)
    return spent


if __name__ == "__main__":
    main()
