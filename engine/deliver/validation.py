"""What of a delivery's settings cannot hold against the tables and the target: told before anything is planned."""

from collections.abc import Iterator

from connectors.kit.errors import SettingsError, choices
from engine.config.delivery import DeliveryConfig, FieldDelivery
from engine.config.project import Project
from engine.deliver.target import Target
from schemas.find import model, tables


def prove(project: Project, name: str, config: DeliveryConfig, target: Target) -> None:
    """Raise SettingsError for the first setting that makes no sense."""
    for problem in _problems(project, config, target):
        raise SettingsError(f"delivery {name!r}: {problem}")


def owners(project: Project, asked: str) -> list[str]:
    """Name the connections that an `owner` means: one by its name, or all of a role."""
    if asked in project.connections:
        return [asked]
    return sorted(name for name, role in project.roles().items() if role == asked)


def _problems(project: Project, config: DeliveryConfig, target: Target) -> Iterator[str]:
    if config.table not in tables():
        yield f"no table {config.table!r}; {choices(config.table, tables())}"
        return
    if "customer_id" not in _columns(config.table):
        yield f"table {config.table!r} has no customer_id: what is delivered is about customers"
    if config.match != "create_only" and target.stream.table != "accounts":
        yield f"match: {config.match} is for accounts; give `match: create_only` and a `key` for {target.stream.name}"
    for field, given in config.fields.items():
        yield from (f"fields.{field}: {problem}" for problem in _of_field(project, config, target, field, given))
    for field in config.gone:
        yield from (f"gone.{field}: {problem}" for problem in _unwritable(target, field))
    if config.key:
        yield from _of_key(config, target)


def _of_field(
    project: Project, config: DeliveryConfig, target: Target, field: str, given: FieldDelivery
) -> Iterator[str]:
    yield from _unwritable(target, field)
    table = "accounts" if given.owner else config.table
    if given.source and given.source not in _columns(table):
        yield f"table {table} has no column {given.source!r}; {choices(given.source, _columns(table))}"
    if given.owner and not (found := owners(project, given.owner)):
        known = {*project.connections, *project.roles().values()}
        yield f"owner {given.owner!r} is no connection and no role; {choices(given.owner, known)}"
    elif given.owner and given.policy == "owner" and target.connector.name in found:
        yield f"owner {given.owner!r} is the target itself: what it owns is not written there"


def _of_key(config: DeliveryConfig, target: Target) -> Iterator[str]:
    key = config.key
    if key is None:
        return
    yield from (f"key: {problem}" for problem in _unwritable(target, key.field))
    if key.source not in _columns(config.table):
        yield f"key: table {config.table} has no column {key.source!r}; {choices(key.source, _columns(config.table))}"
    if not (target.creates_once(key.field) or config.allow_blind_creates):
        yield (
            f"key: {target.connector.name} lets two records have the same {key.field!r} and knows no idempotency key, "
            "so a lost answer could make a second one. Choose a field that is unique there, or, knowing that, set "
            "allow_blind_creates: true"
        )


def _unwritable(target: Target, field: str) -> Iterator[str]:
    if field not in target.fields:
        yield f"{target.connector.name} {target.stream.name} has no such field; {choices(field, target.fields)}"
    elif not target.fields[field].is_writable:
        yield f"{target.connector.name} lets nobody write it"


def _columns(table: str) -> list[str]:
    return list(model(table).to_schema().columns)
