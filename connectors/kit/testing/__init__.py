"""What the tests of a connector import: `from connectors.kit.testing import Contract, Sample, Told, ...`."""

from connectors.kit.testing.contract import Asked, Contract, Sample, Told, Written

__all__ = ["Asked", "Contract", "Sample", "Told", "Written"]
