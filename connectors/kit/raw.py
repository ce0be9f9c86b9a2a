"""One answer, as it comes from its socket; httptools tells what its bytes say."""

import socket
from collections.abc import Callable
from threading import local
from time import monotonic

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions

MOST = 1 << 17  # bytes that are read from a socket at once
LONGEST_HEAD = 1 << 16


class _Room(local):
    """Hold what a thread has just read, until the parser took it: to make room each time costs as much as reading."""

    def __init__(self) -> None:
        self.bytes = memoryview(bytearray(MOST))


_here = _Room()


class Raw:
    """Read an answer's head, then its body as it was sent; give its socket back where nothing is left on it."""

    def __init__(self, held: socket.socket, give_back: Callable[[socket.socket], None]) -> None:
        self.status = 0
        self.headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        self._held, self._give_back = held, give_back
        self._parser: HttpResponseParser | None = HttpResponseParser(self)  # calls the methods `on_...`
        self._parts: list[bytes] = []
        self._is_whole = self._is_last = False

    @property
    def _has_head(self) -> bool:
        return self.status >= 200

    @property
    def length_remaining(self) -> int | None:
        """Tell when nothing is left to read, as urllib3's answers do; None means that this is not known."""
        return 0 if self._is_whole and not self._parts else None

    def begun(self) -> "Raw":
        """Read the head, which must come in the time of one read; raises OSError and HttpParserError."""
        read, end = 0, monotonic() + (self._held.gettimeout() or float("inf"))
        while True:
            read += self._read()
            if self._has_head:
                return self
            if read > LONGEST_HEAD:
                raise HttpParserError("a head without an end")
            if monotonic() > end:
                raise TimeoutError

    def read1(self, most: int = MOST, *, decode_content: bool = False) -> bytes:
        """Read what is there, nothing at the end; raises ReadTimeoutError, and ProtocolError for an end too early."""
        try:
            while not self._parts and not self._is_whole:
                self._read()
        except (OSError, HttpParserError) as error:
            raise lost(error) from None
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Let go of the socket."""
        parser, self._parser = self._parser, None  # it holds us, as we hold it
        if parser is None:
            return
        if self._is_whole and not self._is_last:
            self._give_back(self._held)
        else:
            self._held.close()

    def on_message_begin(self) -> None:
        """See what comes behind the answer: nobody asked for it, so that nobody may read on there."""
        self._is_last = self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field; one that comes twice is one, joined by a comma."""
        if not self._is_whole:
            named, said = name.decode("latin-1"), value.decode("latin-1")
            self.headers[named] = f"{self.headers[named]}, {said}" if named in self.headers else said

    def on_headers_complete(self) -> None:
        """Take an interim answer for none (RFC 9110, section 15.2): the answer is behind it."""
        if self._parser and not self._is_whole:
            self.status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        if not self._is_whole:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """See the end, of an interim answer too."""
        self._is_whole = self._has_head
        self._is_last = self._is_last or not (self._parser and self._parser.should_keep_alive())
        if not self._has_head:
            self.headers.clear()

    def _read(self) -> int:
        """Read once; what is wrong behind the answer's end is no fault of the answer."""
        room = _here.bytes
        count = self._held.recv_into(room)
        if not count:
            self._cut_off()
        elif self._parser:
            try:
                self._parser.feed_data(room[:count])
            except (HttpParserError, HttpParserUpgrade) as error:
                if not self._is_whole:
                    raise HttpParserError(error) from None
                self._is_last = True
        return count

    def _cut_off(self) -> None:
        """Take the socket's end for the end of an answer that told no length; raises HttpParserError for any other."""
        if not self._has_head or "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            raise HttpParserError("an answer ended early")
        self._is_whole = self._is_last = True


def lost(error: Exception) -> exceptions.HTTPError:
    """Name what went wrong once a request was sent, by urllib3's words."""
    if isinstance(error, TimeoutError):
        return exceptions.ReadTimeoutError(None, "", "timeout")  # type: ignore[arg-type]
    return exceptions.ProtocolError(error)
