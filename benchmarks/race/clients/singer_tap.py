"""A tap on singer-sdk, as its template makes one, incremental as a nightly sync is, to standard output."""

import json
import sys
from typing import Any, ClassVar

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator

TASK = json.loads(sys.argv[1])


class Accounts(RESTStream):
    """The companies."""

    name = "accounts"
    path = "/crm/v3/objects/companies"
    url_base = TASK["url"]
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)
    replication_key = "updatedAt"
    records_jsonpath = "$.results[*]"
    next_page_token_jsonpath = "$.paging.next.after"  # noqa: S105 - a path
    schema = th.PropertiesList(
        th.Property("id", th.StringType),
        th.Property("createdAt", th.DateTimeType),
        th.Property("updatedAt", th.DateTimeType),
        th.Property("archived", th.BooleanType),
        th.Property("properties", th.ObjectType(*(th.Property(name, th.StringType) for name in TASK["properties"]))),
    ).to_dict()

    @property
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token=TASK["token"])

    def get_url_params(self, context: Any, next_page_token: str | None) -> dict[str, Any]:
        asked = {"limit": TASK["page"], "properties": ",".join(TASK["properties"])}
        return asked | ({"after": next_page_token} if next_page_token else {})


class HubSpotTap(Tap):
    """The tap."""

    name = "tap-race"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self) -> list[RESTStream]:
        return [Accounts(self)]


if __name__ == "__main__":
    HubSpotTap(config={}, state=TASK.get("state")).sync_all()
