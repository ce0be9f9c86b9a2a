"""A made-up system, an honest connector to it, and connectors that each break the contract in one way."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

import msgspec
import requests
from pydantic import ConfigDict, SecretStr

from connectors.kit.base import Check, Outcome, SourceField, Writing
from connectors.kit.errors import AccessError, BusyError, ConnectorError, ReplyError, UnknownOutcome
from connectors.kit.http.auth import Bearer, Refreshed
from connectors.kit.http.client import Http
from connectors.kit.http.loop_guard import PaginationGuard
from connectors.kit.http.response import Refused, Reply
from connectors.kit.http_connector import HttpConnector, HttpSettings
from connectors.kit.json_path import at
from connectors.kit.raw_rows import cut
from connectors.kit.stream import Stream
from connectors.kit.testing.contract import Contract, StubRequest, StubResponse, Written
from connectors.kit.write import all_of, by_id, chunks, halves, in_turn

FIELDS = {"account_id": "id", "name": "name", "is_active": "active", "updated_at": "at"}
ACCOUNTS = Stream("accounts", "id", FIELDS, table="accounts", cursor="at", deletes="sweep")
CONTACTS = Stream("contacts", "id", {"email": "email"}, deletes="list")
ROWS = [
    {"id": number, "name": f"n{number}", "active": True, "at": f"2026-10-0{number}T00:00:00Z"} for number in range(1, 8)
]
GONE = [{"id": 8}, {"id": 9}]


class Honest(HttpConnector):
    """Keep the contract: page by the links of the source."""

    class Settings(HttpSettings):
        token: SecretStr

    settings: Settings
    streams = (ACCOUNTS, CONTACTS)
    writing = Writing(batch=3)

    def auth(self):
        return Bearer(SecretStr(self.secret()))

    def secret(self):
        return self.settings.token.get_secret_value()

    def check(self):
        return Check(str(at(self.asked("me").json(), "name") or ""), self.now())

    def discover(self):
        return {stream.name: [SourceField("id", "number")] for stream in self.streams}

    def read(self, stream, slice_, checkpoint=None):
        return self.pages(stream, stream.name, checkpoint or {})

    def deletes(self, stream, slice_):
        return self.pages(stream, f"{stream.name}/gone", {}, deleted=True)

    def keys(self, stream):
        for page in self.pages(stream, stream.name, {}):
            yield [key for key in page.records.column("_key").to_pylist() if key]

    def count(self, stream, slice_):
        told = at(self.asked(f"{stream.name}/count").json(), "count")
        if not isinstance(told, int):
            raise ReplyError("no count")
        return told

    def pages(self, stream, path, place, *, deleted=False):
        trail = self.trail(stream, place)
        while place is not None:
            reply = self.asked(place.get("link", path), place.get("asked"))
            rows = self.rows(reply)
            place = trail.on(self.following(place, reply, rows))
            yield self.page(stream, rows, place, deleted=deleted)

    def trail(self, stream, place):
        return PaginationGuard(f"{self.name} {stream.name}", place)

    def asked(self, path, params=None) -> Reply:
        return self.http.get(path, params)

    def rows(self, reply):
        return cut(reply.body, "rows")

    def following(self, place, reply, rows):
        link = at(reply.json(), "link")
        if not isinstance(link, str | None):
            raise ReplyError(f"{self.name}: {link} is no link")
        return {"link": link} if link else None

    def writable(self, stream):
        return {name: SourceField(name, "text", is_unique=name == "code") for name in ("name", "code")}

    def write(self, stream, changes):
        """Change rows by id, put new ones by their code: a batch that holds a bad one is refused as a whole."""
        by_kind = [[one for one in changes if one.action == action] for action in ("update", "create")]
        return in_turn([part for some in by_kind for part in chunks(some, self.writing.batch)], self.sent)

    def sent(self, changes):
        try:
            return self.matched(changes, self.rows_told(self.posted(changes)))
        except Refused:
            return all_of(changes, "rejected") if len(changes) == 1 else in_turn(halves(changes), self.sent)
        except (UnknownOutcome, ReplyError) as error:
            return all_of(changes, "unknown", error)

    def posted(self, changes):
        return self.http.post(self.address(changes[0]), json={"rows": self.inputs(changes)}, writes=True)

    def inputs(self, changes):
        named = [{"id": change.record_id} if change.record_id else {} for change in changes]
        return [{**change.after, **row} for change, row in zip(changes, named, strict=True)]

    def address(self, change):
        return "accounts/new" if change.action == "create" else "accounts/batch"

    def rows_told(self, reply):
        rows = at(reply.json(), "rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ReplyError(f"{self.name}: no rows in the answer to a write")
        return rows

    def matched(self, changes, rows):
        of = {change.record_id or change.after["code"]: change.op_id for change in changes}
        names = [row.get("code") if changes[0].action == "create" else row.get("id") for row in rows]
        pairs = zip(names, rows, strict=True)
        return by_id(changes, {of[str(name)]: self.done(of[str(name)], row) for name, row in pairs if str(name) in of})

    def done(self, op_id, row):
        return Outcome(op_id, "applied", str(row.get("id")), values={"name": row.get("name")})


class Shelf(Contract):
    """Stand in for the system: pages of two, by id, by offset or by time."""

    connector = Honest
    settings = {"token": "shelf-s3cret"}
    written = (
        Written("accounts", ["1", "2", "3", "4"], {"name": "x"}, bad={"name": "bad"}, new={"name": "new"}, key="code"),
    )
    records = {"accounts": ROWS, "contacts": [{"id": 1, "email": "a@example.com"}, {"id": 2, "email": "b@example.com"}]}

    def answers(self, asked: StubRequest) -> StubResponse:
        if asked.path == "/me":
            return StubResponse({"name": "The shelf"})
        name, _, part = asked.path.strip("/").partition("/")
        if part in ("batch", "new"):
            return self.taken(asked.json["rows"], is_new=part == "new")
        rows = GONE if part == "gone" else self.rows_by_stream.get(name, [])
        if part == "count":
            return StubResponse({"count": len(rows)})
        found = _found(rows, asked.query)
        link = f"{{base_url}}{asked.path}?after={found[1]['id']}" if found[2:] else None
        return StubResponse({"rows": found[:2], "link": link, "count": len(rows)})

    def taken(self, rows, *, is_new):
        if any(row["name"] == "bad" for row in rows):
            return StubResponse({"error": "there is a bad one"}, 400)
        return StubResponse({"rows": [self.put(row) if is_new else row for row in rows]})

    def put(self, row):
        held = self.rows_by_stream["accounts"]
        known = [one for one in held if "code" in row and one.get("code") == row["code"]]
        made = known[0] if known else {"id": 100 + len(held), "active": True, "at": "2026-10-20T00:00:00Z"}
        held += [] if known else [made]
        made.update(row)
        return dict(made)

    def is_page(self, stream, asked, told):
        return asked.path == f"/{stream.name}"


def _found(rows, query):
    if "offset" in query:
        return rows[int(query["offset"]) :]
    if "later" in query:
        return sorted((row for row in rows if row["at"] > query["later"]), key=lambda row: row["at"])
    return sorted((row for row in rows if row["id"] > int(query.get("after", 0))), key=lambda row: row["id"])


class Refreshing(Honest):
    """Trade the secret for tokens, which expire."""

    def __init__(self, *args):
        super().__init__(*args)
        self.door = Http(self.name, self.settings.base_url)

    def auth(self):
        return Refreshed(self.token)

    def token(self):
        answer = self.door.post("token", form={"secret": self.secret()}).json()
        if not isinstance(at(answer, "access_token"), str):
            raise ReplyError(f"{self.name}: no token in the answer")
        return SecretStr(answer["access_token"]), 3600

    def close(self):
        super().close()
        self.door.close()


class TakesAnySetting(Honest):
    class Settings(HttpSettings):
        model_config = ConfigDict(extra="ignore")
        token: SecretStr


class KeepsASecretAsText(Honest):
    class Settings(HttpSettings):
        token: str

    def secret(self):
        return self.settings.token


class HoldsASecretOpenly(Honest):
    def __init__(self, *args):
        super().__init__(*args)
        self.token = self.secret()


class ChecksWithoutAsking(Honest):
    def check(self):
        return Check("me", datetime.now(UTC))


class ShowsTheSecret(Honest):
    def check(self):
        try:
            return super().check()
        except AccessError as error:
            raise AccessError(f"{self.secret()} was refused") from error


class SweepsWithoutKeys(HttpConnector):
    streams = (ACCOUNTS,)


class LooksBackWithoutCursor(Honest):
    streams = (Stream("accounts", "id", FIELDS, table="accounts", lookback=timedelta(1)),)


class FeedsUnknownColumns(Honest):
    streams = (Stream("accounts", "id", {**FIELDS, "colour": "colour"}, table="accounts"),)


class FeedsNoName(Honest):
    streams = (Stream("accounts", "id", {"account_id": "id", "is_active": "active"}, table="accounts"),)


class TellsItsOwnTime(Honest):
    def now(self):
        return datetime.now(UTC)


class DiscoversTooMuch(Honest):
    def discover(self):
        return {"invoices": [SourceField("id", "number")]}


class DropsRows(Honest):
    def rows(self, reply):
        return super().rows(reply)[:1]


class NeverEnds(Honest):
    def pages(self, stream, path, place, *, deleted=False):
        for page in super().pages(stream, path, place, deleted=deleted):
            yield self.page(stream, page.rows, page.checkpoint or {"link": path}, deleted=deleted)


class KeepsAPlaceThatIsNoJson(Honest):
    def pages(self, stream, path, place, *, deleted=False):
        for page in super().pages(stream, path, place, deleted=deleted):
            yield self.page(stream, page.rows, page.checkpoint and {"link": (page.checkpoint["link"],)})


class StartsAnew(Honest):
    def read(self, stream, slice_, checkpoint=None):
        return super().read(stream, slice_)


class RunsAhead(Honest):
    """Tell of each page the place of the page after the next, as one does that reads ahead."""

    def pages(self, stream, path, place, *, deleted=False):
        pages = list(super().pages(stream, path, place, deleted=deleted))
        for page, following in zip(pages, [*pages[1:], None], strict=True):
            after = following.checkpoint if following and following.checkpoint else page.checkpoint
            yield self.page(stream, page.rows, after, deleted=deleted)


class SavesBeforeItHolds(Honest):
    """Yield an empty page with the next place before the rows, so that a crash between loses them."""

    def pages(self, stream, path, place, *, deleted=False):
        held = []
        for page in super().pages(stream, path, place, deleted=deleted):
            held += page.rows
            if page.checkpoint:
                yield self.page(stream, [], page.checkpoint, deleted=deleted)
        yield self.page(stream, held, None, deleted=deleted)


class SweepsOnePage(Honest):
    def keys(self, stream):
        yield next(super().keys(stream))


class MissCounts(Honest):
    def count(self, stream, slice_):
        return super().count(stream, slice_) + 1


class ForgetsThatTheyAreDeleted(Honest):
    def pages(self, stream, path, place, *, deleted=False):
        return super().pages(stream, path, place)


class DropsWhatHasNoId(Honest):
    def rows(self, reply):
        return [row for row in super().rows(reply) if b'"id"' in row]


class YieldsNoEmptyPage(Honest):
    def pages(self, stream, path, place, *, deleted=False):
        return (page for page in super().pages(stream, path, place, deleted=deleted) if page.rows)


class PagesByTime(Honest):
    """Ask for what is later than the last stamp: what shares it is skipped."""

    def following(self, place, reply, rows):
        stamps = [at(row, "at") for row in at(reply.json(), "rows") or ()]
        return {"asked": {"later": max(stamps)}} if at(reply.json(), "link") else None


class PagesByOffset(Honest):
    def pages(self, stream, path, place, *, deleted=False):
        return super().pages(stream, path, place or {"asked": {"offset": 0}}, deleted=deleted)

    def following(self, place, reply, rows):
        return {"asked": {"offset": place["asked"]["offset"] + 2}} if len(rows) == 2 else None


class StopsAtTheCount(PagesByOffset):
    """End when as many rows came as the source counts, whether or not they are others."""

    def following(self, place, reply, rows):
        read = place["asked"]["offset"] + len(rows)
        return {"asked": {"offset": read}} if read < at(reply.json(), "count") else None


class PagesWithoutLooking(Honest):
    def trail(self, stream, place):
        return SimpleNamespace(on=lambda following: following)


class LooksOneStepBack(PagesWithoutLooking):
    """See a page that leads to itself, and not two that lead to each other."""

    def following(self, place, reply, rows):
        following = super().following(place, reply, rows)
        return PaginationGuard(self.name, place).on(following)


class MarksWhatItRead(Honest):
    def read(self, stream, slice_, checkpoint=None):
        self.http.post("me", json={"read": stream.name}, writes=True)
        return super().read(stream, slice_, checkpoint)


class CleansUp(Honest):
    def read(self, stream, slice_, checkpoint=None):
        self.http.delete("me")
        return super().read(stream, slice_, checkpoint)


class SwallowsErrors(Honest):
    """Take an error for the end."""

    def pages(self, stream, path, place, *, deleted=False):
        pages = super().pages(stream, path, place, deleted=deleted)
        try:
            last = next(pages)
            for page in pages:
                yield last
                last = page
        except ConnectorError:
            return
        yield last


class TakesAllForBusy(Honest):
    def asked(self, path, params=None):
        try:
            return super().asked(path, params)
        except AccessError as error:
            raise BusyError("try again later") from error


class TakesNoListForEmpty(Honest):
    def rows(self, reply):
        try:
            return super().rows(reply)
        except ReplyError:
            return []

    def following(self, place, reply, rows):
        return super().following(place, reply, rows) if rows else None


class TrustsTheAnswer(Honest):
    def check(self):
        return Check(self.asked("me").json()["name"].strip(), self.now())

    def rows(self, reply):
        return [msgspec.json.encode(row) for row in reply.json()["rows"]]


class GoesItsOwnWay(Honest):
    """Ask with a client of its own, which waits for nothing, follows everything and holds any body."""

    retries = 3

    def asked(self, path, params=None):
        url = path if "://" in path else f"{self.settings.base_url}/{path}"
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(self.retries):
                reply = session.get(url, params=params, headers={"Authorization": f"Bearer {self.secret()}"}, timeout=5)
                if reply.status_code < 400:
                    break
        self.http.answered, self.http.date = True, parsedate_to_datetime(reply.headers["Date"])
        return Reply(reply.status_code, reply.headers, reply.content, reply.url)


class TriesOnce(GoesItsOwnWay):
    retries = 1


class DeclaresNoWriting(Honest):
    writing = SimpleNamespace(batch=3, parallel=1)


class WritesAsIfItRead(Honest):
    """Write by a request of which the kit does not know that it must not be repeated."""

    def posted(self, changes):
        return self.http.post(self.address(changes[0]), json={"rows": self.inputs(changes)})


class PutsItTwice(Honest):
    """Send by a method that shows that it writes, and keep that from the kit."""

    def posted(self, changes):
        return self.http.put(self.address(changes[0]), json={"rows": self.inputs(changes)})


class LeavesOutcomesOut(Honest):
    def write(self, stream, changes):
        return super().write(stream, changes)[1:]


class MatchesByPosition(Honest):
    def matched(self, changes, rows):
        pairs = zip(changes, rows, strict=False)
        return by_id(changes, {change.op_id: self.done(change.op_id, row) for change, row in pairs})


class TakesYesForAll(Honest):
    def matched(self, changes, rows):
        told = {one.op_id: one for one in super().matched(changes, rows)}
        return [
            told[change.op_id]
            if told[change.op_id].status == "applied"
            else Outcome(change.op_id, "applied", change.record_id or "?")
            for change in changes
        ]


class RefusesAll(Honest):
    def sent(self, changes):
        try:
            return self.matched(changes, self.rows_told(self.posted(changes)))
        except Refused:
            return all_of(changes, "rejected")
        except (UnknownOutcome, ReplyError) as error:
            return all_of(changes, "unknown", error)


class WritesInItsOwnWay(Honest):
    """Write with a client of its own, which follows redirects and waits for nothing."""

    def posted(self, changes):
        url = f"{self.settings.base_url}/{self.address(changes[0])}"
        told = {"Authorization": f"Bearer {self.secret()}"}
        with requests.Session() as session:
            session.trust_env = False
            reply = session.put(url, json={"rows": self.inputs(changes)}, headers=told, timeout=5)
        if reply.status_code >= 400:
            raise UnknownOutcome(f"{self.name}: answered {reply.status_code}")
        return Reply(reply.status_code, reply.headers, reply.content, reply.url)


class TakesBusyForUnknown(Honest):
    def sent(self, changes):
        try:
            return super().sent(changes)
        except BusyError as error:
            return all_of(changes, "unknown", error)


class BelievesTheAnswer(Honest):
    def rows_told(self, reply):
        return [{**row} for row in reply.json()["rows"]]


class CreatesBlindly(Honest):
    """Leave the key out, so that the system cannot know a record again."""

    def inputs(self, changes):
        return [{name: value for name, value in row.items() if name != "code"} for row in super().inputs(changes)]

    def matched(self, changes, rows):
        return [self.done(change.op_id, row) for change, row in zip(changes, rows, strict=True)]
