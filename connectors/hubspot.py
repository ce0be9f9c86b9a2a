"""HubSpot CRM v3.

Source: HubSpot's public OpenAPI collection (CRM objects, search, batch, associations v4, owners, properties) and its
usage guidelines. What its users found: search stops at 10,000 results and lags writes by seconds; associations move
no stamp; a batch answers 207 while single records failed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic import SecretStr
from requests.auth import AuthBase

from connectors._hubspot_streams import ASSOCIATED, OPTIONAL, STREAMS
from connectors.kit.auth import Bearer
from connectors.kit.base import (
    Change,
    Check,
    Checkpoint,
    ConnectorSettings,
    Held,
    Outcome,
    Page,
    Slice,
    SourceField,
    Stream,
)
from connectors.kit.budget import Budget, Limit
from connectors.kit.connector import HttpConnector, HttpSettings
from connectors.kit.errors import AccessError, ReplyError, SettingsError, UnknownOutcome, choices
from connectors.kit.http import Http
from connectors.kit.records import cut
from connectors.kit.reply import Refused
from connectors.kit.write import by_id, chunks, halves
from schemas.mapping import paths

LIST_PAGE, SEARCH_PAGE, BATCH, ASSOCIATIONS = 100, 200, 100, 1000


class _Known(msgspec.Struct):
    """Read of a record only what paging needs."""

    id: str
    archivedAt: str | None = None  # noqa: N815 - HubSpot's name


_KNOWN = msgspec.json.Decoder(_Known)


class HubSpot(HttpConnector):
    """Read companies, deals, tickets, engagements and owners; write company properties.

    A company that was merged away vanishes; its winner names it in `hs_merged_object_ids`, which feeds `merged_ids`.
    """

    class Settings(HttpSettings):
        """Set how to reach a portal; `portal_id` pins it, so that another one is refused."""

        base_url: str = "https://api.hubapi.com"
        token: SecretStr
        portal_id: int | None = None
        upsert_property: str | None = None
        requests_per_10_seconds: int = 100  # 100, 190 or 250, by the account's plan
        searches_per_second: float = 4

    settings: Settings
    streams = STREAMS
    max_batch = BATCH

    def __init__(self, name: str, settings: ConnectorSettings, http: Http | None = None) -> None:
        super().__init__(name, settings, http)
        self.upsert_key = self.settings.upsert_property
        self._searches = Budget((Limit(1, 1 / self.settings.searches_per_second),))

    def auth(self) -> AuthBase:
        return Bearer(self.settings.token)

    def limits(self) -> Sequence[Limit]:
        return (Limit(self.settings.requests_per_10_seconds, 10),)

    def check(self) -> Check:
        account = str(self.http.get("account-info/v3/details").json()["portalId"])
        if self.settings.portal_id and account != str(self.settings.portal_id):
            raise AccessError(
                f"{self.name}: the token opens portal {account}, settings.portal_id says {self.settings.portal_id}"
            )
        return Check(account, self.now(), tuple(self._missing_fields()))

    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        return {
            stream.name: tuple(self._fields(stream).values()) for stream in self.streams if stream.object != "owners"
        }

    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Read all by list, what changed by search: pages by ascending id, so that nothing is skipped or repeated."""
        if stream.object == "owners":
            return self._owners(stream, checkpoint or {})
        if slice_.start is None:
            return self._listed(stream, checkpoint or {})
        return self._searched(stream, slice_, checkpoint or {})

    def count(self, stream: Stream, slice_: Slice) -> int:
        """Ask search for its total; it counts live records only and lags by seconds."""
        return int(self._search(stream, slice_, "0", 1).json()["total"])

    def deletes(self, stream: Stream, slice_: Slice) -> Iterator[Page]:
        """List archived records, and keep those archived within the slice."""
        since = "" if slice_.start is None else _stamp(slice_.start - stream.lookback)
        after: str | None = ""
        while after is not None:
            body = self._list(stream, after, archived=True)
            rows = [row for row in cut(body, "results") if (_KNOWN.decode(row).archivedAt or "9") >= since]
            after = _after(body)
            if rows:
                yield self.page(stream, rows, None, deleted=True)

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, Held]:
        """Read records by id, in batches of 100; archived ones are not there."""
        held = {}
        for some in chunks(list(record_ids), BATCH):
            body = {
                "inputs": [{"id": number} for number in some],
                "properties": list(fields),
                "propertiesWithHistory": [],
            }
            answer = self.http.post(f"crm/v3/objects/{stream.object}/batch/read", json=body).json()
            for row in answer["results"]:
                values = {name: row["properties"].get(name) for name in fields}
                held[row["id"]] = Held(row["id"], values, row.get("updatedAt"))
        return held

    def writable(self, stream: Stream) -> Mapping[str, SourceField]:
        """Describe the properties of a stream's object by their own names."""
        return {path.removeprefix("properties."): field for path, field in self._fields(stream).items()}

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]:
        """Write a batch; a batch that is refused as a whole is halved until the bad record stands alone."""
        try:
            answer = self.http.post(self._batch_path(stream, changes), json=self._batch(changes), writes=True).json()
        except UnknownOutcome as error:
            return [Outcome(change.op_id, "unknown", change.record_id, message=str(error)) for change in changes]
        except Refused as error:
            if len(changes) == 1:
                return [Outcome(changes[0].op_id, "rejected", changes[0].record_id, message=_said(error))]
            return [outcome for half in halves(changes) for outcome in self.write(stream, half)]
        return by_id(changes, _results(answer), _problems(answer))

    def _batch_path(self, stream: Stream, changes: Sequence[Change]) -> str:
        return f"crm/v3/objects/{stream.object}/batch/{changes[0].action}"

    def _batch(self, changes: Sequence[Change]) -> dict[str, Any]:
        inputs = []
        for change in changes:
            row: dict[str, Any] = {"properties": {name: as_text(value) for name, value in change.after.items()}}
            row |= {"objectWriteTraceId": change.op_id} | ({"id": change.record_id} if change.record_id else {})
            inputs.append(row | ({"idProperty": self.upsert_key} if change.action == "upsert" else {}))
        return {"inputs": inputs}

    def _listed(self, stream: Stream, checkpoint: Checkpoint) -> Iterator[Page]:
        total = None if checkpoint else self.count(stream, Slice())
        after = checkpoint.get("after", "")
        while after is not None:
            body = self._list(stream, after)
            last, after = after, _after(body)
            if after == last:
                raise ReplyError(f"{self.name} {stream.name}: the list makes no progress after {after}")
            yield self._page(stream, cut(body, "results"), {"after": after} if after else None, total)
            total = None

    def _list(self, stream: Stream, after: str, *, archived: bool = False) -> bytes:
        params = {
            "limit": LIST_PAGE,
            "properties": ",".join(_properties(stream)),
            "archived": str(archived).lower(),
        }
        return self.http.get(f"crm/v3/objects/{stream.object}", params | ({"after": after} if after else {})).body

    def _searched(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint) -> Iterator[Page]:
        last = checkpoint.get("last_id", "0")
        while True:
            answer = self._search(stream, slice_, last, SEARCH_PAGE)
            rows = cut(answer.body, "results")
            total = int(answer.json()["total"]) if last == "0" else None
            ids = [_KNOWN.decode(row).id for row in rows]
            if rows and int(ids[-1]) <= int(last):
                raise ReplyError(f"{self.name} {stream.name}: the search makes no progress after id {last}")
            more = len(rows) == SEARCH_PAGE
            yield self._page(stream, rows, {"last_id": ids[-1]} if more else None, total)
            if not more:
                return
            last = ids[-1]

    def _search(self, stream: Stream, slice_: Slice, last: str, limit: int) -> Any:
        stamp = (stream.cursor or "").removeprefix("properties.")
        filters = [{"propertyName": "hs_object_id", "operator": "GT", "value": last}]
        bounds = (("GTE", slice_.start), ("LT", slice_.end))
        filters += [{"propertyName": stamp, "operator": sign, "value": _millis(at)} for sign, at in bounds if at]
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": ["hs_object_id"],
            "properties": _properties(stream),
            "limit": limit,
            "after": "0",
        }
        self._searches.spend()
        return self.http.post(f"crm/v3/objects/{stream.object}/search", json=body)

    def _owners(self, stream: Stream, checkpoint: Checkpoint) -> Iterator[Page]:
        for archived in (False, True):
            after = checkpoint.get("after", "") if checkpoint.get("archived", archived) == archived else None
            if checkpoint.get("archived") and not archived:
                continue
            while after is not None:
                params = {"limit": LIST_PAGE, "archived": str(archived).lower()} | ({"after": after} if after else {})
                body = self.http.get("crm/v3/owners", params).body
                after = _after(body)
                place = (
                    {"archived": archived, "after": after}
                    if after
                    else None
                    if archived
                    else {"archived": True, "after": ""}
                )
                yield self.page(stream, [_with_team(row) for row in cut(body, "results")], place)

    def _page(self, stream: Stream, rows: list[bytes], checkpoint: Checkpoint | None, total: int | None) -> Page:
        ids = [_KNOWN.decode(row).id for row in rows]
        for kind in ASSOCIATED.get(stream.object, ()):
            links = self._associated(stream.object, kind, ids)
            member = {"companies": "_company_id", "contacts": "_contact_id"}[kind]
            rows = [_spliced(row, member, links.get(number)) for number, row in zip(ids, rows, strict=True)]
        return self.page(stream, rows, checkpoint, total)

    def _associated(self, left: str, right: str, ids: Sequence[str]) -> dict[str, str]:
        """Find of each record the one that is labelled primary, else the first."""
        found = {}
        for some in chunks(list(ids), ASSOCIATIONS):
            body = {"inputs": [{"id": number} for number in some]}
            answer = self.http.post(f"crm/v4/associations/{left}/{right}/batch/read", json=body).json()
            for row in answer["results"]:
                links = sorted(row["to"], key=lambda link: not _is_primary(link))
                if links:
                    found[str(row["from"]["id"])] = str(links[0]["toObjectId"])
        return found

    def _fields(self, stream: Stream) -> dict[str, SourceField]:
        answer = self.http.get(f"crm/v3/properties/{stream.object}").json()
        return {
            f"properties.{row['name']}": SourceField(
                f"properties.{row['name']}",
                row["type"],
                row.get("label", ""),
                is_custom=not row.get("hubspotDefined", False),
                is_writable=not row.get("modificationMetadata", {}).get("readOnlyValue", False),
            )
            for row in answer["results"]
        }

    def _missing_fields(self) -> Iterator[str]:
        for stream in self.streams:
            wanted = [path for path in paths(stream.fields) if path.startswith("properties.")]
            known = self._fields(stream) if wanted else {}
            for path in wanted:
                if path in known:
                    continue
                said = f"{self.name}: {stream.object} have no property {path.removeprefix('properties.')!r}"
                if path not in OPTIONAL:
                    near = choices(path.removeprefix("properties."), [one.removeprefix("properties.") for one in known])
                    raise SettingsError(f"{said}, which fields.{stream.name} maps; {near}")
                yield f"{said}: what it feeds stays empty"


