"""Acme CRM, API v2, written to: many companies in one request, each named in the answer."""

from acme import Acme

from connectors.kit import (
    Refused,
    ReplyError,
    SourceField,
    UnknownOutcome,
    Writing,
    all_of,
    at,
    by_id,
    chunks,
    halves,
    in_turn,
    outcome,
)


class WritableAcme(Acme):
    """Change companies by id; one bad value has Acme refuse the whole request, of which nothing is done then."""

    writing = Writing(batch=50, parallel=2)

    def writable(self, stream):
        return {"title": SourceField("title", "text"), "score": SourceField("score", "number")}

    def write(self, stream, changes):
        refused = [outcome(one, "rejected", "Acme makes no companies") for one in changes if one.action != "update"]
        return refused + in_turn(chunks([one for one in changes if one.action == "update"], 50), self.sent)

    def sent(self, changes):
        rows = [{**change.after, "id": int(change.record_id)} for change in changes]
        try:
            reply = self.http.patch("v2/companies", json={"companies": rows}, writes=True)
            told = at(reply.json(), "companies")
        except Refused as error:
            return all_of(changes, "rejected", error) if len(changes) == 1 else in_turn(halves(changes), self.sent)
        except (UnknownOutcome, ReplyError) as error:
            return all_of(changes, "unknown", error)
        named = {str(at(row, "id")): row for row in told} if isinstance(told, list) else {}
        return by_id(
            changes,
            {
                change.op_id: outcome(change, "applied", values={name: at(row, name) for name in change.after})
                for change in changes
                if (row := named.get(change.record_id))
            },
        )
