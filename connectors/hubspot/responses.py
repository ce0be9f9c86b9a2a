"""HubSpot's answers, as far as they are read.

Source: HubSpot's public OpenAPI collection (CRM objects, associations v4, properties), and its guide to errors,
which asks that every member of an error be treated as optional.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import msgspec

from connectors.kit.errors import ReplyError
from connectors.kit.repair import TOO_DEEP, UNREADABLE, Repairs, read_json

Kind = TypeVar("Kind")


class _Next(msgspec.Struct):
    after: str


class _Paging(msgspec.Struct):
    next: _Next | None = None


class Listed(msgspec.Struct):
    """A page of a list or a search: its records unparsed, where it goes on, and how many there are."""

    results: list[msgspec.Raw]
    paging: _Paging | None = None
    total: int | None = None

    @property
    def after(self) -> str | None:
        return self.paging.next.after if self.paging and self.paging.next else None


class Problem(msgspec.Struct):
    """What was wrong with some inputs of a batch; `context` names them by id, by trace id, or by both."""

    category: str | None = None
    message: str | None = None
    context: dict[str, Any] | None = None

    @property
    def names(self) -> list[str]:
        context = self.context or {}
        return [*map(str, context.get("ids") or ()), *map(str, context.get("objectWriteTraceId") or ())]

    @property
    def sides(self) -> set[str]:
        """Name whatever ids its context holds: of an association, one of its sides or both."""
        return {str(name) for values in (self.context or {}).values() if isinstance(values, list) for name in values}

    @property
    def text(self) -> str:
        return f"{self.category or 'ERROR'}: {self.message or 'no reason given'}"


class Record(msgspec.Struct):
    """One record of a batch's answer."""

    id: str
    updatedAt: str | None = None
    properties: dict[str, Any] | None = None
    objectWriteTraceId: str | None = None

    @property
    def changed_at(self) -> datetime | None:
        try:
            return datetime.fromisoformat(self.updatedAt or "").astimezone(UTC)
        except ValueError:
            return None


class Read(msgspec.Struct):
    """The answer to a batch read: an answer without results is none."""

    results: list[Record]
    errors: list[Problem] = []


class Found(msgspec.Struct):
    """The answer to a search by value."""

    results: list[Record]


class Written(msgspec.Struct):
    """The answer to a batch write, 200, 201 or 207: what is not named in it is not known."""

    results: list[Record] = []
    errors: list[Problem] = []


class _Type(msgspec.Struct):
    label: str | None = None


class _Target(msgspec.Struct):
    toObjectId: int | str
    associationTypes: list[_Type] = []

    @property
    def is_primary(self) -> bool:
        return any(kind.label == "Primary" for kind in self.associationTypes)


class _From(msgspec.Struct):
    id: str


class _Links(msgspec.Struct):
    from_: _From = msgspec.field(name="from")
    to: list[_Target] = []

    @property
    def best(self) -> str | None:
        """Name the record that is labelled primary, else the first."""
        ranked = sorted(self.to, key=lambda target: not target.is_primary)
        return str(ranked[0].toObjectId) if ranked else None


class Associated(msgspec.Struct):
    """The answer to an association read; a record without any is an error in it, OBJECT_NOT_FOUND."""

    results: list[_Links]
    errors: list[Problem] = []


class _Link(msgspec.Struct):
    from_: _From = msgspec.field(name="from")
    to: _From


class Joined(msgspec.Struct):
    """The answer to writing associations: each that is there now, from either side."""

    results: list[_Link] = []
    errors: list[Problem] = []

    @property
    def pairs(self) -> set[frozenset[str]]:
        return {frozenset((link.from_.id, link.to.id)) for link in self.results}


class _Rights(msgspec.Struct):
    readOnlyValue: bool = False


class Property(msgspec.Struct):
    """One property of an object."""

    name: str
    type: str
    label: str | None = None
    hubspotDefined: bool | None = None
    calculated: bool | None = None
    hasUniqueValue: bool | None = None
    modificationMetadata: _Rights | None = None

    @property
    def is_writable(self) -> bool:
        return not self.calculated and not (self.modificationMetadata and self.modificationMetadata.readOnlyValue)


class Properties(msgspec.Struct):
    """All properties of an object."""

    results: list[Property]


class AccountDetails(msgspec.Struct):
    """The portal that a token opens."""

    portalId: int


class _Named(msgspec.Struct):
    id: str


def parsed(kind: type[Kind], body: bytes, what: str, repairs: Repairs | None = None) -> Kind:
    """Read an answer as what the protocol promises; raises ReplyError when it is something else."""
    try:
        return cast("Kind", read_json(body, _READERS[kind], repairs))
    except RecursionError:
        raise ReplyError(f"{what}: {TOO_DEEP.format(len(body))}") from None
    except UNREADABLE:
        raise ReplyError(f"{what}: the response ({len(body)} bytes) does not have the documented form") from None


def id_of(record: bytes) -> str | None:
    """Tell a record's id; None for what is no record at all, which lands without a key, to be named."""
    try:
        number: str = read_json(record, _READERS[_Named]).id
    except UNREADABLE:
        return None
    return number if number.isdecimal() else None


def spliced(record: bytes, members: Mapping[str, str | None]) -> bytes:
    """Add members to an unparsed record, whose other bytes stay as the source sent them."""
    added = b"".join(b',"%s":%s' % (name.encode(), msgspec.json.encode(value)) for name, value in members.items())
    return bytes(record).rstrip()[:-1] + added + b"}"


def only_missing(errors: Sequence[Problem], what: str) -> None:
    """Let pass that records are not there; raises ReplyError for any other error in an answer to a read."""
    for problem in errors:
        if problem.category != "OBJECT_NOT_FOUND":
            raise ReplyError(f"{what}: read only in part: {problem.category or 'HubSpot gave no reason'}")


_ROLES = {"account manager": "account_manager", "account executive": "account_executive"}
_ROLE_WORDS = re.compile(r"account\s+(?:managers?|executives?)", re.IGNORECASE)


class _Team(msgspec.Struct):
    name: str | None = None
    primary: bool | None = None


class _Owner(msgspec.Struct):
    id: str
    firstName: str | None = None
    lastName: str | None = None
    teams: list[_Team] | None = None


def with_team(record: bytes) -> bytes:
    """Spell an owner's name, and read role and region from the primary team's ("Account Managers West").

    HubSpot has no field for either; a team's name without a role's words is taken as a region.
    """
    try:
        owner: _Owner = read_json(record, _READERS[_Owner])
    except UNREADABLE:
        return record
    teams = sorted(owner.teams or [], key=lambda team: not team.primary)
    team = " ".join((teams[0].name or "").split()) if teams else ""
    role = next((role for words, role in _ROLES.items() if words in team.lower()), None)
    region = _ROLE_WORDS.sub("", team).strip(" -,:/|()")
    name = f"{owner.firstName or ''} {owner.lastName or ''}".strip()
    return spliced(record, {"_name": name or None, "_role": role, "_region": region or None})


# Made while there is one thread: msgspec learns a type when it first meets it, and two that teach it at once crash.
_KINDS = (Listed, Written, Joined, Read, Found, Associated, Properties, AccountDetails, _Named, _Owner)
_READERS: dict[type, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(kind) for kind in _KINDS}
