"""Acme CRM, API v2. Source: the vendor's API reference."""

from datetime import timedelta

from pydantic import SecretStr

from connectors.kit import (
    Bearer,
    Check,
    Field,
    HttpConnector,
    HttpSettings,
    PaginationGuard,
    SourceField,
    Stream,
    at,
    cut,
)

COMPANIES = Stream(
    "accounts",
    primary_key="id",
    table="accounts",
    object="companies",
    cursor="modified",
    lag=timedelta(minutes=1),
    deletes="flag",
    deleted_values={"state": ("deleted",)},
    fields={
        "account_id": "id",
        "name": "title",
        "country": "address.country",
        "is_active": Field("state", values={"active": "true", "deleted": "false"}),
        "updated_at": "modified",
    },
    ignores=("color",),
)


class Acme(HttpConnector):
    """Read companies. Acme pages them by cursor and marks deleted ones with a state."""

    class Settings(HttpSettings):
        token: SecretStr

    streams = (COMPANIES,)

    def auth(self):
        return Bearer(self.settings.token)

    def check(self):
        return Check(str(at(self.http.get("v2/me").json(), "account.name")), self.now())

    def discover(self):
        return {stream.name: [SourceField(path, "text") for path in stream.paths] for stream in self.streams}

    def read(self, stream, slice_, checkpoint=None):
        params = {"changed_since": slice_.start.isoformat()} if slice_.start else {}
        position = checkpoint or {}
        guard = PaginationGuard(f"{self.name} {stream.name}", position.get("cursor"))
        while position is not None:
            reply = self.http.get(f"v2/{stream.object}", params | position)
            cursor = guard.on(at(reply.json(), "next"))
            position = {"cursor": cursor} if cursor else None
            yield self.page(stream, cut(reply.body, "companies"), position)
