"""The settings of the network, against TLS servers and a proxy on this machine."""

import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from select import select
from threading import Thread
from typing import Any

import pytest
import trustme
import yaml
from urllib3.exceptions import SSLError as TlsError

from connectors.hubspot.connector import HubSpot
from connectors.kit.errors import AccessError, BusyError, SettingsError, UnknownOutcome
from connectors.kit.http.network import NetworkSettings
from connectors.kit.http.network_errors import describe
from connectors.kit.settings import load, missing_env
from connectors.rest.connector import Rest
from tests.connectors.script import whole

BASE = {"base_url": "https://erp.example.com", "streams": {"accounts": {"path": "accounts"}}}


class Proxy:
    """Forward what comes: by a tunnel, or a request with a whole address; refuse those without its password."""

    def __init__(self, password: str | None = None) -> None:
        wanted = b"Basic " + b64encode(f"me:{password}".encode()) if password else b""
        self.wanted, self.heads, self._listening = wanted, list[bytes](), socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> "Proxy":
        Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                Thread(target=self._talk, args=(self._listening.accept()[0],), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = client.recv(65_536)
            self.heads.append(head)
            if self.wanted and self.wanted not in head:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            method, target = head.split(b" ")[:2]
            host, port = target.decode().removeprefix("http://").split("/")[0].rsplit(":", 1)
            with socket.create_connection((host, int(port)), 5) as server:
                if method == b"CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    server.sendall(head)
                ends = {client: server, server: client}
                while ready := select([*ends], [], [], 5)[0]:
                    for end in ready:
                        if not (part := end.recv(65_536)):
                            return
                        ends[end].sendall(part)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the authority's certificate, a client's, its key, both in one file, and the key of another."""
    folder = tmp_path_factory.mktemp("certificates")
    client, other = authority.issue_cert("client.example"), authority.issue_cert("other.example")
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    client.private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
    client.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    client.private_key_pem.write_to_path(str(folder / "key.pem"))
    other.private_key_pem.write_to_path(str(folder / "other.pem"))
    (folder / "empty.pem").write_text("")
    return folder


def server(authority: trustme.CA, *, demands: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    if demands:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


@pytest.fixture
def reached(opened: Callable) -> Callable:
    """Open a client by its settings."""

    def make(url: str, **settings: Any) -> Any:
        checked = load(Rest, "crm", BASE | settings)
        return opened(url, transport=checked.transport(1), timeout=checked.timeout, attempts=1)

    return make


def test_an_authority_of_ones_own_is_trusted_and_no_other(scripted, reached, authority, files):
    script = scripted(whole(b"[1]"), context=server(authority))
    assert reached(script.url, ca_file=str(files / "authority.pem")).get("a").json() == [1]
    stranger = scripted(whole(b"[1]"), context=server(trustme.CA()))
    with pytest.raises(BusyError, match="the TLS certificate is not trusted"):
        reached(stranger.url, ca_file=str(files / "authority.pem")).post("a", json={}, writes=True)
    assert stranger.asked == []


@pytest.mark.parametrize("client_cert", ["both.pem", {"cert": "both.pem"}, {"cert": "cert.pem", "key": "key.pem"}])
def test_a_client_certificate_is_shown_where_it_is_demanded(scripted, reached, authority, files, client_cert):
    script = scripted(whole(b"[1]"), context=server(authority, demands=True))
    named = (
        {name: str(files / file) for name, file in client_cert.items()}
        if isinstance(client_cert, dict)
        else str(files / client_cert)
    )
    http = reached(script.url, ca_file=str(files / "authority.pem"), client_cert=named)
    assert http.get("a").json() == [1]


def test_a_client_certificate_that_is_demanded_and_not_set_is_named(scripted, reached, authority, files):
    context = server(authority, demands=True)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a later one tells it only when the request was sent
    script = scripted(whole(b"[1]"), context=context)
    with pytest.raises(BusyError, match=r"cannot reach .* perhaps a client certificate is demanded"):
        reached(script.url, ca_file=str(files / "authority.pem")).post("a", json={}, writes=True)
    assert script.asked == []


def test_a_demand_for_a_client_certificate_in_place_of_a_response_is_named():
    error = ssl.SSLError()
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert describe(TlsError(error)) == "the server demands a client certificate, settings.client_cert"


def test_a_proxy_is_asked_for_a_tunnel_and_hears_no_secret(scripted, reached, authority, files):
    script = scripted(whole(b"[1]"), whole(b"[2]"), context=server(authority))
    with Proxy("pass word") as proxy:
        settings = {"proxy": f"http://me:pass%20word@{proxy.address}", "ca_file": str(files / "authority.pem")}
        http = reached(script.url, **settings)
        assert [http.get("a?key=s3cret").json(), http.get("b").json()] == [[1], [2]]
    assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith(f"CONNECT {script.url.removeprefix('https://')} ".encode())
    assert b"s3cret" not in proxy.heads[0]
    assert b"Proxy-Authorization" not in script.asked[0][1]


def test_a_proxy_of_a_plain_address_is_given_the_whole_address(scripted, reached):
    script = scripted(whole(b"[1]"))
    with Proxy() as proxy:
        assert reached(script.url, proxy=f"http://{proxy.address}").get("a").json() == [1]
    assert proxy.heads[0].startswith(f"GET {script.url}/a HTTP/1.1".encode())


@pytest.mark.parametrize("url", ["https://127.0.0.1:9", "https://erp.example.com"])
def test_a_proxy_that_wants_a_password_is_told_and_nothing_was_sent(reached, url):
    with Proxy("other") as proxy:
        http = reached(url, proxy=f"http://me:s3cret@{proxy.address}")
        with pytest.raises(BusyError) as raised:
            http.post("a", json={}, writes=True)
    assert str(raised.value) == "crm: cannot reach the proxy (it answered 407); check settings.proxy"


def test_a_proxy_that_is_not_there_is_told_and_nothing_was_sent(reached):
    http = reached("https://erp.example.com", proxy="http://me:s3cret@127.0.0.1:1")
    with pytest.raises(BusyError) as raised:
        http.post("a", json={}, writes=True)
    assert str(raised.value) == "crm: cannot reach the proxy (connection refused); check settings.proxy"


def test_the_timeout_is_the_requests_deadline(reached):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        http = reached(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        with pytest.raises(UnknownOutcome, match="timeout"):
            http.post("a", json={}, writes=True)


@pytest.mark.parametrize("kind", [HubSpot, Rest])
def test_a_connection_uses_what_is_set(kind, files):
    given = {"proxy": "http://me:s3cret@127.0.0.1:1", "ca_file": str(files / "authority.pem"), "timeout": 7}
    settings = {"token": "t"} if kind is HubSpot else BASE
    connector = kind("crm", load(kind, "crm", settings | given))
    with pytest.raises(BusyError, match="cannot reach the proxy"):
        connector.http.get("a")
    assert connector.http._timeout == 7
    connector.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ca_file": "FILES/none.pem"}, "ca_file: no such file: FILES/none.pem"),
        ({"ca_file": "FILES"}, "ca_file: no such file: FILES"),
        ({"ca_file": "FILES/empty.pem"}, "ca_file: no certificates in PEM form"),
        ({"client_cert": "FILES/none.pem"}, "client_cert: no such file: FILES/none.pem"),
        ({"client_cert": {"cert": "FILES/cert.pem", "key": "FILES/none"}}, "client_cert.key: no such file: FILES/none"),
        ({"client_cert": "FILES/cert.pem"}, "client_cert: the key does not fit, or has a password"),
        ({"client_cert": {"cert": "FILES/cert.pem", "key": "FILES/other.pem"}}, "the key does not fit"),
        ({"client_cert": {"key": "FILES/key.pem"}}, "'client_cert.cert' is missing"),
        ({"timeout": 0}, "'timeout': input should be greater than 0"),
    ],
)
def test_a_file_or_time_that_cannot_be_used_is_told_at_load(settings, message, files):
    def here(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: here(inner) for name, inner in value.items()}
        return value.replace("FILES", str(files)) if isinstance(value, str) else value

    with pytest.raises(SettingsError) as raised:
        load(Rest, "crm", BASE | here(settings))
    assert here(message) in str(raised.value)


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.example:3128",
        "socks5://proxy.example",
        "http://",
        "http://proxy:port",
        "http://proxy/path",
        "http://p?q=1",
    ],
)
def test_a_proxy_that_is_no_address_is_told_at_load_and_not_shown(proxy):
    with pytest.raises(SettingsError, match=r"'proxy': must be http://\[user:password@\]host:port") as raised:
        load(Rest, "crm", BASE | {"proxy": proxy.replace("//", "//me:s3cret@")})
    assert "s3cret" not in str(raised.value)


def test_a_proxys_password_that_is_not_in_the_environment_is_named():
    with pytest.raises(
        AccessError, match=r"environment variable PROXY_PASSWORD is not set \(settings.proxy in defs.yaml, line 5\)"
    ):
        load(Rest, "crm", BASE | {"proxy": missing_env("PROXY_PASSWORD", "defs.yaml, line 5")})


def test_a_locked_key_asks_nobody(files, authority, tmp_path):
    from cryptography.hazmat.primitives import serialization

    plain = serialization.load_pem_private_key((files / "key.pem").read_bytes(), None)
    locked = plain.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pass")
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(SettingsError, match="has a password"):
        load(
            Rest, "crm", BASE | {"client_cert": {"cert": str(files / "cert.pem"), "key": str(tmp_path / "locked.pem")}}
        )


def test_the_proxy_is_no_part_of_the_account(tmp_path):
    plain, proxied = (Rest("crm", load(Rest, "crm", BASE | more)) for more in ({}, {"proxy": "http://p.example:1"}))
    for connector in (plain, proxied):
        connector.share_rate_limit(tmp_path)
        connector.http.budget.spend()
        connector.close()
    assert len(list(tmp_path.iterdir())) == 1


def test_settings_show_no_password_of_the_proxy():
    assert "s3cret" not in repr(NetworkSettings(proxy="http://me:s3cret@proxy.example:1"))


def test_the_settings_that_the_guide_shows_can_be_loaded(files):
    shown = (Path(__file__).parents[4] / "docs" / "examples" / "network.yaml").read_text("utf-8")
    for name, file in {"company-ca.pem": "authority.pem", "client.pem": "cert.pem", "client.key": "key.pem"}.items():
        shown = shown.replace(f"/etc/belvedere/{name}", str(files / file))
    settings = load(Rest, "erp", BASE | yaml.safe_load(shown)["settings"])
    assert settings.timeout == 120
