"""The one way out: a session that stays on its origin, bounds what it reads, and knows what may be sent twice."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic, sleep
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from connectors.kit.auth import Refreshed
from connectors.kit.budget import Budget, Limit
from connectors.kit.errors import AccessError, BusyError, ReplyError, SettingsError, UnknownOutcome
from connectors.kit.reply import Refused, Reply

CHUNK = 1 << 18
LONGEST_WAIT = 120.0
REFUSED_ATTEMPTS = 3  # nobody listens: a typing error far more often than a passing fault
Query = Mapping[str, Any] | Sequence[tuple[str, Any]] | None


class _Again(Exception):
    """The request failed in a way that a repetition may mend."""

    def __init__(self, final: Exception, after: float | None = None, attempts: int | None = None) -> None:
        super().__init__(str(final))
        self.final, self.after, self.attempts = final, after, attempts


class _TooLarge(ReplyError):
    """The answer is larger than what may be held."""


class Http:
    """Send requests of one connection to one origin, within its budget, again where that is safe."""

    def __init__(
        self,
        connection: str,
        base_url: str,
        *,
        auth: AuthBase | None = None,
        limits: Sequence[Limit] = (),
        headers: Mapping[str, str] | None = None,
        session: requests.Session | None = None,
        timeout: tuple[float, float] = (10, 60),
        total_timeout: float = 300,
        max_body: int = 64 << 20,
        attempts: int = 6,
        sleep: Callable[[float], None] = sleep,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.connection, self.base_url = connection, base_url.rstrip("/") + "/"
        self.date: datetime | None = None
        self.answered = False
        self._auth, self._timeout, self._total, self._max_body = auth, timeout, total_timeout, max_body
        self._attempts, self._sleep, self._clock = attempts, sleep, clock
        self._budget = Budget(limits, clock, sleep)
        self._session = session or requests.Session()
        self._session.trust_env = False  # else ~/.netrc would replace our Authorization header
        self._session.headers.update({"Accept": "application/json", "User-Agent": "belvedere", **(headers or {})})
        self._origin = _origin(self.base_url)
        if not self._origin.startswith(("http://", "https://")) or not urlsplit(self.base_url).hostname:
            raise SettingsError(f"{connection}: settings.base_url must be a whole address such as https://host/path")

    def get(
        self,
        path: str,
        params: Query = None,
        headers: Mapping[str, str] | None = None,
        *,
        expect: str | None = "json",
    ) -> Reply:
        """Read; `path` is relative to the base URL, or an absolute URL of the same origin."""
        return self._send("GET", path, params=params, headers=headers, expect=expect)

    def post(self, path: str, **options: Any) -> Reply:
        """Send a body: `json` or `form`; `writes=True` says that it changes something at the source."""
        return self._send("POST", path, **options)

    def put(self, path: str, **options: Any) -> Reply:
        """Replace; see `post`."""
        return self._send("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Reply:
        """Change; see `post`."""
        return self._send("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Reply:
        """Delete; see `post`."""
        return self._send("DELETE", path, **options)

    def close(self) -> None:
        """Close the session's sockets."""
        self._session.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Query = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        writes: bool = False,
        expect: str | None = "json",
    ) -> Reply:
        url = self._on_origin(path)
        request = requests.Request(method, url, params=params, headers=dict(headers or {}), json=json, data=form)
        retrying = Retrying(
            retry=retry_if_exception_type(_Again),
            stop=self._enough,
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, request, writes, expect)
        except _Again as error:
            raise error.final from None

    def _once(self, request: requests.Request, writes: bool, expect: str | None) -> Reply:
        reply = self._exchange(request, writes)
        self._note_clock(reply)
        self._judge(reply, writes)
        if reply.status in (301, 302, 303, 307, 308):
            return self._followed(reply, request, writes, expect)
        self._look_at_kind(reply, writes, expect)
        return reply

    def _look_at_kind(self, reply: Reply, writes: bool, expect: str | None) -> None:
        if expect and reply.body and expect not in reply.headers.get("Content-Type", expect).lower():
            kind = reply.headers.get("Content-Type", "nothing")
            raise self._doubtful(writes, f"answered {kind} where {expect} was due, a login page perhaps", ReplyError)

    def _exchange(self, request: requests.Request, writes: bool) -> Reply:
        prepared = self._prepared(request)
        self._budget.spend()
        try:
            response = self._session.send(prepared, stream=True, timeout=self._timeout, allow_redirects=False)
            with response:
                return Reply(response.status_code, response.headers, self._body(response), prepared.url or "")
        except requests.RequestException as error:
            if _never_sent(error):
                final = BusyError(
                    f"{self.connection}: cannot reach {self._origin} ({_why(error)}); check settings.base_url"
                )
                raise _Again(final, attempts=REFUSED_ATTEMPTS) from None
            raise self._doubtful(writes, f"no whole answer ({_why(error)})") from None
        except HTTPError as error:
            raise self._doubtful(writes, f"no whole answer ({type(error).__name__})") from None
        except _TooLarge as error:
            raise UnknownOutcome(f"{error}; the write may have been applied") if writes else error from None
        except ValueError:  # the text of this error shows the header, and so the secret
            raise AccessError(
                f"{self.connection}: the secret cannot be sent in a header; a line break in it?"
            ) from None

    def _prepared(self, request: requests.Request) -> requests.PreparedRequest:
        """Make the request; it is this address that is sent to, so its origin is looked at once more."""
        request.auth = self._auth
        try:
            prepared = self._session.prepare_request(request)
        except requests.RequestException as error:
            why = type(error).__name__
            raise ReplyError(f"{self.connection}: a request to {_path(request.url)} cannot be made ({why})") from None
        self._on_origin(prepared.url or "")
        return prepared

    def _body(self, response: requests.Response) -> bytes:
        """Read with an eye on size and clock; read1 gives what is there, so that a slow drip is noticed."""
        parts, size, end = [], 0, self._clock() + self._total
        while part := response.raw.read1(CHUNK, decode_content=True):
            size += len(part)
            if size > self._max_body:
                raise _TooLarge(
                    f"{self.connection}: an answer is larger than {self._max_body >> 20} MiB; ask for smaller pages"
                )
            if self._clock() > end:
                raise requests.ReadTimeout
            parts.append(part)
        return b"".join(parts)

    def _judge(self, reply: Reply, writes: bool) -> None:
        status = reply.status
        if status == 401 and isinstance(self._auth, Refreshed):
            self._auth.forget()
            raise _Again(AccessError(f"{self.connection}: the token was refused (401)"), after=0, attempts=2)
        if status in (401, 403):
            word = "the secret was refused" if status == 401 else "the secret lacks a right for this"
            raise AccessError(
                f"{self.connection}: {word} ({status} at {_path(reply.url)}); check the secret in settings"
            )
        if status == 429:
            after = _retry_after(reply)
            final = BusyError(f"{self.connection}: too many requests (429)")
            if after is not None and after > LONGEST_WAIT:
                raise BusyError(f"{self.connection}: too many requests; the source asks to wait {after:.0f} s")
            if after is not None:
                self._budget.hold(after)
            raise _Again(final, after=after)
        if status >= 500:
            raise self._doubtful(writes, f"answered {status} at {_path(reply.url)}", after=_retry_after(reply))
        if status >= 400:
            raise Refused(f"{self.connection}: refused {_path(reply.url)} ({status})", status, reply.body)

    def _followed(self, reply: Reply, request: requests.Request, writes: bool, expect: str | None) -> Reply:
        if writes:
            raise self._doubtful(writes, f"answered with a redirect of {_path(reply.url)}")
        target = self._on_origin(urljoin(reply.url, reply.headers.get("Location", "")))
        if request.method != "GET" or target == reply.url:
            raise ReplyError(f"{self.connection}: unexpected redirect of {_path(reply.url)}; check settings.base_url")
        answer = self._exchange(requests.Request("GET", target, headers=request.headers), writes=False)
        self._judge(answer, writes=False)
        if answer.status >= 300:
            raise ReplyError(
                f"{self.connection}: more than one redirect of {_path(reply.url)}; check settings.base_url"
            )
        self._look_at_kind(answer, False, expect)
        return answer

    def _doubtful(
        self, writes: bool, what: str, kind: type[Exception] = BusyError, after: float | None = None
    ) -> Exception:
        if writes:
            return UnknownOutcome(f"{self.connection}: {what}; the write may or may not have been applied")
        return _Again(kind(f"{self.connection}: {what}"), after=after)

    def _on_origin(self, path: str) -> str:
        url = path if "://" in path else urljoin(self.base_url, path.lstrip("/"))
        if _origin(url) != self._origin:
            raise ReplyError(f"{self.connection}: refused to follow a link to another origin, {_origin(url)}")
        return url

    def _note_clock(self, reply: Reply) -> None:
        self.answered, stamp = True, reply.headers.get("Date")
        if stamp:
            try:
                self.date = parsedate_to_datetime(stamp).astimezone(UTC)
            except ValueError:
                return

    def _enough(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        most = error.attempts if isinstance(error, _Again) and error.attempts else self._attempts
        return stop_after_attempt(most)(state)

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _Again) and error.after is not None:
            return min(error.after, LONGEST_WAIT)
        return wait_random_exponential(multiplier=0.5, max=30)(state)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _path(url: str) -> str:
    return urlsplit(url).path


def _retry_after(reply: Reply) -> float | None:
    """Read Retry-After: seconds, or an HTTP date (RFC 9110, section 10.2.3)."""
    given = reply.headers.get("Retry-After")
    if not given:
        return None
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        base = parsedate_to_datetime(reply.headers["Date"]) if "Date" in reply.headers else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(given) - base).total_seconds())
    except (TypeError, ValueError):  # unreadable, or of no zone
        return None


def _never_sent(error: Exception) -> bool:
    return isinstance(error, requests.ConnectTimeout) or isinstance(
        _reason(error), NewConnectionError | ConnectTimeoutError | NameResolutionError
    )


def _reason(error: Exception) -> object:
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def _why(error: Exception) -> str:
    """Name the fault without the exception's text, which may hold an URL with a secret."""
    reason = _reason(error)
    if isinstance(reason, NameResolutionError):
        return "unknown host"
    if isinstance(reason, NewConnectionError):
        return "connection refused"
    if isinstance(error, requests.Timeout) or isinstance(reason, ConnectTimeoutError):
        return "timeout"
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS certificate is not trusted"
    return "connection broken"
