"""Zendesk Support: incremental exports, ratings, organizations, bulk updates with jobs."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.core.clock import Clock
from sandbox.core.response import Request, Response
from sandbox.core.write_log import WriteLog
from sandbox.world.zendesk import Desk
from sandbox.zendesk.activity import ZendeskPeople
from sandbox.zendesk.tokens import EMAIL, Tokens

SETTLING = timedelta(minutes=1)  # what changed in the last minute is left out, so that no later change slips in between
Row = dict[str, Any]


class Zendesk(ZendeskPeople):
    """Answer for one account."""

    def __init__(self, desk: Desk, clock: Clock, log: WriteLog) -> None:
        super().__init__(desk, clock)
        self.log = log
        self.tokens = Tokens(clock)
        self.jobs: dict[str, Row] = {}
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Response]]] = [
            ("GET", re.compile(r"/api/v2/users/me(?:\.json)?"), self._me),
            ("GET", re.compile(r"/api/v2/incremental/(tickets|users)/cursor(?:\.json)?"), self._cursor),
            ("GET", re.compile(r"/api/v2/incremental/organizations(?:\.json)?"), self._incremental),
            ("GET", re.compile(r"/api/v2/satisfaction_ratings(?:\.json)?"), self._ratings),
            ("GET", re.compile(r"/api/v2/ticket_metrics(?:\.json)?"), self._metrics),
            ("GET", re.compile(r"/api/v2/tickets/(\d+)/metrics(?:\.json)?"), self._metrics_of),
            ("GET", re.compile(r"/api/v2/(organizations|tickets)/show_many(?:\.json)?"), self._show_many),
            ("GET", re.compile(r"/api/v2/(organizations|users)(?:\.json)?"), self._listed),
            ("GET", re.compile(r"/api/v2/(organizations|tickets|users)/(\d+)(?:\.json)?"), self._read_one),
            ("PUT", re.compile(r"/api/v2/(organizations|tickets)/update_many(?:\.json)?"), self._update_many),
            ("GET", re.compile(r"/api/v2/job_statuses/(\w+)(?:\.json)?"), self._job),
            ("GET", re.compile(r"/api/v2/organization_fields(?:\.json)?"), self._fields),
        ]

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if (request.method, request.path) == ("POST", "/oauth/tokens"):
            return self.tokens.granted(request.body)
        if refused := self.tokens.refused(request):
            return refused
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                answer = handler(request, *match.groups())
                answer.headers |= {"X-Rate-Limit": "1000000", "X-Rate-Limit-Remaining": "999999"}
                return answer
        return Response(404, {"error": "InvalidEndpoint", "description": "Not found"})

    def _me(self, request: Request) -> Response:
        return Response(
            payload={"user": {"id": 1, "email": EMAIL, "role": "admin", "name": "Belvedere", "active": True}}
        )

    def _ordered(self, table: str) -> list[tuple[float, int]]:
        until = (self.clock.now() - SETTLING).timestamp()
        moved = ((moment.timestamp(), number) for number, moment in self.desk.moved[table].items())
        return sorted(pair for pair in moved if pair[0] <= until)

    def _cursor(self, request: Request, table: str) -> Response:
        size = min(1000, int(request.first("per_page", "1000")))
        if cursor := request.first("cursor"):
            stamp, _, number = b64decode(cursor).decode().partition("|")
            after = (float(stamp), int(number))
        else:
            start = float(request.first("start_time", "0"))
            if start > (self.clock.now() - SETTLING).timestamp():
                return Response(
                    400,
                    {
                        "error": "StartTimeTooRecent",
                        "description": "Too recent start_time. Use a start_time older than 60 seconds",
                    },
                )
            after = (start, -1)
        rest = [pair for pair in self._ordered(table) if pair > after]
        page = rest[:size]
        last = page[-1] if page else after
        token = b64encode(f"{last[0]!r}|{last[1]}".encode()).decode()
        rows = [
            self._ticket(number, request) if table == "tickets" else self.tables[table][number] for _, number in page
        ]
        url = f"{request.base}/api/v2/incremental/{table}/cursor.json?cursor={token}"
        return Response(
            payload={
                table: rows,
                "after_cursor": token,
                "after_url": url,
                "before_cursor": None,
                "end_of_stream": len(rest) <= size,
            }
        )

    def _ticket(self, number: int, request: Request) -> Row:
        row = dict(self.tables["tickets"][number])
        row["generated_timestamp"] = int(self.desk.moved["tickets"][number].timestamp())
        metrics = row.pop("metric_set")
        if "metric_sets" in request.first("include"):
            row["metric_set"] = {"id": number + 1, "ticket_id": number, **metrics}
        return row

    def _incremental(self, request: Request) -> Response:
        start, size = (
            int(float(request.first("start_time", "0"))),
            min(1000, int(request.first("per_page", "1000"))),
        )
        if start > (self.clock.now() - SETTLING).timestamp():
            return Response(
                400,
                {
                    "error": "StartTimeTooRecent",
                    "description": "Too recent start_time. Use a start_time older than 60 seconds",
                },
            )
        rest = [pair for pair in self._ordered("organizations") if int(pair[0]) >= start]
        page = rest[:size]
        while len(page) < len(rest) and int(rest[len(page)][0]) == int(page[-1][0]):
            page.append(rest[len(page)])  # a page never ends within a second, else that second would be asked for ever
        end = int(page[-1][0]) if page else start
        done = len(page) == len(rest)
        rows = [self.tables["organizations"][number] for _, number in page]
        url = f"{request.base}/api/v2/incremental/organizations.json?start_time={end if done else int(rest[len(page)][0])}"
        return Response(
            payload={
                "organizations": rows,
                "count": len(rows),
                "end_time": end,
                "next_page": url,
                "end_of_stream": done,
            }
        )

    def _ratings(self, request: Request) -> Response:
        start, end = float(request.first("start_time", "0")), float(request.first("end_time", "inf"))
        wanted = request.first("score", "")
        rows = [
            row
            for row in self.tables["satisfaction_ratings"].values()
            if start <= _epoch(row["updated_at"]) < end and (wanted != "received" or row["score"] in ("good", "bad"))
        ]
        return self._cursor_page(request, "satisfaction_ratings", rows)

    def _metrics(self, request: Request) -> Response:
        rows = [
            {"id": row["id"] + 1, "ticket_id": row["id"], **row["metric_set"]}
            for row in self.tables["tickets"].values()
        ]
        return self._cursor_page(request, "ticket_metrics", rows)

    def _metrics_of(self, request: Request, number: str) -> Response:
        row = self.tables["tickets"].get(int(number))
        if row is None or row["status"] == "deleted":
            return Response(404, {"error": "RecordNotFound"})
        return Response(payload={"ticket_metric": {"id": row["id"] + 1, "ticket_id": row["id"], **row["metric_set"]}})

    def _listed(self, request: Request, table: str) -> Response:
        roles = request.query.get("role[]", [])
        rows = [row for row in self.tables[table].values() if not roles or row.get("role") in roles]
        return self._cursor_page(
            request, table, [row for row in rows if not row.get("deleted_at") and row.get("active", True)]
        )

    def _cursor_page(self, request: Request, name: str, rows: list[Row]) -> Response:
        size, after = min(100, int(request.first("page[size]", "100"))), int(request.first("page[after]", "0"))
        rest = sorted((row for row in rows if row["id"] > after), key=lambda row: row["id"])
        page = rest[:size]
        more = len(rest) > size
        last = page[-1]["id"] if page else after
        link = f"{request.base}{request.path}?page%5Bsize%5D={size}&page%5Bafter%5D={last}" if more else None
        meta = {"has_more": more, "after_cursor": str(last) if more else None}
        return Response(payload={name: page, "meta": meta, "links": {"next": link, "prev": None}})

    def _show_many(self, request: Request, table: str) -> Response:
        wanted = [int(number) for number in request.first("ids").split(",") if number]
        rows = [self.tables[table][number] for number in wanted if number in self.tables[table]]
        alive = [row for row in rows if not row.get("deleted_at") and row.get("status") != "deleted"]
        return Response(payload={table: alive, "count": len(rows)})

    def _read_one(self, request: Request, table: str, number: str) -> Response:
        row = self.tables[table].get(int(number))
        return Response(payload={table[:-1]: row}) if row else Response(404, {"error": "RecordNotFound"})

    def _update_many(self, request: Request, table: str) -> Response:
        many = (request.body or {}).get(table, [])
        if len(many) > 100:
            return Response(400, {"error": "TooManyValues", "description": "at most 100"})
        results = []
        for index, changes in enumerate(many):
            number = int(changes.get("id", 0))
            row = self.tables[table].get(number)
            if row is None:
                results.append(
                    {
                        "index": index,
                        "id": number,
                        "success": False,
                        "error": "RecordNotFound",
                        "details": "not found",
                    }
                )
                continue
            values = {name: value for name, value in changes.items() if name != "id"}
            for nested in ("organization_fields",):
                if nested in values:
                    values[nested] = {**row.get(nested, {}), **values[nested]}
            before = {name: row.get(name) for name in values}
            self.edit(table, number, values)
            self.log.add("zendesk", table, number, "update", before, values)
            results.append({"index": index, "id": number, "action": "update", "status": "Updated", "success": True})
        job = f"{len(self.jobs) + 1:032x}"
        url = f"{request.base}/api/v2/job_statuses/{job}.json"
        self.jobs[job] = {
            "id": job,
            "url": url,
            "total": len(many),
            "status": "queued",
            "progress": 0,
            "results": list(reversed(results)),
        }
        rows = {key: value for key, value in self.jobs[job].items() if key != "results"}
        return Response(payload={"job_status": rows | {"message": None, "results": None}})

    def _job(self, request: Request, job: str) -> Response:
        stored_job = self.jobs.get(job)
        if stored_job is None:
            return Response(404, {"error": "RecordNotFound"})
        stored_job["status"] = {"queued": "working", "working": "completed"}.get(stored_job["status"], "completed")
        done = stored_job["status"] == "completed"
        stored_job["progress"] = stored_job["total"] if done else 0
        return Response(
            payload={
                "job_status": stored_job
                | {"results": stored_job["results"] if done else None, "message": "Completed" if done else None}
            }
        )

    def _fields(self, request: Request) -> Response:
        rows = [
            {"id": position, "key": key, "type": "text", "title": key, "active": True}
            for position, key in enumerate(("vat_number", "phone", "postcode", "country"))
        ]
        return Response(payload={"organization_fields": rows, "count": len(rows)})


def _epoch(stamp: str) -> float:
    return datetime.fromisoformat(stamp).astimezone(UTC).timestamp()
