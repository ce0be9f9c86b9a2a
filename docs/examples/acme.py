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
    paths,
)

COMPANIES = Stream(
    "accounts",
    primary_key="id",
    table="accounts",
    object="companies",
    cursor="modified",
    lag=timedelta(minutes=1),
    lookback=timedelta(minutes=10),
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
    """Read companies, which Acme pages by cursor; what is deleted there comes with a flag."""

    class Settings(HttpSettings):
        token: SecretStr

    settings: Settings
    streams = (COMPANIES,)

    def auth(self):
        return Bearer(self.settings.token)

    def check(self):
        return Check(str(at(self.http.get("v2/me").json(), "account.name")), self.now())

    def discover(self):
        return {stream.name: [SourceField(path, "text") for path in paths(stream.fields)] for stream in self.streams}

    def read(self, stream, slice_, checkpoint=None):
        asked = {"changed_since": slice_.start.isoformat()} if slice_.start else {}
        place = checkpoint or {}
        trail = PaginationGuard(f"{self.name} {stream.name}", place.get("cursor"))
        while place is not None:
            reply = self.http.get(f"v2/{stream.object}", asked | place)
            following = trail.on(at(reply.json(), "next"))
            place = {"cursor": following} if following else None
            yield self.page(stream, cut(reply.body, "companies"), place)