def as_text(value: Any) -> str:
    """Write a value as HubSpot wants it: every property is a string, empty clears it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _properties(stream: Stream) -> list[str]:
    wanted = [path for path in (*paths(stream.fields), stream.cursor or "") if path.startswith("properties.")]
    return list(dict.fromkeys(path.removeprefix("properties.") for path in wanted))


def _millis(moment: datetime) -> str:
    return str(int(moment.astimezone(UTC).timestamp() * 1000))


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


class _Next(msgspec.Struct):
    after: str | None = None


class _Paging(msgspec.Struct):
    next: _Next | None = None


class _Paged(msgspec.Struct):
    paging: _Paging | None = None


_PAGED = msgspec.json.Decoder(_Paged)


def _after(body: bytes) -> str | None:
    paging = _PAGED.decode(body).paging
    return paging.next.after if paging and paging.next else None


def _spliced(record: bytes, member: str, value: str | None) -> bytes:
    text = msgspec.json.encode(value)
    return record.rstrip()[:-1] + b',"' + member.encode() + b'":' + text + b"}"


def _with_team(record: bytes) -> bytes:
    """Read role and region from the primary team's name ("Account Managers West"): HubSpot has no field for them."""
    owner = msgspec.json.decode(record)
    teams = sorted(owner.get("teams") or [], key=lambda team: not team.get("primary"))
    team = teams[0]["name"] if teams else ""
    role = next((role for word, role in _ROLES.items() if word in team.lower()), "other" if team else None)
    region = team
    for word in ("Account Managers", "Account Executives", "Account Manager", "Account Executive"):
        region = region.replace(word, "").strip(" -,")
    owner["_name"] = f"{owner.get('firstName') or ''} {owner.get('lastName') or ''}".strip()
    return msgspec.json.encode(owner | {"_role": role, "_region": region or None})


_ROLES = {"account manager": "account_manager", "account executive": "account_executive"}


def _is_primary(link: Mapping[str, Any]) -> bool:
    return any(kind.get("label") == "Primary" for kind in link.get("associationTypes", ()))


def _results(answer: Mapping[str, Any]) -> dict[str, Outcome]:
    return {row["id"]: Outcome("", "applied", row["id"], row.get("updatedAt")) for row in answer.get("results", ())}


def _problems(answer: Mapping[str, Any]) -> dict[str, str]:
    """Collect messages by record id and by trace id: the context names one, the other, or both."""
    found = {}
    for problem in answer.get("errors", ()):
        context = problem.get("context", {})
        for number in (*context.get("ids", ()), *context.get("objectWriteTraceId", ())):
            found[str(number)] = f"{problem.get('category', 'ERROR')}: {problem.get('message', '')}"
    return found


def _said(error: Refused) -> str:
    try:
        return str(error.json().get("message", error))
    except ReplyError:
        return str(error)
