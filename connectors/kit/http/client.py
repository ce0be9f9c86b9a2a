"""The HTTP client of a connection: it stays on its origin, bounds what it reads, and knows what may be sent twice."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr
from requests import PreparedRequest, RequestException
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential
from urllib3.exceptions import HTTPError, ProxyError

from connectors.kit.errors import AccessError, BusyError, ReplyError, UnknownOutcome
from connectors.kit.http.auth import Refreshed, token_answer
from connectors.kit.http.body import whole
from connectors.kit.http.network import TIMEOUT
from connectors.kit.http.network_errors import describe, inner, never_sent, retry_after
from connectors.kit.http.request import COMMON, Call, Query, Requests, joined, origin
from connectors.kit.http.response import Refused, Reply
from connectors.kit.http.transport import Deadline, Transport
from connectors.kit.rate_limit.limiter import LONGEST_HOLD, LONGEST_WAIT, Budget, Limit, RateHeader
from connectors.kit.rate_limit.usage_store import ticks

POOL = 10
REFUSED_ATTEMPTS = 3  # nobody listens: a typing error far more often than a passing fault
_PAUSE = wait_random_exponential(multiplier=0.5, max=30)


class _Again(Exception):
    """The request failed in a way that a repetition may mend; `holds` says that the whole account has to wait."""

    def __init__(
        self, final: Exception, after: float | None = None, attempts: int | None = None, *, holds: bool = False
    ) -> None:
        super().__init__(str(final))
        self.final, self.after, self.attempts, self.holds = final, after, attempts, holds


class Http:
    """Send requests of one connection to one origin, within its account's budget, again where that is safe."""

    def __init__(
        self,
        connection: str,
        base_url: str,
        *,
        auth: AuthBase | None = None,
        limits: Sequence[Limit] = (),
        rates: Sequence[RateHeader] = (),
        places: int | None = None,
        headers: Mapping[str, str] | None = None,
        transport: Transport | None = None,
        timeout: float = TIMEOUT,
        max_body: int = 64 << 20,
        attempts: int = 6,
        sleep: Callable[[float], None] = sleep,
        clock: Callable[[], float] = ticks,
    ) -> None:
        """Open a client that several threads may share.

        `timeout` is how many seconds a request may take on the network, its repetitions included; what is waited for a
        rate limit, or between two tries, is not counted.
        """
        self.connection = connection
        self.date: datetime | None = None
        self.answered = False
        self._auth, self._timeout, self._max_body = auth, timeout, max_body
        self._attempts = attempts
        self.budget = Budget(limits, clock, sleep, rates=rates, places=places, name=connection)
        self._transport = transport or Transport(POOL)
        self._requests = Requests(connection, base_url, {**COMMON, **(headers or {})}, auth)
        self._retrying = Retrying(
            retry=retry_if_exception_type(_Again), stop=self._enough, wait=self._pause, sleep=sleep, reraise=True
        )

    @property
    def base_url(self) -> str:
        """Tell the address that paths are relative to."""
        return self._requests.base_url

    def get(
        self,
        path: str,
        params: Query = None,
        headers: Mapping[str, str] | None = None,
        *,
        scope: str | None = None,
        expect: str | None = "json",
    ) -> Reply:
        """Read; `path` is relative to the base URL, or an absolute URL of the same origin."""
        return self._send(Call("GET", path, params, headers, scope=scope, expect=expect))

    def post(self, path: str, **options: Any) -> Reply:
        """Send a body: `json` or `form`; see `Call` for what else may be said."""
        return self._send(Call("POST", path, **options))

    def put(self, path: str, **options: Any) -> Reply:
        """Replace; see `post`."""
        return self._send(Call("PUT", path, **options))

    def patch(self, path: str, **options: Any) -> Reply:
        """Change; see `post`."""
        return self._send(Call("PATCH", path, **options))

    def delete(self, path: str, **options: Any) -> Reply:
        """Delete; see `post`."""
        return self._send(Call("DELETE", path, **options))

    def token(self, url: str, form: Mapping[str, str]) -> tuple[SecretStr, float]:
        """Ask for an OAuth token, with its life in seconds, at an address that no answer named; charged like any."""
        reply = self._send(Call("POST", url, form=form, bare=True))
        try:
            return token_answer(reply.json())
        except AccessError as error:
            where = _path(reply.url)
            raise AccessError(f"{self.connection}: {where} gave {error}; check the secret in settings") from None

    def share_rate_limit(self, folder: Path, account: str) -> None:
        """Keep the account's budget in a folder, for all processes of the machine."""
        self.budget.share(folder, account)

    def close(self) -> None:
        """Close the sockets."""
        self._transport.close()

    def _send(self, call: Call) -> Reply:
        """Send, again where that may help."""
        try:
            return self._retrying(self._once, call, Deadline(self._timeout))
        except _Again as error:
            raise error.final from None

    def _once(self, call: Call, deadline: Deadline) -> Reply:
        reply = self._exchange(call, deadline)
        self._judge(reply, call)
        if reply.status in (301, 302, 303, 307, 308):
            return self._followed(reply, call, deadline)
        if reply.status >= 300 or (reply.status == 206 and "Range" not in (call.headers or {})):
            raise self._unread(call, ReplyError(f"answered {reply.status} at {_path(reply.url)}, which is no success"))
        self._look_at_kind(reply, call)
        return reply

    def _look_at_kind(self, reply: Reply, call: Call) -> None:
        expect = call.expect
        if not expect or not reply.body:
            return
        kind = reply.headers.get("Content-Type", expect)
        if expect not in kind.lower():
            raise self._doubtful(call, f"answered {kind[:80]} where {expect} was due, a login page perhaps", ReplyError)

    def _exchange(self, call: Call, deadline: Deadline) -> Reply:
        """Send once; where the token was refused, once more with another one: a 401 has done nothing."""
        reply, sent = self._charged(call, deadline)
        if reply.status == 401 and isinstance(self._auth, Refreshed) and not call.bare:
            self._auth.forget(sent)
            reply, _ = self._charged(call, deadline)
        return reply

    def _charged(self, call: Call, deadline: Deadline) -> tuple[Reply, str | None]:
        """Send once, and charge it; returns the Authorization header that was sent, too."""
        request = self._requests.prepared(call)
        with self.budget.spent(call.scope, writes=call.writes):
            try:
                with deadline:
                    reply = self._sent(request, deadline)
            except (RequestException, HTTPError, ValueError) as error:  # its text may show a secret
                raise self._failed(call, error) from None
            except ReplyError as error:
                raise self._unread(call, error) from None
        if not call.bare:  # a token endpoint may be another machine, with another clock
            self._note_clock(reply)
        self.budget.update_from_headers(reply.headers)
        return reply, request.headers.get("Authorization")

    def _sent(self, request: PreparedRequest, deadline: Deadline) -> Reply:
        with self._transport.sent(request, deadline) as response:  # closes its socket, unless all was read
            is_left = response.status_code in (204, 304) and _announces_content(response.headers)
            body = b"" if is_left else whole(response.raw, self._max_body)
        return Reply(response.status_code, response.headers, body, request.url or "")

    def _failed(self, call: Call, error: Exception) -> Exception:
        if not never_sent(error):
            return self._doubtful(call, f"no whole answer ({describe(error)})")
        where, setting = self._requests.origin, "settings.base_url"
        if isinstance(inner(error), ProxyError):
            where, setting = "the proxy", "settings.proxy"
        elif call.bare and (target := origin(joined(self.base_url, call.url))) != where:
            where, setting = target, "the address of the token endpoint in settings"
        final = BusyError(f"{self.connection}: cannot reach {where} ({describe(error)}); check {setting}")
        return _Again(final, attempts=min(REFUSED_ATTEMPTS, self._attempts))

    def _judge(self, reply: Reply, call: Call) -> None:
        status = reply.status
        if status < 400:
            return
        if status in (401, 403):
            raise self._no_access(reply, call)
        if status == 429 or status >= 500:
            raise self._busy(reply, call)
        raise Refused(f"{self.connection}: refused {_path(reply.url)} ({status})", status, reply.body)

    def _no_access(self, reply: Reply, call: Call) -> Exception:
        is_new = isinstance(self._auth, Refreshed) and not call.bare
        refused = "a new token was refused too" if is_new else "the secret was refused"
        word = refused if reply.status == 401 else "the secret lacks a right for this"
        where = f"{reply.status} at {_path(reply.url)}"
        check = getattr(self._auth, "settings_to_check", "the secret in settings")
        return AccessError(f"{self.connection}: {word} ({where}); check {check}")

    def _busy(self, reply: Reply, call: Call) -> Exception:
        """Hold the account for as long as the source asks; what is beyond reason is left to a later run."""
        limited, after = reply.status == 429, retry_after(reply.headers)
        what = "too many requests (429)" if limited else f"answered {reply.status} at {_path(reply.url)}"
        message = f"{what}; the source asks to wait {after:.10g} s" if after else what
        if after:
            self.budget.hold(after, message)
        if call.writes and not limited:
            return self._doubtful(call, what)
        if after and after > LONGEST_WAIT:
            return BusyError(f"{self.connection}: {message}; {self.budget.goes_on(min(after, LONGEST_HOLD))}")
        return _Again(BusyError(f"{self.connection}: {what}"), after=after, holds=limited and after is None)

    def _followed(self, reply: Reply, call: Call, deadline: Deadline) -> Reply:
        if call.writes:
            raise self._doubtful(call, f"answered with a redirect of {_path(reply.url)}")
        location = reply.headers.get("Location", "").strip().encode("latin-1", "replace").decode("utf-8", "replace")
        target = self._requests.on_origin(joined(reply.url, location))
        if call.method != "GET" or target == reply.url:
            raise ReplyError(f"{self.connection}: unexpected redirect of {_path(reply.url)}; check settings.base_url")
        further = Call("GET", target, headers=call.headers, scope=call.scope, expect=call.expect)
        answer = self._exchange(further, deadline)
        self._judge(answer, further)
        if answer.status >= 300:
            where = _path(reply.url)
            raise ReplyError(f"{self.connection}: more than one redirect of {where}; check settings.base_url")
        self._look_at_kind(answer, further)
        return answer

    def _doubtful(self, call: Call, what: str, kind: type[Exception] = BusyError) -> Exception:
        if call.writes:
            return UnknownOutcome(f"{self.connection}: {what}; the write may or may not have been applied")
        return _Again(kind(f"{self.connection}: {what}"))

    def _unread(self, call: Call, error: ReplyError) -> Exception:
        """Say that an answer came which is not to be read: asking again would not mend it."""
        if call.writes:
            return UnknownOutcome(f"{self.connection}: {error}; the write may have been applied")
        return ReplyError(f"{self.connection}: {error}")

    def _note_clock(self, reply: Reply) -> None:
        self.answered, stamp = True, reply.headers.get("Date")
        if stamp:
            self.date = _instant(stamp) or self.date

    def _enough(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        most = error.attempts if isinstance(error, _Again) and error.attempts else self._attempts
        deadline: Deadline = state.args[1]
        return deadline.left <= 0 or stop_after_attempt(most)(state)

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _Again) and error.after is not None:
            return error.after
        pause = _PAUSE(state)
        if isinstance(error, _Again) and error.holds:
            self.budget.hold(pause, "too many requests (429)")
        return pause


def _announces_content(headers: Mapping[str, str]) -> bool:
    """Tell of content where there is none (RFC 9110, sections 15.3.5 and 15.4.5): some servers send it even so."""
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"


@lru_cache(maxsize=8)  # many answers a second carry one text
def _instant(stamp: str) -> datetime | None:
    try:
        return parsedate_to_datetime(stamp).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _path(url: str) -> str:
    return urlsplit(url).path
