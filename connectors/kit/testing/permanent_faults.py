"""Clauses about faults that stay: they stop the stream with an error, and never look like its end."""

from collections.abc import Callable
from typing import Any

import pytest

from connectors.kit.errors import ConnectorError
from connectors.kit.testing.fault_injection import BROKEN, BUSY, ODD, STRANGE, UNSAFE, Fault, places
from connectors.kit.testing.harness import Bench, Spoil, Way
from connectors.kit.testing.http_server import Server, StubRequest, StubResponse
from connectors.kit.testing.stub_system import Stand

REDIRECTS = (301, 302, 303, 307, 308)


class PermanentFaultTests(Stand):
    """What cannot be read is told, and nothing is sent where it does not belong."""

    def test_a_fault_that_stays_is_an_error_and_no_end(self, way: Way) -> None:
        with self.bench(http=True) as bench:
            whole = self.undisturbed(bench, way)
            where, kinds = places(bench.server.count), (*BUSY, *BROKEN)
            mixed = [kinds[index % len(kinds)].since(number) for index, number in enumerate(where)]
            for fault in (*(fault.since(0) for fault in kinds), *mixed):
                with bench.spoilt(fault):
                    bench.stopped(way, fault.name)
            assert bench.taken(way) == whole, f"{way}: not as before, now that all is well again"

    def test_an_answer_of_another_kind_is_an_error_and_no_end(self, way: Way) -> None:
        with self.bench(http=True) as bench:
            self.undisturbed(bench, way)
            honest = [response for _, response in bench.server.log]
            where = places(len(honest)) if way.kind in ("keys", "deletes") else [0]
            for fault in STRANGE:
                if fault.name == "an empty list" and any(response.raw.startswith(b"[") for response in honest):
                    continue  # where the answer is a bare list, that is an honest end
                for number in where:
                    with bench.spoilt(self._on_pages(way, fault.since(number))):
                        bench.stopped(way, fault.name)

    def test_whatever_it_is_told_it_raises_no_error_but_its_own(self, way: Way) -> None:
        with self.bench(http=True) as bench:
            self.undisturbed(bench, way)
            for number in places(bench.server.count):
                for fault in ODD:
                    with bench.spoilt(fault.at(number)):
                        own_error(bench, lambda: bench.taken(way), f"{way}: {fault.name}, at request {number}")

    def test_check_and_discover_end_in_an_error_of_their_own(self) -> None:
        with self.bench(http=True) as bench:
            for name in ("check", "discover"):
                self._called(bench, name)
                broken = BROKEN if bench.server.count else ()
                for fault in broken:
                    with bench.spoilt(fault):
                        bench.raised(lambda: self._called(bench, name), f"{name}: {fault.name}")  # noqa: B023
                for fault in ODD:
                    with bench.spoilt(fault):
                        own_error(bench, lambda: self._called(bench, name), f"{name}: {fault.name}")  # noqa: B023

    def test_a_link_to_another_origin_is_not_followed(self, way: Way) -> None:
        with self.bench(http=True) as bench, Server(self.answers) as foreign:
            whole, own = self.undisturbed(bench, way), bench.server.url
            if not any(_has_link(response, own) for _, response in bench.server.log):
                pytest.skip(f"{way}: no answer holds a link")
            for address in foreign_addresses(own, foreign):
                with bench.spoilt(_relinked(own, address)):
                    try:
                        taken = bench.taken(way)
                    except ConnectorError as error:
                        bench.keeps_quiet(str(error), f"{way}: a link to {address}")
                    else:
                        assert len(taken) == len(whole), f"{way}: a link to {address} is taken for the end"
                assert not foreign.connections, f"{way}: follows a link to {address}, with the secret perhaps"

    def test_a_redirect_to_another_origin_is_not_followed(self, way: Way) -> None:
        with self.bench(http=True) as bench, Server(self.answers) as foreign:
            self.undisturbed(bench, way)
            addresses = foreign_addresses(bench.server.url, foreign)
            for index, number in enumerate(places(bench.server.count)):
                status, address = REDIRECTS[index % len(REDIRECTS)], addresses[index % len(addresses)]
                with bench.spoilt(sent_on(status, address, number)):
                    bench.stopped(way, f"redirected ({status}) to {address} at request {number}")
                assert not foreign.connections, f"{way}: follows a redirect to {address}, with the secret perhaps"

    def test_an_answer_without_end_or_measure_is_broken_off(self, way: Way) -> None:
        with self.bench(http=True) as bench:
            self.undisturbed(bench, way)
            for fault in UNSAFE:
                with bench.spoilt(fault):
                    bench.stopped(way, fault.name)

    def _called(self, bench: Bench, name: str) -> Any:
        with bench.opened() as connector:
            return getattr(connector, name)()

    def _on_pages(self, way: Way, fault: Fault) -> Spoil:
        """Spoil the pages of a stream; of keys and deletions, whatever is answered."""
        stream, everywhere = self.stream(way), way.kind in ("keys", "deletes")

        def spoil(request: StubRequest, response: StubResponse) -> StubResponse:
            return (
                fault.response_to(request, response)
                if everywhere or self.is_page(stream, request, response)
                else response
            )

        return spoil


def own_error(bench: Bench, do: Callable[[], Any], what: str) -> None:
    """Do something that may well succeed, but must not raise what is no ConnectorError."""

    def done() -> None:
        do()
        raise ConnectorError

    bench.raised(done, what)


def foreign_addresses(own: str, foreign: Server) -> list[str]:
    """Give addresses of another port, host and scheme, and one that hides where it leads."""
    host = f"127.0.0.1:{foreign.port}"
    return [f"http://{host}", f"http://localhost:{foreign.port}", f"https://{host}", f"{own}@{host}"]


def _relinked(own: str, address: str) -> Spoil:
    """Let every link of the system lead elsewhere, in bodies as in headers."""

    def spoil(request: StubRequest, response: StubResponse) -> StubResponse:
        headers = {name: _moved(value, own, address) for name, value in response.headers.items()}
        return StubResponse(_moved(response.raw.decode(), own, address).encode(), response.status, headers)

    return spoil


def _moved(text: str, own: str, address: str) -> str:
    escaped = text.replace(own.replace("/", "\\/"), address.replace("/", "\\/"))
    return escaped.replace(own, address).replace("{base_url}", address)


def _has_link(response: StubResponse, own: str) -> bool:
    text = f"{response.raw.decode('utf-8', 'replace')} {' '.join(response.headers.values())}"
    return _moved(text, own, "") != text


def sent_on(status: int, address: str, number: int) -> Spoil:
    """Redirect every request from a number on."""

    def spoil(request: StubRequest, response: StubResponse) -> StubResponse:
        return (
            StubResponse(b"", status, {"Location": f"{address}{request.url}"}) if request.number >= number else response
        )

    return spoil
