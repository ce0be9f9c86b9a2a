"""Acme keeps the contract when it is written to."""

import test_acme
from acme_writes import WritableAcme

from connectors.kit.testing import Contract, Sample, StubResponse, Written


def saved(asked):
    rows = asked.json["companies"]
    is_bad = any(row["score"] == "high" for row in rows)
    return StubResponse({"error": "a score is a number"}, 422) if is_bad else StubResponse({"companies": rows})


class TestWritableAcme(Contract):
    connector = WritableAcme
    settings = {"token": "acme-s3cret"}
    samples = (*test_acme.TestAcme.samples, Sample(None, test_acme.PATH, method="PATCH", told_by=saved))
    written = (Written("accounts", ids=["1", "2", "3"], after={"score": 7.5}, bad={"score": "high"}),)
