"""A system that YAML alone describes keeps the contract, in all six shapes of paging."""

from connectors.kit.testing.contract import Contract, StubRequest, StubResponse, Written
from connectors.rest.connector import Rest

ROWS = [
    {"id": number, "name": f"n{number}", "gone": number == 4, "at": f"2026-10-{number:02d}T00:00:00Z"}
    for number in range(1, 8)
]
NUMBERED = "numbers shift when a record before them goes: what is skipped then, only the next whole read finds"


def described(paging, record_path="data") -> dict:
    stream = {
        "path": "customers",
        "record_path": record_path,
        "table": "accounts",
        "paging": {"size": 3, **paging},
        "cursor": {"path": "at", "param": "since"},
        "deleted": {"gone": ["true"]},
        "fields": {"account_id": "id", "name": "name", "is_active": {"constant": True}, "updated_at": "at"},
    }
    return {"auth": {"kind": "bearer", "token": "erp-s3cret"}, "streams": {"accounts": stream}}


class TestByCursor(Contract):
    connector = Rest
    settings = described({"kind": "cursor", "path": "next", "param": "after"})
    records = {"accounts": ROWS}
    written = ()

    def answers(self, asked: StubRequest) -> StubResponse:
        after = asked.query.get("after", "0")
        if not after.isdecimal():
            return StubResponse({"error": "after what?"}, 400)
        rows = [row for row in self.rows_by_stream["accounts"] if row["id"] > int(after)]
        rows.sort(key=lambda row: row["id"])
        following = rows[2]["id"] if rows[3:] else None
        link = f"{{base_url}}/customers?after={following}"
        headers = {"Link": f'<{link}>; rel="next"'} if following else {}
        return StubResponse({"data": rows[:3], "next": following, "link": following and link}, headers=headers)


class TestByLinkInTheBody(TestByCursor):
    settings = described({"kind": "link", "path": "link"})


class TestByLinkHeader(TestByCursor):
    settings = described({"kind": "link"})


class TestByOffset(Contract):
    connector = Rest
    settings = described({"kind": "offset"})
    records = {"accounts": ROWS}
    written = ()
    waived = {
        "test_a_record_that_vanishes_while_paging_hides_no_other": NUMBERED,
        "test_a_record_that_moves_while_paging_is_not_lost": NUMBERED,
    }

    def answers(self, asked: StubRequest) -> StubResponse:
        start = int(asked.query.get("offset", 0))
        return StubResponse({"data": self.rows_by_stream["accounts"][start : start + 3]})


class TestByPageNumber(TestByOffset):
    settings = described({"kind": "page"})

    def answers(self, asked: StubRequest) -> StubResponse:
        start = 3 * int(asked.query["page"]) - 3
        return StubResponse({"data": self.rows_by_stream["accounts"][start : start + 3]})


class TestByRange(TestByOffset):
    settings = described({"kind": "range"}, record_path="")

    def answers(self, asked: StubRequest) -> StubResponse:
        rows = self.rows_by_stream["accounts"]
        start = int(asked.headers["Range"].partition("=")[2].partition("-")[0])
        return StubResponse(
            rows[start : start + 3], headers={"Content-Range": f"records {start}-{start + 2}/{len(rows)}"}
        )


class TestAtOnce(Contract):
    connector = Rest
    records = {"accounts": ROWS}
    written = ()
    settings = described({"kind": "none"}, record_path="") | {
        "auth": {"kind": "basic", "user": "me", "password": "p4ss"}
    }

    def answers(self, asked: StubRequest) -> StubResponse:
        return StubResponse(self.rows_by_stream["accounts"])


CREATE = {"path": "customers"}
ALONE = {"path": "customers/{id}", "unique": ["code"], "create": CREATE, "find": {"params": {"code": "code"}}}
TOLD = {"id": "id", "op_id": "op", "message": "error"}
BATCH = {"path": "customers/batch", "items": "rows", "op_id": "op", "outcomes": "rows", "outcome": TOLD}


def written_to(how) -> dict:
    made = described({"kind": "cursor", "path": "next", "param": "after"})
    made["streams"]["accounts"]["write"] = how
    return made


class TestWrittenAlone(TestByCursor):
    settings = written_to(ALONE)
    written = (
        Written(
            "accounts", ["1", "2", "3"], {"name": "x"}, bad={"name": 5}, new={"name": "new", "code": ""}, key="code"
        ),
    )

    def answers(self, asked: StubRequest) -> StubResponse:
        if asked.method == "GET" and "code" in asked.query:
            return StubResponse(
                {"data": [row for row in self.rows_by_stream["accounts"] if row.get("code") == asked.query["code"]]}
            )
        return super().answers(asked) if asked.method == "GET" else self.taken(asked)

    def taken(self, asked):
        sent, rows = asked.json, self.rows_by_stream["accounts"]
        if sent.get("name") == 5:
            return StubResponse({"error": "a name is a text"}, 422)
        if asked.method == "PATCH":
            row = next(row for row in rows if f"/{row['id']}" in asked.path)
            return StubResponse(row | sent)
        if any(row.get("code") == sent["code"] for row in rows):
            return StubResponse({"error": "there is one already"}, 409)
        rows.append({"id": len(rows) + 1, "gone": False, "at": "2026-10-20T00:00:00Z", **sent})
        return StubResponse(rows[-1], 201)


class TestWrittenInBatches(TestByCursor):
    settings = written_to({"path": "customers/{id}", "batch": BATCH})
    written = (Written("accounts", ["1", "2", "3", "4"], {"name": "x"}, bad={"name": 5}),)

    def answers(self, asked: StubRequest) -> StubResponse:
        if asked.method == "GET":
            return super().answers(asked)
        return StubResponse({"rows": [self.taken(dict(row)) for row in asked.json["rows"]]})

    def taken(self, row):
        return {**row, "error": "a name is a text"} if row["name"] == 5 else row
