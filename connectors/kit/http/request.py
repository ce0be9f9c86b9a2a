"""A call and the request that it becomes: prepared once for each path, then copied; never to another origin."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, urldefrag, urlencode, urljoin, urlsplit

import msgspec
import requests
from requests.auth import AuthBase

from connectors.kit.errors import AccessError, ReplyError, SettingsError

MOST_TEMPLATES = 256
LONGEST_LINK = 16_384  # characters: servers take half of it
_quoted = lru_cache(MOST_TEMPLATES)(quote_plus)  # page after page sends the same words
COMMON = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "belvedere"}
_TARGET = re.compile(r"[!-~]+")
_NAME, _VALUE = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII), re.compile(r"[\t -~\x80-\xff]*")  # RFC 9110, section 5
Query = Mapping[str, Any] | Sequence[tuple[str, Any]] | None


class Call(msgspec.Struct, frozen=True):
    """Hold what a connector asks for; `url` is a path beneath the base URL, or an address of the same origin.

    `writes` says that it changes something at the source, `scope` which limit counts it too, `expect` a word of the
    answer's type, `bare` that the secret stays here.
    """

    method: str
    url: str
    params: Query = None
    headers: Mapping[str, str] | None = None
    json: Any = None
    form: Mapping[str, str] | None = None
    writes: bool = False
    scope: str | None = None
    expect: str | None = "json"
    bare: bool = False

    def __repr__(self) -> str:
        return f"Call({self.method} {urlsplit(self.url).path})"


class Requests:
    """Make the requests of one connection, all to one origin."""

    def __init__(
        self, connection: str, base_url: str, headers: Mapping[str, str | bytes | None], auth: AuthBase | None
    ) -> None:
        """Take the headers that go to this origin; a `bare` call, which may go elsewhere, has COMMON alone."""
        self.connection, self.base_url, self._auth = connection, base_url.rstrip("/") + "/", auth
        self._headers = {name: _text(value) for name, value in headers.items() if value is not None}
        self.origin = origin(self.base_url)
        is_whole = self.origin.startswith(("http://", "https://")) and urlsplit(self.base_url).hostname
        if not is_whole or "?" in base_url or "#" in base_url:
            raise SettingsError(
                f"{connection}: settings.base_url must be a whole address such as https://host/path, without a user, "
                "a password or a query; a secret goes into settings.auth, params or headers"
            )
        self._templates: dict[Any, requests.PreparedRequest] = {}

    def prepared(self, call: Call) -> requests.PreparedRequest:
        """Make a request; it is the address that is sent to whose origin counts."""
        template = self._template(call)
        request = requests.PreparedRequest()  # its own copy() would copy a jar of cookies as well
        request.method, request.hooks, request.body = template.method, template.hooks, template.body
        request.headers = template.headers.copy()
        try:
            request.url = self._with_query(template.url or "", call.params)
            if call.json is not None or call.form is not None:
                _add_body(request, call)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._unmade(call, error) from None
        if self._auth is not None and not call.bare:
            self._auth(request)
            if not _can_be_sent(request.headers):
                raise AccessError(f"{self.connection}: the secret cannot be sent in a header; a line break in it?")
        return request

    def on_origin(self, url: str) -> str:
        """Give the whole address; raises ReplyError for one of another origin."""
        url = url if "://" in url else joined(self.base_url, url.lstrip("/"))
        if (other := origin(url)) != self.origin:
            raise ReplyError(f"{self.connection}: refused to follow a link to another origin, {other}")
        return url

    def _template(self, call: Call) -> requests.PreparedRequest:
        key = (call.method, call.url, tuple(call.headers.items()) if call.headers else None)
        template = self._templates.get(key)
        if template is None:
            template = self._prepared(call)
            if len(self._templates) >= MOST_TEMPLATES:
                self._templates.clear()
            self._templates[key] = template
        return template

    def _prepared(self, call: Call) -> requests.PreparedRequest:
        """Let requests make it, with all that it looks at."""
        url = joined(self.base_url, call.url) if call.bare else self.on_origin(call.url)
        headers = {**(COMMON if call.bare else self._headers), **(call.headers or {})}
        try:
            prepared = requests.Request(call.method, url, headers=headers).prepare()
        except requests.RequestException as error:
            raise self._unmade(call, error) from None
        prepared.url = urldefrag(prepared.url or "").url
        if not call.bare:
            self.on_origin(prepared.url)
        if not _TARGET.fullmatch(prepared.url) or not _can_be_sent(prepared.headers):
            raise self._unmade(call, ValueError())
        return prepared

    def _with_query(self, url: str, params: Query) -> str:
        """Add parameters as requests would, yet with commas as they are: lists repeat their name, None is left out."""
        if not params:
            return url
        query = urlencode(list(_pairs(params)), safe=",", quote_via=_quoted)
        return f"{url}{'&' if '?' in url else '?'}{query}" if query else url

    def _unmade(self, call: Call, error: Exception) -> ReplyError:
        path = urlsplit(self.base_url + call.url if "://" not in call.url else call.url).path
        return ReplyError(f"{self.connection}: a request to {path} cannot be made ({type(error).__name__})")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _can_be_sent(headers: Mapping[str, Any]) -> bool:
    """Tell whether no header ends early, and so begins another one."""
    return all(
        _NAME.fullmatch(name) and isinstance(value, str) and _VALUE.fullmatch(value) for name, value in headers.items()
    )


def joined(base: str, link: str) -> str:
    """Join a link to the address that it was found at; raises ReplyError for one that cannot be read."""
    if len(link) > LONGEST_LINK:
        raise ReplyError(f"a link of {len(link):,} characters is too long")
    try:
        return urljoin(base, link)
    except ValueError:
        raise ReplyError("a link cannot be read") from None


def origin(url: str) -> str:
    """Tell an address's scheme, host and port."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "an address that cannot be read"
    if "@" in parts.netloc:
        return "an address with a user in it"
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _pairs(params: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, given in params.items() if isinstance(params, Mapping) else params:
        for value in given if isinstance(given, list | tuple) else (given,):
            if value is not None:
                yield name, value


def _add_body(request: requests.PreparedRequest, call: Call) -> None:
    body, kind = _packed(call)
    request.body = body
    request.headers["Content-Length"] = str(len(body))
    request.headers.setdefault("Content-Type", kind)


def _packed(call: Call) -> tuple[bytes, str]:
    if call.form is not None:
        return urlencode(call.form).encode(), "application/x-www-form-urlencoded"
    return json.dumps(call.json, allow_nan=False, separators=(",", ":")).encode(), "application/json"
