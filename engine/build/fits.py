"""Fitted parameters within a build: new ones count for later builds once its tables are current."""

from datetime import date
from typing import Any, Protocol

from engine.storage.model_parameters import Parameters


class ParameterStore(Protocol):
    """Where fitted parameters are: in the ledger, or in a build that is not current yet."""

    def newest(self, model: str, as_of: date) -> Parameters | None:
        """Return the newest parameters of a model that were fitted as of a date or before."""

    def save(self, model: str, version: str, as_of: date, values: dict[str, Any]) -> None:
        """Store what was fitted as of a date."""


class Fits:
    """Reads parameters from a store, and collects those that a build fits."""

    def __init__(self, store: ParameterStore) -> None:
        self._store = store
        self.new: dict[str, Parameters] = {}

    def newest(self, model: str, as_of: date) -> Parameters | None:
        """Return the newest parameters of a model that were fitted as of a date or before."""
        return self.new.get(model) or self._store.newest(model, as_of)

    def save(self, model: str, version: str, as_of: date, values: dict[str, Any]) -> None:
        """Keep parameters until the build stores them."""
        self.new[model] = Parameters(model, version, as_of, values)

    def store(self) -> None:
        """Store what was fitted."""
        for fit in self.new.values():
            self._store.save(fit.model, fit.version, fit.as_of, fit.values)
