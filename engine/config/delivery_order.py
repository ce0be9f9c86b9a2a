"""In which order deliveries run: as `after` has it, and creates before what is owed to a record just created."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from connectors.kit.errors import SettingsError, choices
from engine.config.delivery import DeliveryConfig

Deliveries = Mapping[str, DeliveryConfig]


def in_order(deliveries: Deliveries, roles: Mapping[str, str]) -> dict[str, DeliveryConfig]:
    """Sort deliveries into the order in which they run; `roles` maps connections to their roles.

    Raises SettingsError for an `after` that names no delivery, and for a circle of them.
    """
    return {name: deliveries[name] for name in TopologicalSorter(predecessors(deliveries, roles)).static_order()}


def predecessors(deliveries: Deliveries, roles: Mapping[str, str]) -> dict[str, list[str]]:
    """Name for each delivery those that run before it, itself not among them.

    These are the ones of its `after`, and those that create accounts which it updates or links to; the latter only
    where that closes no circle: of two that wait for each other, the first by name runs first.

    Raises SettingsError for an `after` that names no delivery, and for a circle of them.
    """
    before = {name: list(config.after) for name, config in deliveries.items()}
    for name, config in deliveries.items():
        for other in config.after:
            if other not in deliveries:
                raise SettingsError(f"delivery {name!r}: after: no delivery {other!r}; {choices(other, deliveries)}")
    if circle := _circle(before):
        raise SettingsError(f"deliveries come after each other in a circle: {', '.join(circle)}")
    for creator, follower in _owed(deliveries, roles):
        if creator not in before[follower]:
            before[follower].append(creator)
            if _circle(before):
                before[follower].remove(creator)
    return before


def followers(deliveries: Deliveries, roles: Mapping[str, str], name: str) -> list[str]:
    """Name the deliveries that run after one, directly or not, in their order."""
    before, found = predecessors(deliveries, roles), {name}
    for other in TopologicalSorter(before).static_order():
        if found & set(before[other]):
            found.add(other)
    return [other for other in in_order(deliveries, roles) if other in found and other != name]


def heights(deliveries: Deliveries, roles: Mapping[str, str]) -> dict[str, int]:
    """Tell how many deliveries follow each in the longest chain after it: 0 where none does."""
    before, found = predecessors(deliveries, roles), dict.fromkeys(deliveries, 0)
    for name in reversed([*TopologicalSorter(before).static_order()]):
        for other in before[name]:
            found[other] = max(found[other], found[name] + 1)
    return found


def _owed(deliveries: Deliveries, roles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pair deliveries that create accounts with those that owe something to an account just created."""
    for creator in sorted(name for name, config in deliveries.items() if creates_accounts(config)):
        target = deliveries[creator].target
        for follower in sorted(deliveries):
            config = deliveries[follower]
            is_same = config.target == target and config.match != "create_only"
            if follower != creator and (is_same or _links_to(config, target.connection, roles)):
                yield creator, follower


def creates_accounts(config: DeliveryConfig) -> bool:
    """Tell whether a delivery may create accounts, which others may owe something to."""
    return config.match == "upsert" or (config.match == "create_only" and config.target.stream == "accounts")


def _links_to(config: DeliveryConfig, connection: str, roles: Mapping[str, str]) -> bool:
    """Tell whether a delivery writes ids of a connection's accounts: as a link, or as a reference in the target itself."""
    links = [given.owner for given in config.fields.values() if given.source == "account_id" and not given.refers]
    refers = config.target.connection == connection and any(given.refers for given in config.fields.values())
    return refers or any(owner in (connection, roles.get(connection)) for owner in links)


def _circle(before: Mapping[str, Sequence[str]]) -> list[str]:
    """Name the deliveries of a circle, if there is one."""
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []
