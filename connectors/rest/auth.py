"""The ways in that YAML may name for a REST API: `auth: {kind: ...}`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from requests.auth import AuthBase

from connectors.kit.http.auth import Basic, Bearer, HeaderToken, QueryToken
from connectors.kit.http.oauth import RefreshToken, TokenEndpoint, client_credentials
from connectors.rest.write_config import Strict

if TYPE_CHECKING:
    from connectors.kit.http.client import Http


def _whole(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a whole address such as https://login.example.com/oauth/token")
    return url


TokenUrl: TypeAlias = Annotated[str, AfterValidator(_whole)]


class NoAuth(Strict):
    """Send no secret."""

    kind: Literal["none"] = "none"

    def opened(self, connection: str, http: "Callable[[], Http]") -> AuthBase | None:
        return None


class BearerAuth(Strict):
    """Send a bearer token."""

    kind: Literal["bearer"]
    token: SecretStr

    def opened(self, connection: str, http: "Callable[[], Http]") -> AuthBase:
        return Bearer(self.token)


class BasicAuth(Strict):
    """Send a user and a password."""

    kind: Literal["basic"]
    user: str
    password: SecretStr

    def opened(self, connection: str, http: "Callable[[], Http]") -> AuthBase:
        return Basic(self.user, self.password)


class HeaderAuth(Strict):
    """Send a secret in a header of its own."""

    kind: Literal["header"]
    header: str
    secret: SecretStr

    def opened(self, connection: str, http: "Callable[[], Http]") -> AuthBase:
        return HeaderToken(self.header, self.secret)


class QueryAuth(Strict):
    """Send a secret as a parameter of the query; no link that is stored keeps it."""

    kind: Literal["query"]
    param: str
    secret: SecretStr

    def opened(self, connection: str, http: "Callable[[], Http]") -> AuthBase:
        return QueryToken(self.param, self.secret)


class OAuth2ClientCredentials(Strict):
    """Trade a client's id and secret for access tokens, and these for others before they expire.

    `token_url` may be on another host than the API. `auth_style` says where the client is named: in the
    form of the token request (`body`) or by HTTP Basic (`basic`).
    """

    kind: Literal["oauth2_client_credentials"]
    token_url: TokenUrl
    client_id: str
    client_secret: SecretStr
    scope: str | None = None
    auth_style: Literal["body", "basic"] = "body"

    def opened(self, connection: str, http: "Callable[[], Http]") -> AuthBase:
        check = "settings.auth: client_id, client_secret, scope and token_url"
        url, client, secret = self.token_url, self.client_id, self.client_secret
        endpoint = TokenEndpoint(connection, http, url, client, secret, check, self.auth_style)
        return client_credentials(endpoint, self.scope)


class OAuth2RefreshToken(Strict):
    """Trade a refresh token, which a person authorized once, for access tokens.

    Where the server rotates it, the newest is kept in the home folder's `tokens`.
    """

    kind: Literal["oauth2_refresh_token"]
    token_url: TokenUrl
    refresh_token: SecretStr
    client_id: str
    client_secret: SecretStr | None = None
    auth_style: Literal["body", "basic"] = "body"

    @model_validator(mode="after")
    def _basic_needs_a_secret(self) -> "OAuth2RefreshToken":
        if self.auth_style == "basic" and not self.client_secret:
            raise ValueError("auth_style basic needs client_secret")
        return self

    def opened(self, connection: str, http: "Callable[[], Http]") -> RefreshToken:
        check = (
            "settings.auth: client_id, client_secret and refresh_token; if it has expired or was "
            "used elsewhere, authorize again and set the new refresh token"
        )
        url, client, secret = self.token_url, self.client_id, self.client_secret
        endpoint = TokenEndpoint(connection, http, url, client, secret, check, self.auth_style)
        return RefreshToken(endpoint, self.refresh_token)


AnyAuth: TypeAlias = Annotated[
    NoAuth | BearerAuth | BasicAuth | HeaderAuth | QueryAuth | OAuth2ClientCredentials | OAuth2RefreshToken,
    Field(discriminator="kind"),
]
