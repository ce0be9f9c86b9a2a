"""The four kinds of component that a user configures in `defs/<name>/defs.yaml`; the folder's name is its name."""

import dagster as dg

from orchestration.assets.build import build_assets
from orchestration.assets.deliver import delivery_assets
from orchestration.assets.extract import connection_assets
from orchestration.assets.publish import warehouse_assets
from orchestration.config import ConnectionConfig, CustomerModelConfig, DeliveryConfig, WarehouseConfig


class Connection(ConnectionConfig, dg.Component, dg.Resolvable):
    """Pull a business system's streams into the raw lake, each night what changed."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return connection_assets(context.path.name)


class CustomerModel(CustomerModelConfig, dg.Component, dg.Resolvable):
    """Join accounts into customers and score them."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return build_assets()


class Delivery(DeliveryConfig, dg.Component, dg.Resolvable):
    """Plan and apply changes of a target's fields."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return delivery_assets(context.path.name)


class Warehouse(WarehouseConfig, dg.Component, dg.Resolvable):
    """Publish all tables to a warehouse, all or none."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return warehouse_assets(context.path.name)
