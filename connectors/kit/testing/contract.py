"""The contract that every connector keeps, as tests: a subclass in its twin file declares, and pytest tries it.

```python
class TestAcme(Contract):
    connector = Acme
    settings = {"token": "s3cret"}  # base_url is filled in
    samples = (
        Sample("accounts", "/v2/accounts", body={"data": [{"id": 1}], "next": "b"}),
        Sample("accounts", "/v2/accounts", {"after": "b"}, body={"data": [{"id": 2}], "next": None}),
    )
```

Needs pytest, and is imported by tests alone. The clauses lie in this folder; docs/connectors.md explains.
"""

from connectors.kit.testing.concurrent_changes import ConcurrentChangeTests
from connectors.kit.testing.declaration import DeclarationTests
from connectors.kit.testing.http_server import StubRequest, StubResponse
from connectors.kit.testing.pagination import PaginationTests
from connectors.kit.testing.permanent_faults import PermanentFaultTests
from connectors.kit.testing.record_handling import RecordHandlingTests
from connectors.kit.testing.samples import Sample
from connectors.kit.testing.transient_faults import TransientFaultTests
from connectors.kit.testing.write_cases import Written
from connectors.kit.testing.writes import Writing

__all__ = ["Contract", "Sample", "StubRequest", "StubResponse", "Written"]


class Contract(
    DeclarationTests,
    PaginationTests,
    RecordHandlingTests,
    TransientFaultTests,
    PermanentFaultTests,
    ConcurrentChangeTests,
    Writing,
):
    """Try a connector against every clause, on every stream, in every way that it offers.

    `samples` are the pages that the system answers. Or `records` are what it holds by stream, and `answers` is a
    function from request to answer over `self.rows_by_stream`, a copy of them; then records can move and vanish while they are
    read. `written` names what may be written; () says that nothing is, though the connector could. A stand-in of another
    kind overrides `answers`, and what of `keys`, `is_page`, `lets_in`, `vanish`, `touch`
    and `level` it knows better. `is_page_exact` False says that going on may repeat records, though never lose any.
    `waived` maps a clause that the system itself makes impossible to the reason: it must fail then.
    """
