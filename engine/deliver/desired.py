"""What a target should hold: the rows of a table, each with the record that it belongs to, or the key of a new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import duckdb

from connectors.kit.errors import SettingsError
from engine.build.current_tables import Tables
from engine.config.delivery import DeliveryConfig, FieldDelivery
from engine.config.project import Project
from engine.deliver.desired_sql import accounts_sql, rows_sql, sources
from engine.deliver.target import Target
from engine.deliver.validation import owners
from transforms.delivery.field_diff import Wanted
from transforms.delivery.value_equality import plain

RECORD_OF = "record_of"  # {"record_of": customer}: the record that this very plan creates for that customer


@dataclass
class Desired:
    """Hold what is wanted, and what a person must look at first: (record, customer, key, why)."""

    wanted: list[Wanted] = field(default_factory=list)
    review: list[tuple[str | None, str, str | None, str]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


def built_at(project: Project) -> datetime | None:
    """Tell since when records that we create are not in the tables yet."""
    current = project.ledger.snapshots.current()
    return current.created_at if current else None


def created_by_others(project: Project, name: str) -> dict[str, str]:
    """Tell by customer the records of a delivery's target that other deliveries have created since the build."""
    target = project.delivery(name).target
    return project.ledger.operations.created_by_customer(
        target.connection, target.stream, built_at(project), besides=name
    )


def desired(project: Project, name: str, target: Target) -> Desired:
    """Work out what each record should hold.

    Raises SettingsError for a condition that is no SQL, ReplyError for a table whose file is not what
    the manifest recorded.
    """
    return _Desiring(project, name, target).all()


class _Desiring:
    """Read the table, and find the record of each row."""

    def __init__(self, project: Project, name: str, target: Target) -> None:
        self.project, self.name, self.target = project, name, target
        self.config: DeliveryConfig = project.delivery(name)
        self.ledger = project.ledger
        self.tables = Tables(project, sources(self.config), afresh=True)
        self.created = self.ledger.operations.created_by_key(name) if self.config.key else {}
        self.refused = self.ledger.operations.rejection_counts(name)
        self.owned = {owner: owners(project, owner) for owner in self._owners()}
        connections = {self.target.connector.name, *(one for some in self.owned.values() for one in some)}
        self.born = {connection: self._born(connection) for connection in connections}

    def all(self) -> Desired:
        found = Desired()
        for row in self._rows():
            want = self._want(row)
            if want.key is not None:
                found.keys.add(want.key)
            if why := self._look_first(row, want):
                found.review.append((want.record_id, want.customer_id, want.key, why))
            elif self._is_delivered(row, want):
                found.wanted.append(want)
        if any(given.refers for given in self.config.fields.values()):
            created = {want.customer_id for want in found.wanted if want.record_id is None}
            found.wanted = [replace(want, values=_within(want.values, created)) for want in found.wanted]
        return found

    def _want(self, row: Mapping[str, Any]) -> Wanted:
        key = None if row["_key"] is None else str(row["_key"])
        record = row["_record"] or (self.created[key][0] if key in self.created else None)
        fields = list(self.config.fields.items())
        values = {name: self._value(row, number, name, given) for number, (name, given) in enumerate(fields)}
        if self.config.key and record is None and key is not None:
            values[self.config.key.field] = key
        changed = {name: row[f"at{number}"] for number, (name, given) in enumerate(fields) if given.owner}
        return Wanted(record, row["_customer"], values, key if record is None or not row["_record"] else None, changed)

    def _value(self, row: Mapping[str, Any], number: int, name: str, given: FieldDelivery) -> Any:
        if row["_records"] > 1 and self.target.fields[name].is_unique:
            return None  # only one of them could have it, and nobody said which
        value = given.value if given.source is None else row[f"v{number}"]
        if given.refers:
            return self._record_of(value)
        if given.owner and given.source == "account_id" and value is None:
            places = (self.born[connection].get(row["_customer"]) for connection in self.owned[given.owner])
            value = next((place for place in places if place), None)
        return self.target.storable(value)

    def _record_of(self, customer: str | None) -> Any:
        """Name a customer's record at the target; one that is yet to be created goes by the customer."""
        if customer is None:
            return None
        there = self._accounts.get(customer) or self.born[self.target.connector.name].get(customer)
        return there or {RECORD_OF: customer}

    def _look_first(self, row: Mapping[str, Any], want: Wanted) -> str | None:
        times = self.refused.get(want.key or want.record_id or "", 0)
        if row["_oversized"]:
            return "too many accounts were joined into this customer"
        if times >= self.config.attempts:
            return f"refused {times} times in a row"
        return None

    def _is_delivered(self, row: Mapping[str, Any], want: Wanted) -> bool:
        """Update what is there, unless only creates are wanted; create what may be, is named and whole."""
        if want.record_id is not None:
            return self.config.match != "create_only"
        needed = [name for name, given in self.config.fields.items() if given.required]
        is_whole = all(plain(want.values.get(name)) is not None for name in needed)
        return bool(self.config.match != "update_only" and want.key and row["_may"] and is_whole)

    def _owners(self) -> list[str]:
        return sorted({given.owner for given in self.config.fields.values() if given.owner})

    def _born(self, connection: str) -> dict[str, str]:
        """Tell by customer the accounts that were created since the build: its tables do not have them yet."""
        since = built_at(self.project)
        streams = (one.name for one in self.project.streams(connection) if one.table == "accounts")
        return {
            customer: record
            for stream in streams
            for customer, record in self.ledger.operations.created_by_customer(connection, stream, since=since).items()
        }

    @cached_property
    def _accounts(self) -> dict[str, str]:
        """Tell the one account that the target holds of each customer; of several none is meant."""
        held = accounts_sql(self.target.connector.name)
        rows = self.tables.query(
            f"SELECT customer_id, min(account_id) AS one FROM ({held}) GROUP BY 1 HAVING count(*) = 1"  # noqa: S608
        )
        return {row["customer_id"]: row["one"] for row in rows}

    def _rows(self) -> list[dict[str, Any]]:
        born = created_by_others(self.project, self.name)
        try:
            return self.tables.query(rows_sql(self.config, self.target.connector.name, self.owned, born))
        except duckdb.Error as error:
            if self.config.where or self.config.create_where:
                said = str(error).splitlines()[0]
                raise SettingsError(f"delivery {self.name!r}: `where` or `create_where`: {said}") from None
            raise


def _within(values: Mapping[str, Any], created: set[str]) -> dict[str, Any]:
    """Drop references to records that nobody is going to create."""
    return {
        name: None if isinstance(value, dict) and value[RECORD_OF] not in created else value
        for name, value in values.items()
    }
