"""A night whose access token ends while Zendesk is read: nothing is lost, and one token request is enough each time."""

import pytest

from engine.config.project import Project
from engine.extract.run import extract
from engine.storage.backend.backend import connect
from sandbox.server import Sandbox

EXPORT = "/zendesk/api/v2/incremental/tickets"
TABLES = {"accounts": "organizations", "tickets": "tickets", "ratings": "satisfaction_ratings", "owners": "users"}


def keys_of(project: Project, name: str) -> set[str]:
    raw = project.lake.read(connect(), f"raw/zendesk/{name}").to_pyarrow()
    return set(raw.column("_key").to_pylist())


@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_token_that_ends_in_mid_stream_costs_no_record(sandbox: Sandbox, project: Project, end: str):
    def ends() -> None:
        sandbox.zendesk.tokens.revoke() if end == "revoked" else sandbox.clock.advance(1801)

    project.connections["zendesk"].settings["page_size"] = 20
    hooks = [sandbox.when(EXPORT, after=number, do=ends) for number in (2, 4)]
    results = {result.stream: result for result in extract(project, "zendesk", "first")}
    assert all(hook.done for hook in hooks)
    assert {result.status for result in results.values()} == {"done"}
    for name, table in TABLES.items():
        rows = sandbox.zendesk.tables[table].items()
        expected = {
            str(number) for number, row in rows if row.get("role") != "end-user" and row.get("score") != "offered"
        }
        assert keys_of(project, name) == expected, name
    assert sandbox.requests["POST", "/zendesk/oauth/tokens"] == 3
