"""The order in which deliveries run.

It follows `after`; those that create accounts run before those that write to them.
"""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from connectors.kit.errors import SettingsError, choices
from engine.config.delivery import DeliveryConfig

Deliveries = Mapping[str, DeliveryConfig]


def in_order(deliveries: Deliveries, roles: Mapping[str, str]) -> dict[str, DeliveryConfig]:
    """Sort deliveries into the order in which they run; `roles` maps connections to their roles.

    Raises SettingsError for an `after` that names no delivery, and for a cycle of them.
    """
    return {name: deliveries[name] for name in TopologicalSorter(predecessors(deliveries, roles)).static_order()}


def predecessors(deliveries: Deliveries, roles: Mapping[str, str]) -> dict[str, list[str]]:
    """Return for each delivery the names of those that run before it.

    These are the ones of its `after`, and those that create accounts which it updates or links to;
    the latter only where that makes no cycle: of two that wait for each other, the first by name
    runs first.

    Raises SettingsError for an `after` that names no delivery, and for a cycle of them.
    """
    before = {name: list(config.after) for name, config in deliveries.items()}
    for name, config in deliveries.items():
        for other in config.after:
            if other not in deliveries:
                raise SettingsError(f"delivery {name!r}: after: no delivery {other!r}; {choices(other, deliveries)}")
    if cycle := _cycle(before):
        raise SettingsError(f"deliveries: `after` forms a cycle: {', '.join(cycle)}; remove one of these")
    for creator, follower in _dependent(deliveries, roles):
        if creator not in before[follower]:
            # Pairs come in order of their names, so that it is the later one that gives way in a cycle.
            before[follower].append(creator)
            if _cycle(before):
                before[follower].remove(creator)
    return before


def followers(deliveries: Deliveries, roles: Mapping[str, str], name: str) -> list[str]:
    """Name the deliveries that run after one, directly or not, in their order."""
    before, following = predecessors(deliveries, roles), {name}
    for other in TopologicalSorter(before).static_order():
        if following & set(before[other]):
            following.add(other)
    return [other for other in in_order(deliveries, roles) if other in following and other != name]


def chain_lengths(deliveries: Deliveries, roles: Mapping[str, str]) -> dict[str, int]:
    """Return the number of deliveries in the longest chain that follows each: 0 where none does."""
    before, lengths = predecessors(deliveries, roles), dict.fromkeys(deliveries, 0)
    for name in reversed([*TopologicalSorter(before).static_order()]):
        for other in before[name]:
            lengths[other] = max(lengths[other], lengths[name] + 1)
    return lengths


def _dependent(deliveries: Deliveries, roles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pair each delivery that creates accounts with those that write or link to them."""
    for creator in sorted(name for name, config in deliveries.items() if creates_accounts(config)):
        target = deliveries[creator].target
        for follower in sorted(deliveries):
            config = deliveries[follower]
            is_same = config.target == target and config.match != "create_only"
            if follower != creator and (is_same or _links_to(config, target.connection, roles)):
                yield creator, follower


def creates_accounts(config: DeliveryConfig) -> bool:
    """Say whether a delivery may create accounts."""
    return config.match == "upsert" or (config.match == "create_only" and config.target.stream == "accounts")


def _links_to(config: DeliveryConfig, connection: str, roles: Mapping[str, str]) -> bool:
    """Say whether a delivery writes ids of a connection's accounts.

    They are links from another system, or references within the target.
    """
    fields = config.fields.values()
    owners = [field.owner for field in fields if field.source == "account_id" and not field.refers]
    refers = config.target.connection == connection and any(field.refers for field in fields)
    return refers or any(owner in (connection, roles.get(connection)) for owner in owners)


def _cycle(before: Mapping[str, Sequence[str]]) -> list[str]:
    """Name the deliveries of a cycle, if there is one."""
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []
