"""One answer, as it comes from its socket; httptools tells what its bytes say."""

import socket
from collections.abc import Callable
from time import monotonic

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions

MOST = 1 << 17  # bytes that are read from a socket at once
LONGEST_HEAD = 1 << 16  # bytes in a row that are no body; the last read of them may go beyond


NONE = -1  # status, as yet
_spare: list[memoryview] = []  # to make room for each reading costs as much as the reading


class Raw:
    """Read an answer's head, then its body as it was sent; give its socket back where nothing is left on it."""

    def __init__(self, held: socket.socket, give_back: Callable[[socket.socket], None]) -> None:
        self.status = NONE
        self.headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        self._held, self._give_back = held, give_back
        self._parser: HttpResponseParser | None = HttpResponseParser(self)  # calls the methods `on_...`
        self._parts: list[bytes] = []
        self._is_whole = self._is_last = False

    @property
    def _has_head(self) -> bool:
        return self.status != NONE and not 100 <= self.status < 200  # others are interim (RFC 9110, section 15.2)

    @property
    def length_remaining(self) -> int | None:
        """Tell when nothing is left to read, as urllib3's answers do; None means that this is not known."""
        return 0 if self._is_whole and not self._parts else None

    def begun(self, *, is_asked: bool = True) -> "Raw":
        """Read the head; raises OSError and HttpParserError.

        Where the request was not sent whole, only what refuses it is an answer.
        """
        self._is_last = not is_asked
        self._read_until(lambda: self._has_head)
        if not is_asked and self.status < 400:
            raise HttpParserError("a success that was not asked for")
        return self

    def read1(self, most: int = MOST, *, decode_content: bool = False) -> bytes:
        """Read what is there, nothing at the end; raises ReadTimeoutError, and ProtocolError for an end too early."""
        try:
            self._read_until(lambda: self._parts or self._is_whole)
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
        self._is_last = self._is_last or self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head, none of a trailer; one that comes twice is one, joined by a comma."""
        if not self._has_head:
            named, said = name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")
            self.headers[named] = f"{self.headers[named]}, {said}" if named in self.headers else said

    def on_headers_complete(self) -> None:
        """Take an interim answer for none (RFC 9110, section 15.2): the answer is behind it."""
        if self._parser and not self._has_head:
            self.status = self._parser.get_status_code()
            self._is_last = self._is_last or self._announces_what_cannot_be()

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

    def _announces_what_cannot_be(self) -> bool:
        """Tell of content where there is none (RFC 9110, sections 15.3.5 and 15.4.5); some servers send it even so."""
        length = self.headers.get("Content-Length", "0")
        return self.status in (204, 304) and (length != "0" or "Transfer-Encoding" in self.headers)

    def _read_until(self, is_there: Callable[[], object]) -> None:
        """Read until something is there, for the time of one read at most: a peer may drip what says nothing."""
        if is_there():
            return
        read, end = 0, monotonic() + (self._held.gettimeout() or float("inf"))
        while True:
            read += self._read()
            if is_there():
                return
            if read > LONGEST_HEAD:
                raise HttpParserError("nothing but heads and trailers")
            if monotonic() > end:
                raise TimeoutError

    def _read(self) -> int:
        """Read once; the room is nobody else's meanwhile, whatever interrupts us."""
        room = _spare.pop() if _spare else memoryview(bytearray(MOST))
        try:
            count = self._held.recv_into(room)
            if count:
                self._take_in(room[:count])
            else:
                self._cut_off()
        finally:
            _spare.append(room)
        return count

    def _take_in(self, said: memoryview) -> None:
        """Let the parser see it; what is wrong behind the answer's end is no fault of the answer."""
        if self._parser:
            try:
                self._parser.feed_data(said)
            except (HttpParserError, HttpParserUpgrade) as error:
                self._judge(error)

    def _judge(self, error: Exception) -> None:
        was_whole, self._is_last = self._is_whole, True
        if isinstance(error, HttpParserCallbackError):
            raise _interrupt(error) from None
        if not was_whole:
            raise HttpParserError(error) from None

    def _cut_off(self) -> None:
        """Take the socket's end for the end of an answer that told no length; raises HttpParserError for any other."""
        if not self._has_head or "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            raise HttpParserError("an answer ended early")
        self._is_whole = self._is_last = True


def _interrupt(error: HttpParserCallbackError) -> BaseException:
    """Find what was raised while the parser called us: Ctrl-C, for one, is no fault of the answer."""
    cause = error.__context__  # what was being handled meanwhile takes its place
    return RuntimeError("reading was interrupted") if cause is None or isinstance(cause, Exception) else cause


def lost(error: Exception) -> exceptions.HTTPError:
    """Name what went wrong once a request was sent, by urllib3's words."""
    if isinstance(error, TimeoutError):
        return exceptions.ReadTimeoutError(None, "", "timeout")  # type: ignore[arg-type]
    return exceptions.ProtocolError(error)
