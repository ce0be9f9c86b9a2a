"""Acme keeps the contract."""

from acme import Acme

from connectors.kit.testing import Contract, Sample

PATH = "/v2/companies"


def company(number, **more):
    return {"id": number, "title": f"No. {number}", "state": "active", "modified": "2026-10-01T08:00:00Z", **more}


class TestAcme(Contract):
    connector = Acme
    settings = {"token": "acme-s3cret"}
    samples = (
        Sample(None, "/v2/me", body={"account": {"name": "Acme of Ulm"}}),
        Sample("accounts", PATH, body={"companies": [company(1), company(2)], "next": "b"}),
        Sample("accounts", PATH, {"cursor": "b"}, body={"companies": [company(3), company(4)], "next": "c"}),
        Sample("accounts", PATH, {"cursor": "c"}, body={"companies": [company(5, state="deleted")], "next": None}),
    )
