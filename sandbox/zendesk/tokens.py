"""How Zendesk lets clients in: OAuth access tokens that expire, and API tokens until these end."""

from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any

from sandbox.core.clock import Clock
from sandbox.core.response import Request, Response

CLIENT_ID, CLIENT_SECRET = "belvedere", "sandbox-zendesk-secret"
EMAIL, TOKEN = "belvedere@example.com", "sandbox-zendesk-token"
BASIC = "Basic " + b64encode(f"{EMAIL}/token:{TOKEN}".encode()).decode()
LIFE = timedelta(minutes=30)  # of a client that was made since 2026-04-30
INVALID = "The access token provided is expired, revoked, malformed or invalid for other reasons."


class Tokens:
    """Grant access tokens to one client, and look at those of requests; by the sandbox's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._granted = 0
        self._live: dict[str, tuple[datetime, frozenset[str]]] = {}

    def granted(self, body: Any) -> Response:
        """Answer `POST /oauth/tokens` (client credentials; errors by RFC 6749, section 5.2)."""
        form = body if isinstance(body, dict) else {}
        if form.get("grant_type") != "client_credentials":
            return Response(400, {"error": "unsupported_grant_type"})
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            reason = "Client authentication failed due to unknown client or wrong secret."
            return Response(401, {"error": "invalid_client", "error_description": reason})
        scopes = frozenset(str(form.get("scope") or "read").split())
        if not scopes <= {"read", "write"}:
            return Response(400, {"error": "invalid_scope"})
        self._granted += 1
        token = f"sandbox-zendesk-access-{self._granted}"
        self._live[token] = self._clock.now() + LIFE, scopes
        return Response(
            payload={
                "access_token": token,
                "token_type": "bearer",
                "scope": " ".join(sorted(scopes)),
                "expires_in": int(LIFE.total_seconds()),
            }
        )

    def refused(self, request: Request) -> Response | None:
        """Answer a request that is not let in; None for one that is."""
        sent = request.headers.get("Authorization") or ""
        if sent in (BASIC, f"Bearer {TOKEN}"):
            return None
        if not sent.startswith("Bearer "):
            return Response(401, {"error": "Couldn't authenticate you"})
        expires, scopes = self._live.get(sent.removeprefix("Bearer "), (None, frozenset()))
        if expires is None or self._clock.now() >= expires:
            return Response(401, {"error": "invalid_token", "error_description": INVALID})
        if ("read" if request.method == "GET" else "write") not in scopes:
            reason = "The token does not have the scope that this request needs."
            return Response(403, {"error": "insufficient_scope", "error_description": reason})
        return None

    def revoke(self) -> None:
        """Revoke every access token before its time, as an admin may."""
        self._live.clear()
