"""What tests of the village share: plain requests, so that no connector stands between."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from sandbox.server import Sandbox
from sandbox.zendesk.tokens import BASIC

BEARER = {"Authorization": "Bearer sandbox-hubspot-token"}


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


@pytest.fixture
def ask(sandbox: Sandbox, session: requests.Session) -> Callable[..., requests.Response]:
    """Ask the sandbox as someone who is let in."""

    def send(method: str, path: str, **options: Any) -> requests.Response:
        headers = {} if path.startswith("/_") else {"Authorization": BASIC} if path.startswith("/z") else BEARER
        given = {"headers": headers, "timeout": 5} | options
        return session.request(method, sandbox.url + path, **given)

    return send


@pytest.fixture
def odoo(ask: Callable[..., requests.Response]) -> Callable[..., Any]:
    """Call a model's method; errors come back as they are."""

    def call(model: str, method: str, *args: Any, key: str = "sandbox-odoo-key", **options: Any) -> Any:
        given = ["sandbox", 2, key, model, method, list(args), options]
        body = {"jsonrpc": "2.0", "id": 1, "params": {"service": "object", "method": "execute_kw", "args": given}}
        answer = ask("POST", "/odoo/jsonrpc", json=body).json()
        return answer["result"] if "result" in answer else answer["error"]["data"]["name"]

    return call
