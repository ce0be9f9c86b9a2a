"""The desired state of a target: the rows of a table, each with its record there or the key of a new one."""

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
    """What the target should hold; `review` lists what a person must look at: (record, customer, key, reason)."""

    wanted: list[Wanted] = field(default_factory=list)
    review: list[tuple[str | None, str, str | None, str]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


def built_at(project: Project) -> datetime | None:
    """Return when the current build was made: records created since are not in its tables."""
    current = project.ledger.snapshots.current()
    return current.created_at if current else None


def created_by_others(project: Project, name: str) -> dict[str, str]:
    """Return by customer the records that other deliveries have created in this target since the build."""
    target = project.delivery(name).target
    return project.ledger.operations.created_by_customer(
        target.connection, target.stream, built_at(project), besides=name
    )


def desired(project: Project, name: str, target: Target) -> Desired:
    """Return the desired state of a delivery's target.

    Raises SettingsError for a condition that cannot be evaluated, ReplyError for a table whose file is not
    what the manifest recorded.
    """
    return _DesiredState(project, name, target).all()


class _DesiredState:
    """Reads a delivery's table and finds the record of each row."""

    def __init__(self, project: Project, name: str, target: Target) -> None:
        self.project, self.name, self.target = project, name, target
        self.config: DeliveryConfig = project.delivery(name)
        self.ledger = project.ledger
        self.tables = Tables(project, sources(self.config, project.tables), afresh=True)
        self.created = self.ledger.operations.created_by_key(name) if self.config.key else {}
        self.rejections = self.ledger.operations.rejection_counts(name)
        self.owned = {owner: owners(project, owner) for owner in self._owners()}
        connections = {self.target.connector.name}.union(*self.owned.values())
        self.created_since_build = {connection: self._created_since_build(connection) for connection in connections}

    def all(self) -> Desired:
        result = Desired()
        for row in self._rows():
            want = self._want(row)
            if want.key is not None:
                result.keys.add(want.key)
            if reason := self._review_reason(row, want):
                result.review.append((want.record_id, want.customer_id, want.key, reason))
            elif self._is_delivered(row, want):
                result.wanted.append(want)
        if any(setting.refers for setting in self.config.fields.values()):
            created = {want.customer_id for want in result.wanted if want.record_id is None}
            result.wanted = [
                replace(want, values=_without_dangling_references(want.values, created)) for want in result.wanted
            ]
        return result

    def _want(self, row: Mapping[str, Any]) -> Wanted:
        key = None if row["_key"] is None else str(row["_key"])
        record = row["_record"] or (self.created[key][0] if key in self.created else None)
        fields = list(self.config.fields.items())
        values = {name: self._value(row, number, name, setting) for number, (name, setting) in enumerate(fields)}
        if self.config.key and record is None and key is not None:
            values[self.config.key.field] = key
        changed = {name: row[f"at{number}"] for number, (name, setting) in enumerate(fields) if setting.owner}
        return Wanted(record, row["_customer"], values, key if record is None or not row["_record"] else None, changed)

    def _value(self, row: Mapping[str, Any], number: int, name: str, setting: FieldDelivery) -> Any:
        if row["_records"] > 1 and self.target.fields[name].is_unique:
            return None  # a unique value fits only one of several records, and nothing says which
        value = setting.value if setting.source is None else row[f"v{number}"]
        if setting.refers:
            return self._record_of(value)
        if setting.owner and setting.source == "account_id" and value is None:
            connections = self.owned[setting.owner]
            created = (self.created_since_build[connection].get(row["_customer"]) for connection in connections)
            value = next((record_id for record_id in created if record_id), None)
        return self.target.storable(value)

    def _record_of(self, customer: str | None) -> Any:
        """Return a customer's record at the target, or a reference to the one this plan creates."""
        if customer is None:
            return None
        record_id = self._accounts.get(customer) or self.created_since_build[self.target.connector.name].get(customer)
        return record_id or {RECORD_OF: customer}

    def _review_reason(self, row: Mapping[str, Any], want: Wanted) -> str | None:
        times = self.rejections.get(want.key or want.record_id or "", 0)
        if row["_oversized"]:
            return "too many accounts were joined into this customer: check `belvedere match list --judged` and the match rules"
        if times >= self.config.attempts:
            return f"the target refused it {times} times in a row: correct it there or in the source"
        return None

    def _is_delivered(self, row: Mapping[str, Any], want: Wanted) -> bool:
        """Return whether a row is delivered: by `match`, and for creates a key, `create_where` and required fields."""
        if want.record_id is not None:
            return self.config.match != "create_only"
        needed = [name for name, setting in self.config.fields.items() if setting.required]
        is_whole = all(plain(want.values.get(name)) is not None for name in needed)
        return bool(self.config.match != "update_only" and want.key and row["_may"] and is_whole)

    def _owners(self) -> list[str]:
        return sorted({setting.owner for setting in self.config.fields.values() if setting.owner})

    def _created_since_build(self, connection: str) -> dict[str, str]:
        """Return by customer the accounts created since the build, which its tables do not contain yet."""
        since = built_at(self.project)
        created: dict[str, str] = {}
        for stream in self.project.streams(connection):
            if stream.table == "accounts":
                created |= self.ledger.operations.created_by_customer(connection, stream.name, since=since)
        return created

    @cached_property
    def _accounts(self) -> dict[str, str]:
        """Return the target's account of each customer that has exactly one there."""
        accounts = accounts_sql(self.target.connector.name)
        rows = self.tables.query(
            f"SELECT customer_id, min(account_id) AS account_id FROM ({accounts}) GROUP BY 1 HAVING count(*) = 1"  # noqa: S608
        )
        return {row["customer_id"]: row["account_id"] for row in rows}

    def _rows(self) -> list[dict[str, Any]]:
        created = created_by_others(self.project, self.name)
        try:
            return self.tables.query(rows_sql(self.config, self.target.connector.name, self.owned, created))
        except duckdb.Error as error:
            if self.config.where or self.config.create_where:
                message = str(error).splitlines()[0]
                raise SettingsError(
                    f"delivery {self.name!r}: `where` or `create_where` cannot be evaluated: {message}"
                ) from None
            raise


def _without_dangling_references(values: Mapping[str, Any], created: set[str]) -> dict[str, Any]:
    """Drop references to records that this plan does not create."""
    return {
        name: None if isinstance(value, dict) and value[RECORD_OF] not in created else value
        for name, value in values.items()
    }
