"""Checks a delivery's settings against the tables and the target, before anything is planned."""

from collections.abc import Iterator

from connectors.kit.errors import SettingsError, choices
from engine.config.delivery import DeliveryConfig, FieldDelivery
from engine.config.project import Project
from engine.deliver.target import Target
from schemas.find import model, tables


def prove(project: Project, name: str, config: DeliveryConfig, target: Target) -> None:
    """Raise SettingsError for the first setting that does not fit."""
    for problem in _problems(project, config, target):
        raise SettingsError(f"delivery {name!r}: {problem}")


def owners(project: Project, owner: str) -> list[str]:
    """Return the connections that an `owner` names: one connection, or all with that role."""
    if owner in project.connections:
        return [owner]
    return sorted(name for name, role in project.roles().items() if role == owner)


def _problems(project: Project, config: DeliveryConfig, target: Target) -> Iterator[str]:
    known = [*tables(), *project.tables]
    if config.table not in known:
        yield f"no table {config.table!r}; {choices(config.table, known)}"
        return
    if "customer_id" not in _columns(project, config.table):
        yield f"table {config.table!r} cannot be delivered: it has no column customer_id"
    if config.match != "create_only" and target.stream.table != "accounts":
        yield f"match: {config.match} works for accounts only; for {target.stream.name} set `match: create_only` and a `key`"
    for field, setting in config.fields.items():
        yield from (f"fields.{field}: {problem}" for problem in _of_field(project, config, target, field, setting))
    for field in config.gone:
        yield from (f"gone.{field}: {problem}" for problem in _unwritable(target, field))
    if config.key:
        yield from _of_key(project, config, target)


def _of_field(
    project: Project, config: DeliveryConfig, target: Target, field: str, setting: FieldDelivery
) -> Iterator[str]:
    yield from _unwritable(target, field)
    table = "accounts" if setting.owner else config.table
    if setting.source and setting.source not in _columns(project, table):
        yield f"table {table} has no column {setting.source!r}; {choices(setting.source, _columns(project, table))}"
    if setting.owner and not (owner_connections := owners(project, setting.owner)):
        valid_owners = {*project.connections, *project.roles().values()}
        yield f"owner {setting.owner!r} is neither a connection nor a role; {choices(setting.owner, valid_owners)}"
    elif setting.owner and setting.policy == "owner" and target.connector.name in owner_connections:
        yield f"owner {setting.owner!r} is the target itself, and a value is not written to the system that owns it"


def _of_key(project: Project, config: DeliveryConfig, target: Target) -> Iterator[str]:
    key = config.key
    if key is None:
        return
    yield from (f"key: {problem}" for problem in _unwritable(target, key.field))
    if key.source not in _columns(project, config.table):
        yield f"key: table {config.table} has no column {key.source!r}; {choices(key.source, _columns(project, config.table))}"
    if not (target.creates_once(key.field) or config.allow_blind_creates):
        yield (
            f"key: {target.connector.name} allows several records with the same {key.field!r} and has no idempotency key, "
            "so a lost response could lead to a duplicate. Choose a field that is unique there, or accept the risk with "
            "allow_blind_creates: true"
        )


def _unwritable(target: Target, field: str) -> Iterator[str]:
    if field not in target.fields:
        yield f"{target.connector.name} {target.stream.name} has no such field; {choices(field, target.fields)}"
    elif not target.fields[field].is_writable:
        yield f"{target.connector.name} does not let it be written"


def _columns(project: Project, table: str) -> list[str]:
    if table in project.tables:
        return sorted(project.lake.columns(table))
    return list(model(table).to_schema().columns)
