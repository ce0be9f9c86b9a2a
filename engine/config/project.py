"""The project: the components of the defs folder, and their lake and ledger."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from connectors.kit.base import Connector
from connectors.kit.errors import SettingsError, choices
from connectors.kit.registry import find_connector
from connectors.kit.settings import load
from connectors.kit.stream import Stream
from engine.config.connection import ConnectionConfig
from engine.config.customer_model import CustomerModelConfig
from engine.config.delivery import DeliveryConfig
from engine.config.delivery_order import in_order
from engine.config.field_maps import with_overrides
from engine.config.loader import defs_folder, home_folder, read_components
from engine.config.table import TableConfig
from engine.config.warehouse import WarehouseConfig
from engine.storage.lake import Lake
from engine.storage.ledger import Ledger


@dataclass
class Project:
    """Every component by its kind and name.

    Connections, lake and ledger are opened when they are first used.
    """

    defs: Path
    home: Path
    connections: dict[str, ConnectionConfig] = field(default_factory=dict)
    deliveries: dict[str, DeliveryConfig] = field(default_factory=dict)
    warehouses: dict[str, WarehouseConfig] = field(default_factory=dict)
    models: dict[str, CustomerModelConfig] = field(default_factory=dict)
    tables: dict[str, TableConfig] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)  # of the tables: their defs.yaml

    @classmethod
    def load(cls, defs: Path | None = None, home: Path | None = None) -> "Project":
        """Read every `defs.yaml`; raises SettingsError that names the file and the setting."""
        project = cls(defs or defs_folder(), home or home_folder())
        # Checked once all are read: a delivery or the customer model may name a connection of another file.
        for path, kind, config in read_components(project.defs):
            name = path.parent.name  # the folder names the component
            project._components(kind)[name] = config
            if kind == "Table":
                project.files[name] = path
        project._cross_check()
        project.deliveries = in_order(project.deliveries, project.roles())
        return project

    @property
    def model(self) -> CustomerModelConfig:
        """Return the customer model: the configured one, else the defaults."""
        return next(iter(self.models.values()), CustomerModelConfig())

    @cached_property
    def ledger(self) -> Ledger:
        """Open the ledger: BELVEDERE_LEDGER_URL, else a SQLite file in the home folder."""
        return Ledger(os.environ.get("BELVEDERE_LEDGER_URL") or f"sqlite:///{self.home / 'ledger.db'}")

    @cached_property
    def lake(self) -> Lake:
        """Open the lake: BELVEDERE_LAKE_URL, else a folder in the home folder."""
        return Lake(os.environ.get("BELVEDERE_LAKE_URL") or str(self.home / "lake"), self.ledger)

    @cached_property
    def budgets(self) -> Path:
        """Return the folder in which all runs on this machine count their requests."""
        return self.home / "budgets"

    def open(self, name: str) -> Connector:
        """Open one connection's connector, with the user's field maps.

        Raises SettingsError for wrong settings.
        """
        config = self.connection(name)
        connector_class = find_connector(config.connector)
        connector = connector_class(name, load(connector_class, name, config.settings))
        connector.share_rate_limit(self.budgets)  # vendors count the requests of all processes together
        connector.keep_tokens(self.home / "tokens")
        connector.streams = self._chosen(name, connector.streams)
        return connector

    def connection(self, name: str) -> ConnectionConfig:
        """Return a connection's configuration; raises SettingsError that names the choices."""
        if name not in self.connections:
            raise SettingsError(f"no connection {name!r}: {choices(name, self.connections)}")
        return self.connections[name]

    def delivery(self, name: str) -> DeliveryConfig:
        """Return a delivery's configuration; raises SettingsError that names the choices."""
        if name not in self.deliveries:
            raise SettingsError(f"no delivery {name!r}: {choices(name, self.deliveries)}")
        return self.deliveries[name]

    def named_deliveries(self, names: Sequence[str]) -> list[str]:
        """Return the names of deliveries as they are; raises SettingsError for an unknown one."""
        for name in names:
            self.delivery(name)
        return list(names)

    def warehouse(self, name: str) -> WarehouseConfig:
        """Return a warehouse's configuration; raises SettingsError that names the choices."""
        if name not in self.warehouses:
            raise SettingsError(f"no warehouse {name!r}: {choices(name, self.warehouses)}")
        return self.warehouses[name]

    def streams(self, name: str) -> tuple[Stream, ...]:
        """List a connection's streams, with the user's field maps.

        Neither secrets nor a network are needed.
        """
        config = self.connection(name)
        return self._chosen(name, find_connector(config.connector).declared_streams(config.settings))

    def chosen(self, names: Sequence[str], streams: Collection[str] = ()) -> dict[str, list[str]]:
        """Return the chosen streams of each connection, all of them where none is chosen.

        A connection without a chosen stream is left out.

        Raises SettingsError for a stream that no connection has.
        """
        offered = {name: [stream.name for stream in self.streams(name)] for name in names}
        _refuse_unknown(names, streams, set().union(*offered.values()))
        if not streams:
            return {name: all_streams for name, all_streams in offered.items() if all_streams}
        chosen = {name: [stream for stream in offered[name] if stream in streams] for name in names}
        return {name: chosen_streams for name, chosen_streams in chosen.items() if chosen_streams}

    def roles(self) -> dict[str, str]:
        """Return the role of every connection."""
        return {name: config.role for name, config in self.connections.items()}

    def _chosen(self, name: str, offered: tuple[Stream, ...]) -> tuple[Stream, ...]:
        config = self.connections[name]
        _refuse_unknown([name], [*(config.streams or []), *config.fields], {stream.name for stream in offered})
        chosen = (stream for stream in offered if config.streams is None or stream.name in config.streams)
        return tuple(
            replace(stream, fields=with_overrides(name, stream, config.fields.get(stream.name, {})))
            for stream in chosen
        )

    def _components(self, kind: str) -> dict[str, Any]:
        by_kind: dict[str, dict[str, Any]] = {
            "Connection": self.connections,
            "CustomerModel": self.models,
            "Delivery": self.deliveries,
            "Table": self.tables,
            "Warehouse": self.warehouses,
        }
        return by_kind[kind]

    def _cross_check(self) -> None:
        if len(self.models) > 1:
            raise SettingsError(f"there is more than one CustomerModel: {', '.join(sorted(self.models))}")
        for name, delivery in self.deliveries.items():
            if delivery.target.connection not in self.connections:
                wrong = delivery.target.connection
                raise SettingsError(f"delivery {name!r}: no connection {wrong!r}; {choices(wrong, self.connections)}")
        for source, target in self.model.links.items():
            for named in (source, target):
                if named not in self.connections:
                    raise SettingsError(
                        f"customer model: links: no connection {named!r}; {choices(named, self.connections)}"
                    )


def _refuse_unknown(names: Sequence[str], streams: Collection[str], offered: Collection[str]) -> None:
    """Raise SettingsError for a stream that no connection of these names offers."""
    for stream in streams:
        if stream not in offered:
            connections = f"connection{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"
            raise SettingsError(f"{connections}: no stream {stream!r}; {choices(stream, offered)}")
