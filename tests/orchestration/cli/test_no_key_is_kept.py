"""A key that goes into the query, and that every `next` repeats, is on no console and in no file."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest

from connectors.kit.errors import ConnectorError
from connectors.kit.http.client import Http
from engine.config.project import Project
from engine.extract.run import extract
from orchestration.cli.main import main

KEY = "c4nary/key+s3cret"
SPELLED = [KEY.encode(), quote_plus(KEY).encode(), b"c4nary"]
WAYS = {
    "auth": '  auth: {kind: query, param: api_key, secret: "{{ env.ERP_KEY }}"}',
    "params": "",
}
PARAMS = {"auth": "{}", "params": '{api_key: "{{ env.ERP_KEY }}", kind: company}'}
DEFS = """
type: orchestration.components.Connection
attributes:
  connector: rest
  role: erp
  settings:
    base_url: URL/MODE
    timeout: 5
  WAY
    streams:
      accounts:
        path: accounts
        params: PARAMS
        record_path: data
        table: accounts
        paging: {kind: link, path: next}
        cursor: {path: updated_at, param: since}
        fields: {account_id: id, name: name}
"""
MODES = {  # what the second page is like, by the path that it is asked at
    "fine": (200, {}, None),
    "loops": (200, {}, b'{"data": [{"id": 9}], "next": "NEXT"}'),
    "repeats": (200, {}, b'{"data": [{"id": 1, "name": "A"}], "next": "?page=3&api_key=KEY"}'),
    "leaves": (200, {}, b'{"data": [{"id": 3}], "next": "http://127.0.0.2:9/a?api_key=KEY"}'),
    "moves": (302, {"Location": "http://127.0.0.2:9/a?api_key=KEY"}, b""),
    "circles": (302, {"Location": "NEXT"}, b""),
    "unreadable": (200, {}, b'{"data": [{"id": 3}], "next": "http://[::1/?api_key=KEY"}'),
    "refused": (401, {}, b"no"),
    "forbidden": (403, {}, b"no"),
    "missing": (404, {}, b'{"message": "no"}'),
    "limited": (429, {"Retry-After": "3600"}, b""),
    "down": (503, {"Retry-After": "0"}, b""),
    "login": (200, {"Content-Type": "text/html"}, b"<form>"),
    "cut": (200, {"Content-Length": "99", "Connection": "close"}, b"{"),
    "bomb": (200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * (65 << 20))),
    "broken": (200, {"no field": "x"}, b"[]"),
}


class Handler(BaseHTTPRequestHandler):
    """Demand the key; answer a first page whose link repeats it, then what the mode says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        mode = urlsplit(self.path).path.split("/")[1].partition("-")[0]
        following = f"{urlsplit(self.path).path}?page=2&api_key={quote_plus(KEY)}&kind=company"
        if query.get("api_key") != [KEY]:
            self.say(418, {}, b"no key, or two")
        elif query.get("page") == ["2"]:
            status, headers, body = MODES[mode]
            if body is None:
                body = b'{"data": [{"id": 2, "name": "B", "updated_at": "2026-01-01"}], "next": null}'
            link = following.replace("page=2", "page=2&twice=1") if mode == "circles" else following
            named = {name: self.filled(value.encode(), link).decode() for name, value in headers.items()}
            self.say(status, named, self.filled(body, link))
        else:
            first = {"data": [{"id": 1, "name": "A", "updated_at": "2026-01-01"}], "next": following}
            self.say(200, {}, json.dumps(first).encode())

    def filled(self, text: bytes, link: str) -> bytes:
        return text.replace(b"NEXT", link.encode()).replace(b"KEY", quote_plus(KEY).encode())

    def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        usual = {"Content-Type": "application/json", "Date": formatdate(usegmt=True), "Content-Length": str(len(body))}
        for name, value in {**usual, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def connections(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write connections, each a mode and a way in; return the home folder."""

    def write(*names: tuple[str, str]) -> Path:
        for mode, way in names:
            folder = tmp_path / "defs" / f"{mode}_{way}"
            folder.mkdir(parents=True)
            text = DEFS.replace("URL", source).replace("MODE", f"{mode}-{way}").replace("PARAMS", PARAMS[way])
            (folder / "defs.yaml").write_text(text.replace("  WAY\n", f"  {WAYS[way]}\n" if WAYS[way] else ""))
        return tmp_path / "home"

    monkeypatch.setenv("BELVEDERE_DEFS", str(tmp_path / "defs"))
    monkeypatch.setenv("BELVEDERE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    monkeypatch.setenv("ERP_KEY", KEY)
    monkeypatch.setitem(Http.__init__.__kwdefaults__, "sleep", lambda seconds: None)
    return write


@pytest.mark.parametrize("way", WAYS)
def test_whatever_fails_the_key_is_in_no_error_and_in_no_file(connections: Callable[..., Path], way: str):
    home = connections(*((mode, way) for mode in MODES))
    project, messages = Project.load(), dict[str, str]()
    for mode in MODES:
        with suppress(ConnectorError):
            (result,) = extract(project, f"{mode}_{way}", "first")
            messages[mode] = f"{result!r} {result.error!r}"
    assert len(messages) == len(MODES)
    assert [text for text in messages.values() if "c4nary" in text] == []
    assert [mode for mode, text in messages.items() if "status='done'" in text] == ["fine"]
    assert [file for file in home.rglob("*") if file.is_file() and holds_the_key(file)] == []


def test_the_command_shows_and_keeps_no_key(connections: Callable[..., Path], capfd: pytest.CaptureFixture[str]):
    home = connections(("fine", "params"), ("loops", "auth"), ("down", "auth"), ("refused", "params"))
    assert main(["extract"]) == 3
    main(["check"])
    main(["state"])
    output = "".join(capfd.readouterr())
    assert "paging makes no progress" in output
    assert "c4nary" not in output
    assert (home / "dagster").is_dir()
    assert [file for file in home.rglob("*") if file.is_file() and holds_the_key(file)] == []


def holds_the_key(file: Path) -> bool:
    content = file.read_bytes()
    return any(spelling in content for spelling in SPELLED)
