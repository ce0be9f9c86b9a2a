"""Answers byte by byte, from a server that says just what it is told."""

import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from socket import socket

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def whole(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@dataclass
class Script:
    """Answer request after request by the bytes that are left; None hangs up."""

    answers: list[bytes | None]
    context: ssl.SSLContext | None = None
    url: str = ""
    asked: list[tuple[int, bytes]] = field(default_factory=list)

    def serve(self, listening: socket) -> None:
        for number in count():
            try:
                client = listening.accept()[0]
            except OSError:
                return
            with suppress(OSError), client:
                client.settimeout(5)
                self._talk(number, self.context.wrap_socket(client, server_side=True) if self.context else client)

    def _talk(self, number: int, client: socket) -> None:
        with client:
            while self.answers and self.answers[0] is not None:
                if not (request := self._request(client)):
                    return
                self.asked.append((number, request))
                client.sendall(self.answers.pop(0) or b"")
            self.answers = self.answers[1:]

    def _request(self, client: socket) -> bytes:
        got = b""
        while b"\r\n\r\n" not in got:
            if not (part := client.recv(65_536)):
                return b""
            got += part
        return got
