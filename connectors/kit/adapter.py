"""The way to an origin: as requests goes it, yet over sockets of our own whose answers httptools reads.

Measured (benchmarks/http_calls.py): a page of 70 kB costs half the CPU that requests' own adapter takes, bare, with budget
and checks included (0.42 to 0.53 of it, by machine).
"""

import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from connectors.kit.sockets import Sockets


class Answer(requests.Response):
    """Hold what is read of an answer; a session would keep a jar of cookies beside it, and a copy of its headers."""

    def __init__(self, request: requests.PreparedRequest, raw: Any) -> None:
        self.request, self.url = request, request.url or ""
        self.raw, self.status_code, self.headers = raw, raw.status, raw.headers
        self._content_consumed = False


class Adapter(HTTPAdapter):
    """Find the sockets of an origin once, and make no more of an answer than is read.

    Authorities are those of requests and those of the machine (SSL_CERT_FILE names others). Whoever needs a proxy or a
    certificate of their own gives a session with requests' own adapters.
    """

    def __init__(self, kept: int) -> None:
        super().__init__()
        self._kept = kept
        self._origins: dict[str, Sockets] = {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        scheme, _, host = (request.url or "").split("/", 3)[:3]
        origin = f"{scheme}//{host}"
        return self._origins.get(origin) or self._origins.setdefault(origin, self._of(origin))  # one for all threads

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave it to the authorities."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return "/" + (request.url or "").split("/", 3)[3]

    def build_response(self, request: requests.PreparedRequest, raw: Any) -> requests.Response:
        return Answer(request, raw)

    def close(self) -> None:
        while self._origins:  # forgotten, too: what is still under way is closed when it comes back
            self._origins.popitem()[1].close()
        super().close()

    def _of(self, origin: str) -> Sockets:
        parts = urlsplit(origin)
        is_safe = parts.scheme == "https"
        port = parts.port or (443 if is_safe else 80)  # an IPv6 address without a port would be cut at its last colon
        return Sockets(parts.hostname or "", port, _authorities() if is_safe else None, self._kept)


@cache
def _authorities() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # a line that is cut is no end
    return context
