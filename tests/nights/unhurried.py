"""A small world that is read in many small pages, by clients that wait without losing time."""

from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from connectors.hubspot.connector import HubSpot
from connectors.kit.http.client import Http
from connectors.kit.rate_limit.usage_store import ticks
from engine.config.project import Project
from tests.conftest import opened


class Time:
    """Tell a time that runs on while somebody pretends to sleep."""

    def __init__(self) -> None:
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        """Wait no moment; the clock shows that it was waited."""
        self.slept += seconds

    def clock(self) -> float:
        """Tell the time."""
        return ticks() + self.slept


def unhurried(patch: pytest.MonkeyPatch) -> Time:
    """Let every client wait by a clock of ours, and HubSpot answer small pages."""
    time = Time()
    patch.setitem(Http.__init__.__kwdefaults__, "sleep", time.sleep)
    patch.setitem(Http.__init__.__kwdefaults__, "clock", time.clock)
    for page_size in ("list_page_size", "search_page_size"):
        patch.setattr(HubSpot, page_size, 25)
    return time


def small(home: Path) -> Project:
    """Open a project whose pages are small."""
    project = opened(home)
    project.connections["odoo"].settings |= {"page_size": 20}
    project.connections["zendesk"].settings |= {"page_size": 10}
    return project


class Elsewhere:
    """Be another origin, and remember whatever is sent there."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(f"{self.command} {self.path} {self.headers.get('Authorization', '')}")
                self.send_error(404)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> "Elsewhere":
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        with suppress(OSError):
            self.server.shutdown()
            self.server.server_close()
