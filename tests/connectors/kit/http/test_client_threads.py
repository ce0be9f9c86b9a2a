"""One session for several threads: every request is its own, counted once, never over the budget."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from connectors.hubspot.connector import HubSpot
from connectors.kit.base import Change, SourceField
from connectors.kit.http.auth import Refreshed
from connectors.kit.http.client import Http
from connectors.kit.http.transport import Transport
from connectors.kit.rate_limit.limiter import Limit, RateHeader
from connectors.kit.settings import load
from connectors.kit.testing.http_server import Server, StubRequest, StubResponse

THREADS, EACH = 8, 25


class Clock:
    """A clock that all threads share and only waiting moves on."""

    def __init__(self) -> None:
        self.at, self._lock = 1000.0, Lock()

    def now(self) -> float:
        return self.at

    def wait(self, seconds: float) -> None:
        with self._lock:
            self.at += seconds


def echo(asked: StubRequest) -> StubResponse:
    """Answer what was asked."""
    return StubResponse({"path": asked.path, "sent": asked.json, "mark": asked.headers.get("X-Mark")})


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Let threads interrupt each other as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo, most=10_000) as running:
        yield running


def at_once(do: Callable[[int], Any]) -> list[Any]:
    """Do something in eight threads that begin together."""
    start = Barrier(THREADS)

    def begun(number: int) -> Any:
        start.wait()
        return do(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begun, range(THREADS)))


def opened(server: Server, **options: Any) -> Http:
    clock = Clock()
    made = Http("crm", server.url, sleep=clock.wait, clock=clock.now, **options)
    made.test_clock = clock  # type: ignore[attr-defined]
    return made


def test_every_request_gets_its_own_answer_and_sockets_are_kept(server: Server):
    http = opened(server, transport=Transport(THREADS))

    def send(thread: int) -> None:
        for turn in range(EACH):
            path, body, mark = f"things/{turn}", {"thread": thread, "turn": turn}, {"X-Mark": f"{thread}"}
            assert http.post(path, json=body, headers=mark, writes=True).json() == {
                "path": f"/things/{turn}",
                "sent": body,
                "mark": f"{thread}",
            }

    at_once(send)
    http.close()
    asked = Counter((one.json["thread"], one.json["turn"]) for one, _ in server.log)
    assert len(asked) == THREADS * EACH
    assert set(asked.values()) == {1}
    assert server.connections <= THREADS


@pytest.mark.parametrize("is_shared", [False, True])
def test_no_window_of_the_budget_is_ever_overdrawn(server: Server, tmp_path: Path, is_shared: bool):
    http = opened(server, limits=[Limit(10, 1)], places=3)
    if is_shared:
        http.share_rate_limit(tmp_path, "account")
    spent: list[float] = []
    clock: Clock = http.test_clock  # type: ignore[attr-defined]
    charged = http.budget._charge

    def noted(use: Any, *given: Any) -> None:
        charged(use, *given)
        spent.append(use.at)

    http.budget._charge = noted  # type: ignore[method-assign]
    at_once(lambda _: [http.post("things", json={}, writes=True) for _ in range(EACH)])
    http.close()
    assert len(server.log) == len(spent) == THREADS * EACH
    spent.sort()
    assert all(later - first >= 1 for first, later in zip(spent, spent[10:], strict=False))
    assert clock.at >= 1000 + (THREADS * EACH - 10) / 10


def test_the_vendors_own_word_is_taken_once_and_not_for_each_thread(server: Server):
    left = iter(range(1000, 0, -1))
    server.answer = lambda asked: StubResponse({}, headers={"X-Left": str(next(left) - 1), "X-Most": "1000"})
    http = opened(server, limits=[Limit(1000, 60)], rates=[RateHeader("X-Left", 60, "X-Most")])
    at_once(lambda _: [http.get("things") for _ in range(EACH)])
    with http.budget._account.opened() as use:
        assert use.window("/60").used(use.at, 60) == THREADS * EACH
    http.close()


def test_a_refused_token_is_fetched_anew_once_for_all_threads(server: Server):
    valid, fetched, lock = ["t0"], list[str](), Lock()

    def answer(asked: StubRequest) -> StubResponse:
        is_fine = asked.headers.get("Authorization") == f"Bearer {valid[0]}"
        return StubResponse({}) if is_fine else StubResponse({"error": "expired"}, 401)

    def fetch() -> tuple[SecretStr, float]:
        with lock:
            fetched.append(f"t{len(fetched)}")
            return SecretStr(fetched[-1]), 3600

    server.answer = answer
    http = opened(server, auth=Refreshed(fetch))
    at_once(lambda _: http.get("things"))
    assert fetched == ["t0"]
    valid[0] = "t1"
    at_once(lambda _: http.get("things"))
    assert fetched == ["t0", "t1"]
    http.close()


def test_a_connector_writes_from_many_threads_and_each_change_has_its_own_outcome():
    def answer(asked: StubRequest) -> StubResponse:
        rows = [{"id": one["id"], "properties": one["properties"]} for one in asked.json["inputs"]]
        return StubResponse({"results": rows[::-1]})

    with Server(answer) as server:
        hubspot = HubSpot("crm", load(HubSpot, "crm", {"base_url": server.url, "token": "s3cret"}))
        name = SourceField("properties.name", "string")
        hubspot._described.update({one.object: {name.path: name} for one in hubspot.streams})
        stream = hubspot.streams[0]

        def write(thread: int) -> dict[str, Any]:
            numbers = [str(thread * 1000 + turn) for turn in range(100)]
            changes = [Change(f"op{number}", number, {"name": f"No. {number}"}) for number in numbers]
            return {one.op_id: (one.status, one.record_id, one.values) for one in hubspot.write(stream, changes)}

        for thread, told in enumerate(at_once(write)):
            numbers = [str(thread * 1000 + turn) for turn in range(100)]
            assert told == {f"op{one}": ("applied", one, {"name": f"No. {one}"}) for one in numbers}
        assert server.count == THREADS
        assert len({msgspec.json.encode(asked.json) for asked, _ in server.log}) == THREADS
        hubspot.close()


def test_keeps_a_socket_for_every_batch_that_may_be_under_way():
    hubspot = HubSpot("crm", load(HubSpot, "crm", {"base_url": "http://127.0.0.1:9", "token": "s3cret"}))
    assert hubspot.http._transport.pool >= hubspot.writing.parallel
    hubspot.close()
