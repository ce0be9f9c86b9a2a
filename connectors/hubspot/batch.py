"""HubSpot's batch endpoints that read: records by id or by value, and associations.

Source: HubSpot's OpenAPI files of CRM objects, search and associations v4, its developer changelog (1000 ids an
association read since 2025-02), its guide to search (IN compares texts in small letters).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from connectors.hubspot.responses import Associated, Found, Read, Record, only_missing, parsed
from connectors.kit.http.client import Http
from connectors.kit.http.loop_guard import PaginationGuard
from connectors.kit.repair import Repairs
from connectors.kit.write import chunks

BATCH, ASSOCIATIONS = 100, 1000


class Batch:
    """Read batches for one connection.

    `path` builds the path of an API area; `page_size` is the number of records on a page of search results.
    """

    def __init__(self, name: str, http: Http, path: Callable[..., str], page_size: int) -> None:
        self.name, self.http, self.path, self.page_size = name, http, path, page_size

    def read(
        self,
        kind: str,
        ids: Iterable[str],
        names: Sequence[str],
        key: str | None = None,
        *,
        repairs: Repairs | None = None,
    ) -> list[Record]:
        """Read by id, or by a unique property; who is not there is an error in a 207. All three lists are required."""
        records, path = [], self.path("objects", f"{kind}/batch/read")
        for chunk in chunks(list(dict.fromkeys(ids)), BATCH):
            inputs = [{"id": number} for number in chunk]
            body: dict[str, Any] = {"inputs": inputs, "properties": list(names), "propertiesWithHistory": []}
            body |= {"idProperty": key} if key else {}
            answer = parsed(Read, self.http.post(path, json=body).body, f"{self.name}: {path}", repairs)
            only_missing(answer.errors, f"{self.name}: {path}")
            records += answer.results
        return records

    def search(self, kind: str, name: str, values: Iterable[str], names: Sequence[str]) -> Iterator[Record]:
        """Find by the values of a property; of texts, search compares only those in small letters."""
        for chunk in chunks(list(dict.fromkeys(values)), BATCH // 2):
            spelt = list(dict.fromkeys([*chunk, *(value.lower() for value in chunk)]))
            condition = {"propertyName": name, "operator": "IN", "values": spelt}
            yield from self._searched(kind, condition, names)

    def _searched(self, kind: str, condition: dict[str, Any], names: Sequence[str]) -> Iterator[Record]:
        """Go on behind the last id, as long as pages are full."""
        path, last = self.path("objects", f"{kind}/search"), "0"
        trail = PaginationGuard(f"{self.name}: {path}", last)
        while True:
            behind = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
            body = {"filterGroups": [{"filters": [behind, condition]}], "sorts": ["hs_object_id"], "after": "0"}
            reply = self.http.post(
                path, json=body | {"properties": list(names), "limit": self.page_size}, scope="search"
            )
            rows = parsed(Found, reply.body, f"{self.name}: {path}").results
            yield from rows
            if len(rows) < self.page_size:
                return
            last = trail.on(rows[-1].id)

    def associated(self, from_kind: str, to_kind: str, ids: Sequence[str]) -> dict[str, str]:
        """Find of each record the one that is labelled primary, else the first."""
        other_ids: dict[str, str] = {}
        path = self.path("associations", f"{from_kind}/{to_kind}/batch/read", classic="v4")
        for chunk in chunks(ids, ASSOCIATIONS):
            reply = self.http.post(path, json={"inputs": [{"id": number} for number in chunk]})
            answer = parsed(Associated, reply.body, f"{self.name}: {path}")
            only_missing(answer.errors, f"{self.name}: {path}")
            other_ids |= {row.from_.id: row.best for row in answer.results if row.best}
        return other_ids

    def titles(self, contact_of: Mapping[str, str], repairs: Repairs) -> dict[str, str | None]:
        """Find the job title of each record's contact."""
        contacts = self.read("contacts", sorted(set(contact_of.values())), ["jobtitle"], repairs=repairs)
        titles = {row.id: (row.properties or {}).get("jobtitle") for row in contacts}
        return {number: titles.get(contact) for number, contact in contact_of.items()}
