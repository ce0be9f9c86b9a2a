"""The query of a delivery: each row of its table with its record at the target and the owners' values."""

import re
from collections.abc import Collection, Mapping, Sequence

from engine.config.delivery import DeliveryConfig, FieldDelivery
from engine.storage.duckdb_session import quoted
from schemas.find import tables

OVERSIZED = "SELECT customer_id, bool_or(is_oversized) AS is_oversized FROM crosswalk GROUP BY customer_id"


def sources(config: DeliveryConfig, own: Collection[str] = ()) -> set[str]:
    """Return the tables that a delivery reads: its own, `accounts`, `crosswalk`, and those its conditions name.

    `own` are the tables of the project's own.
    """
    conditions = f"{config.where or ''} {config.create_where or ''}".lower()
    # Any word that is a table's name counts, be it a column: one table too many is proven then, none too few.
    named = set(re.findall(r"\w+", conditions)) & {*tables(), *own}
    return {config.table, "accounts", "crosswalk", *named}


def rows_sql(
    config: DeliveryConfig, connection: str, owned: Mapping[str, Sequence[str]], created: Mapping[str, str]
) -> str:
    """Return the query for the rows of a delivery.

    `owned` names the connections of each owner; `created` names, by customer, the accounts that other deliveries have
    created in this connection since the build. A row has `_record` (null where the target has none), `_customer`,
    `_records` (how many), `_key`, `_may` (whether it may be created), `_oversized`, and of its fields by number the
    value `v0` and, where it has an owner, the time of the owner's last change `at0`.
    """
    places = {owner: f"m{number}" for number, owner in enumerate(owned)}
    key = f"t.{quoted(config.key.source)}::VARCHAR" if config.key else "NULL"
    columns = ["t.customer_id AS _customer", "coalesce(o.is_oversized, false) AS _oversized", f"{key} AS _key"]
    columns += ["t._may", "x.account_id AS _record", "coalesce(x._records, 0) AS _records"]
    joins = [f"LEFT JOIN ({OVERSIZED}) o ON o.customer_id = t.customer_id", _records(config.match, connection, created)]
    joins += [
        f"LEFT JOIN ({_main(owned[owner])}) {alias} ON {alias}.customer_id = t.customer_id"
        for owner, alias in places.items()
    ]
    for number, setting in enumerate(config.fields.values()):
        if setting.source is not None:
            alias = places[setting.owner] if setting.owner else "t"
            value, joined = _value(setting, alias, f"r{number}")
            joins += [joined] if joined else []
            columns.append(f"{value} AS v{number}")
        if setting.owner:
            columns.append(f"{places[setting.owner]}._at AS at{number}")
    return f"SELECT {', '.join(columns)} FROM ({_delivered_rows(config)}) t {' '.join(joins)} ORDER BY _record, _key"


def accounts_sql(connection: str, created: Mapping[str, str] | None = None) -> str:
    """Return the query for the current accounts of a connection, each with its customer.

    Accounts in `created` are added unless the crosswalk has them: then it says whose they are.
    """
    alive = "FROM crosswalk SEMI JOIN accounts USING (connection, account_id)"
    current = f"SELECT customer_id, account_id {alive} WHERE connection = {_text(connection)}"
    if not created:
        return current
    rows = ", ".join(f"({_text(customer)}, {_text(record)})" for customer, record in created.items())
    in_crosswalk = f"SELECT account_id FROM crosswalk WHERE connection = {_text(connection)}"
    new_accounts = (
        f"SELECT * FROM (VALUES {rows}) b (customer_id, account_id) ANTI JOIN ({in_crosswalk}) USING (account_id)"
    )
    return f"{current} UNION ALL {new_accounts}"


def _delivered_rows(config: DeliveryConfig) -> str:
    """Select the rows to deliver; the conditions are the user's own SQL."""
    may = f"coalesce(({config.create_where}), false)" if config.create_where else "true"
    where = f" WHERE {config.where}" if config.where else ""
    return f"SELECT *, {may} AS _may FROM {quoted(config.table)}{where}"


def _value(setting: FieldDelivery, alias: str, reference: str) -> tuple[str, str | None]:
    """Return a field's value and the join it needs.

    An account id is null where the owner has several accounts of the customer. A reference (`refers`)
    becomes the customer of the account that it names.
    """
    value = f"{alias}.{quoted(str(setting.source))}"
    if setting.owner and setting.source == "account_id":
        value = f"CASE WHEN {alias}._many = 1 THEN {value} END"
    if not setting.refers:
        return value, None
    same = f"{reference}.connection = {alias}.connection AND {reference}.account_id = {value}"
    return f"{reference}.customer_id", f"LEFT JOIN crosswalk {reference} ON {same}"


def _records(match: str, connection: str, created: Mapping[str, str]) -> str:
    """Join the target's own accounts; `update_only` drops rows without one."""
    if match == "create_only":
        return "LEFT JOIN (SELECT NULL AS account_id, 0 AS _records) x ON true"
    kind = "JOIN" if match == "update_only" else "LEFT JOIN"
    counted = (
        f"SELECT *, count(*) OVER (PARTITION BY customer_id) AS _records FROM ({accounts_sql(connection, created)})"
    )
    return f"{kind} ({counted}) x ON x.customer_id = t.customer_id"


def _main(connections: Sequence[str]) -> str:
    """Select the main account of each customer in some connections: an active one, the oldest."""
    return (
        "SELECT c.customer_id, a.*, coalesce(a.updated_at, a.created_at) AS _at, "
        "count(*) OVER (PARTITION BY c.customer_id) AS _many FROM accounts a "
        f"JOIN crosswalk c USING (connection, account_id) WHERE a.connection IN ({', '.join(map(_text, connections))}) "
        "QUALIFY row_number() OVER (PARTITION BY c.customer_id "
        "ORDER BY a.is_active DESC, a.created_at NULLS LAST, a.connection, a.account_id) = 1"
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
