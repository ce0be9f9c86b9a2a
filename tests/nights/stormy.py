"""A delivery to each kind of target, and what a storm needs to know of it: how it is made, edited and looked at."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from connectors.hubspot.connector import HubSpot
from connectors.kit.errors import ConnectorError
from connectors.odoo.connector import Odoo
from engine.config.connection import ConnectionConfig
from engine.config.delivery import DeliveryConfig
from engine.config.project import Project
from engine.deliver.apply import apply
from engine.deliver.plan import plan
from engine.deliver.verify import read_back
from sandbox.server import Sandbox
from tests.engine.deliver.build_tables import skip_fsync, write_build
from tests.nights.unhurried import unhurried

SETTLES = 0.4  # seconds
LINKED, NEW = 12, 3  # customers with a record; new ones a trial
BATCH = 5
Values = dict[str, Any]


@dataclass(frozen=True)
class Door:
    """Describe a target: the fields for text, score, phone and city, and the key of new records."""

    system: str
    kind: str
    fields: Mapping[str, str]
    key: str
    settings: Mapping[str, Any]
    traits: Mapping[str, Any] = field(default_factory=dict)
    blind: bool = False
    named: Callable[[Sandbox], dict[str, Values]] = dict

    @property
    def steps(self) -> int:
        """Tell about how many writes a night sends: those of the plain system's that is asked for each record are more."""
        stream = self.settings.get("streams", {}).get("accounts", {"write": {"batch": {}}})
        return 7 if "batch" in stream["write"] else 25

    @property
    def versions(self) -> bool:
        """Tell whether the target compares versions."""
        return bool(self.traits.get("versions"))


def _plain(*without: str, **traits: Any) -> Door:
    how: dict[str, Any] = {
        "path": "customers/{id}",
        "fields": ["band", "credit_limit", "external_ref"],
        "unique": ["external_ref"],
        "idempotency_header": "Idempotency-Key",
        "version": {"path": "version"},
        "create": {"path": "customers"},
        "find": {"params": {"external_ref": "external_ref"}},
        "batch": {
            "path": "customers/batch",
            "size": BATCH,
            "items": "items",
            "values": "values",
            "op_id": "op_id",
            "version": "version",
            "action": "op",
            "actions": {"update": "update", "create": "create"},
            "outcomes": "items",
            "outcome": {"op_id": "op_id", "status": "status", "record": "record", "message": "error.message"},
            "idempotent": True,
        },
    }
    stream = {
        "path": "customers",
        "record_path": "data",
        "table": "accounts",
        "paging": {"kind": "cursor", "path": "next", "param": "after", "size": 50, "size_param": "limit"},
        "fields": {"account_id": "id", "name": "name"},
        "write": {name: value for name, value in how.items() if name not in without},
    }
    settings = {
        "auth": {"kind": "header", "header": "X-Api-Key", "secret": "sandbox-plain-key"},
        "requests_per_second": 10_000,
        "writing": {"parallel": 2, "write_timeout_seconds": SETTLES},
        "streams": {"accounts": stream},
    }
    fields = {"text": "band", "score": "credit_limit", "phone": "phone", "city": "city", "name": "name"}
    is_blind = {"unique", "idempotency_header"} <= {*without}
    held = {"versions": "version" not in without, "idempotent": "idempotency_header" not in without}
    held |= {} if "unique" not in without else {"unique": None}
    return Door("plain", "customers", fields, "external_ref", settings, held | traits, is_blind, _rows)


def _rows(sandbox: Sandbox) -> dict[str, Values]:
    return {number: dict(row) for number, row in sandbox.plain.rows["customers"].items()}


def _companies(sandbox: Sandbox) -> dict[str, Values]:
    companies = sandbox.hubspot.objects["companies"]
    return {number: dict(row["properties"]) for number, row in companies.items() if not row["archived"]}


def _partners(sandbox: Sandbox) -> dict[str, Values]:
    names = {
        row["res_id"]: row["name"].rpartition("-")[2]
        for row in sandbox.odoo.tables["ir.model.data"].values()
        if row["model"] == "res.partner"
    }
    rows = sandbox.odoo.tables["res.partner"].items()
    return {
        str(number): {**row, "external_id": names.get(number)}
        for number, row in rows
        if row.get("is_company") or number in names
    }


