"""What the tests of a connector import: `from connectors.kit.testing import Contract, Sample, StubResponse, ...`."""

from connectors.kit.testing.contract import Contract, Sample, StubRequest, StubResponse, Written

__all__ = ["Contract", "Sample", "StubRequest", "StubResponse", "Written"]
