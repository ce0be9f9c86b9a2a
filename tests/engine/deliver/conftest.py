"""Fixtures: a project that delivers to a scripted target."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.deliver.stub_target import DeliverEnv, SearchableConnector, StubConnector


@pytest.fixture
def make_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DeliverEnv]:
    """Make an environment whose target behaves as given."""

    def make(kind: type[StubConnector] = SearchableConnector, **stub: Any) -> DeliverEnv:
        return DeliverEnv(tmp_path, monkeypatch, kind, **stub)

    return make


@pytest.fixture
def env(make_env: Callable[..., DeliverEnv]) -> DeliverEnv:
    """Make an environment whose target has a unique field, and confirms values."""
    return make_env()
