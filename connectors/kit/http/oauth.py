"""OAuth 2.0 access tokens that renew themselves: client credentials and refresh tokens (RFC 6749).

A connector returns one of them from `auth()`. The token endpoint may be on another host than the API;
its requests carry the client's secret alone, and count against the account's limits.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote_plus, urlsplit

import msgspec
from pydantic import SecretStr

from connectors.kit.errors import AccessError
from connectors.kit.http.auth import Refreshed, token_answer
from connectors.kit.http.response import Refused
from connectors.kit.http.token_file import TokenFile

if TYPE_CHECKING:
    from connectors.kit.http.client import Http

Style = Literal["body", "basic", "json"]
_ERROR = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True)
class TokenEndpoint:
    """Where a connection trades its secret for access tokens.

    `style` says how the client is named: in the form (`body`), by HTTP Basic (`basic`, both RFC 6749,
    section 2.3.1), or in a JSON body (`json`, which is Zendesk's). `http` is called when a token is due,
    for a connector makes its `auth` before its `Http`. `settings_to_check` is what messages name.
    """

    connection: str
    http: "Callable[[], Http]"
    url: str
    client_id: str
    client_secret: SecretStr | None
    settings_to_check: str
    style: Style = "body"

    def ask(self, grant: Mapping[str, str]) -> Any:
        """Return the endpoint's JSON answer; raises AccessError where it refuses."""
        secret = self.client_secret.get_secret_value() if self.client_secret else ""
        client = {"client_id": self.client_id} | ({"client_secret": secret} if secret else {})
        headers = None
        if self.style == "basic":
            pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}".encode()
            client, headers = {}, {"Authorization": f"Basic {b64encode(pair).decode()}"}
        body = {"json" if self.style == "json" else "form": {**grant, **client}}
        try:
            return self.http().post(self.url, headers=headers, bare=True, **body).json()
        except Refused as error:
            reason = f"{error.status}{_error_code(error.body)} at {urlsplit(self.url).path}"
            raise self.refused(f"no token was given ({reason})") from None

    def token(self, answer: Any) -> tuple[SecretStr, float]:
        """Read the access token and its life in seconds; raises AccessError where there is none."""
        try:
            return token_answer(answer)
        except AccessError:
            raise self.refused(f"{urlsplit(self.url).path} gave no token") from None

    def refused(self, reason: str) -> AccessError:
        """Say what was refused and which settings to look at."""
        return AccessError(f"{self.connection}: {reason}; check {self.settings_to_check}")


def client_credentials(endpoint: TokenEndpoint, scope: str | None = None) -> Refreshed:
    """Send access tokens of the client itself (RFC 6749, section 4.4); there is no refresh token."""
    grant = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    return Refreshed(lambda: endpoint.token(endpoint.ask(grant)), settings_to_check=endpoint.settings_to_check)


class RefreshToken(Refreshed):
    """Send access tokens that a refresh token brings (RFC 6749, section 6).

    A server may rotate it: each answer brings another refresh token, and the one before it is void. The
    newest is kept for as long as this object lives, and in a file once `keep` has named a folder.
    """

    def __init__(self, endpoint: TokenEndpoint, configured: SecretStr) -> None:
        super().__init__(self._renewed, settings_to_check=endpoint.settings_to_check)
        self._endpoint, self._configured = endpoint, configured
        self._newest: SecretStr | None = None
        self._file: TokenFile | None = None

    @property
    def rotated(self) -> Path | None:
        """The file that holds a rotated token, where there is one."""
        return self._file.path if self._file and self._file.path.exists() else None

    def keep(self, folder: Path) -> None:
        """Keep rotated tokens in a folder, one file for a connection and its configured token."""
        configured = self._configured.get_secret_value()
        self._file = TokenFile(folder, self._endpoint.connection, configured)

    def _renewed(self) -> tuple[SecretStr, float]:
        if self._file is None:
            return self._requested(self._newest or self._configured, lambda token: None)
        with self._file.locked() as file:  # two processes must not send one token
            token = self._newest or file.read() or self._configured
            answer = self._requested(token, file.write)
        self._newest = None  # the file has it, and another process may have a newer one next time
        return answer

    def _requested(self, token: SecretStr, store: Callable[[SecretStr], None]) -> tuple[SecretStr, float]:
        grant = {"grant_type": "refresh_token", "refresh_token": token.get_secret_value()}
        answer = self._endpoint.ask(grant)
        newest = answer.get("refresh_token") if isinstance(answer, dict) else None
        if isinstance(newest, str) and newest and newest != token.get_secret_value():
            self._newest = SecretStr(newest)
            store(self._newest)
        return self._endpoint.token(answer)


def _error_code(body: bytes) -> str:
    """The error code of RFC 6749, section 5.2, with a blank before it; nothing else of the answer."""
    try:
        code = msgspec.json.decode(body)["error"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return ""
    return f" {code}" if isinstance(code, str) and _ERROR.fullmatch(code) else ""
