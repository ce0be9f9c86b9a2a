"""A house that delivers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.deliver.shelf import DeliverEnv, Finding, Keeping


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DeliverEnv]:
    """Make a house whose target has certain ways."""

    def make(kind: type[Keeping] = Finding, **shelf: Any) -> DeliverEnv:
        return DeliverEnv(tmp_path, monkeypatch, kind, **shelf)

    return make


@pytest.fixture
def house(made: Callable[..., DeliverEnv]) -> DeliverEnv:
    """Make a house whose target has a unique field, and tells what it holds."""
    return made()
