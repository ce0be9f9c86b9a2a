"""The kinds of component that a user configures in `defs/<name>/defs.yaml`; the folder's name is its name."""

from typing import Any, ClassVar

import dagster as dg

from engine.config.base import Config
from engine.config.connection import ConnectionConfig
from engine.config.customer_model import CustomerModelConfig
from engine.config.delivery import DeliveryConfig
from engine.config.table import TableConfig
from engine.config.warehouse import WarehouseConfig
from orchestration.assets.backtest import backtest_assets
from orchestration.assets.build import build_assets
from orchestration.assets.deliver import delivery_assets
from orchestration.assets.extract import connection_assets
from orchestration.assets.history import history_assets
from orchestration.assets.publish import warehouse_assets


class Configured(dg.Component):
    """A component whose attributes Dagster checks by our own model.

    Runs read the file again with its secrets, so that no definition holds one.
    """

    config: ClassVar[type[Config]] = Config

    @classmethod
    def get_model_cls(cls) -> type[Config]:
        return cls.config

    @classmethod
    def load(cls, attributes: Any, context: dg.ComponentLoadContext) -> "Configured":
        return cls()


class Connection(Configured):
    """Pull a business system's streams into the raw lake, each night what changed."""

    config = ConnectionConfig

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return connection_assets(context.path.name)


class CustomerModel(Configured):
    """Join accounts into customers and score them."""

    config = CustomerModelConfig

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions.merge(build_assets(), history_assets(), backtest_assets())


class Delivery(Configured):
    """Plan and apply changes of a target's fields."""

    config = DeliveryConfig

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return delivery_assets(context.path.name)


class Table(Configured):
    """Make a table of one's own from others; the step of the customer model makes it, along with ours."""

    config = TableConfig

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions()


class Warehouse(Configured):
    """Publish all tables to a warehouse, all or none."""

    config = WarehouseConfig

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return warehouse_assets(context.path.name)