DOORS = {
    "HubSpot": Door(
        "hubspot",
        "companies",
        {
            "text": "belvedere_retention_band",
            "score": "belvedere_retention_score",
            "phone": "phone",
            "city": "city",
            "name": "name",
        },
        "erp_id",
        {"token": "sandbox-hubspot-token", "requests_per_10_seconds": 100_000, "searches_per_second": 10_000},
        named=_companies,
    ),
    "Odoo": Door(
        "odoo",
        "res.partner",
        {
            "text": "x_belvedere_retention_band",
            "score": "x_belvedere_retention_score",
            "phone": "phone",
            "city": "city",
            "name": "name",
        },
        "external_id",
        {
            "database": "sandbox",
            "login": "belvedere@example.com",
            "api_key": "sandbox-odoo-key",
            "requests_per_second": 10_000,
            "max_transaction_minutes": 0,
        },
        named=_partners,
    ),
    "all of it": _plain(),
    "unique alone": _plain("idempotency_header", "version", "batch"),
    "idempotent alone": _plain("unique", "version"),
    "versions alone": _plain("unique", "idempotency_header", "batch"),
    "nothing": _plain("unique", "idempotency_header", "version", "batch"),
}


@dataclass
class World:
    """Hold a project that delivers to one door of a sandbox."""

    door: Door
    home: Path
    url: str

    def __post_init__(self) -> None:
        connection = {"connector": {"plain": "rest"}.get(self.door.system, self.door.system), "role": "crm"}
        settings = {"base_url": f"{self.url}/{self.door.system}", **self.door.settings}
        crm = ConnectionConfig.model_validate({**connection, "settings": settings})
        erp = ConnectionConfig(connector="files", role="erp")
        self.project = Project(self.home / "defs", self.home, connections={"crm": crm, "erp": erp})
        self.project.deliveries["d"] = DeliveryConfig.model_validate(self._delivery())
        skip_fsync(self.project.ledger)

    def tables(self, snapshot: str, linked: list[str], trial: int) -> None:
        """Make a build: scores of this trial, and as many new customers as there were trials."""
        new = [f"new{number}" for number in range(NEW * (trial + 1))]
        records = dict(zip((f"C{number}" for number in range(LINKED)), linked, strict=True))
        customers = [
            {
                "customer_id": one,
                "name": f"name {one}",
                "industry": f"band {(place + trial) % 3}",
                "employees": 40 + (place * 7 + trial * 3) % 50,
                "city": f"city {one}",
            }
            for place, one in enumerate([*records, *new])
        ]
        phones = {one["customer_id"]: f"+49{place:04d}{trial // 3}" for place, one in enumerate(customers)}
        ours = [
            {"connection": "erp", "account_id": f"E{one}", "phone": phone, "is_active": True}
            for one, phone in phones.items()
        ]
        theirs = [{"connection": "crm", "account_id": number, "is_active": True} for number in records.values()]
        joined = [{"customer_id": one, "connection": "erp", "account_id": f"E{one}"} for one in phones]
        joined += [{"customer_id": one, "connection": "crm", "account_id": number} for one, number in records.items()]
        write_build(self.project, snapshot, {"customers": customers, "accounts": ours + theirs, "crosswalk": joined})

    def night(self, run: str) -> int:
        """Plan, apply, read back; tells how many records were to be written."""
        planned = plan(self.project, "d", run)
        apply(self.project, "d", run)
        read_back(self.project, "d")
        return planned.changes

    def _delivery(self) -> Values:
        names = self.door.fields
        return {
            "table": "customers",
            "target": {"connection": "crm"},
            "match": "upsert",
            "key": {"field": self.door.key, "from": "customer_id"},
            "fields": {
                names["text"]: {"from": "industry"},
                names["score"]: {"from": "employees"},
                names["name"]: {"from": "name", "policy": "fill_empty"},
                names["phone"]: {"from": "phone", "owner": "erp", "policy": "owner"},
                names["city"]: {"from": "city", "policy": "fill_empty"},
            },
            "guards": {"max_creates": 999},
            "attempts": 999,
            "allow_blind_creates": self.door.blind,
        }


def small_and_fast(patch: pytest.MonkeyPatch) -> None:
    """Let clients wait without losing time and send small batches, and nobody wait for the disk."""
    unhurried(patch)
    patch.setattr("os.fsync", lambda _: None)
    patch.setattr(HubSpot, "writing", replace(HubSpot.writing, batch=BATCH))
    patch.setattr(Odoo, "writing", replace(Odoo.writing, batch=BATCH))


def night(door: str, home: str, url: str, run: str) -> None:
    """Run one night in a process that is going to be killed; that it could not finish is no surprise."""
    with pytest.MonkeyPatch.context() as patch, suppress(ConnectorError):
        small_and_fast(patch)
        World(DOORS[door], Path(home), url).night(run)
