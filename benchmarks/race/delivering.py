"""Scores for the companies of a CRM, written down as a build would have them, and two ways to deliver them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import requests
from race.target import FIELD, Target

from engine.config.connection import ConnectionConfig
from engine.config.delivery import DeliveryConfig
from engine.config.project import Project
from engine.deliver.apply import apply
from engine.deliver.plan import plan
from engine.extract.run import extract
from schemas.find import model

TOKEN = "sandbox-hubspot-token"  # noqa: S105 - the sandbox lets everybody in
Scores = dict[str, int]


def opened(home: Path, target: Target) -> Project:
    """Open a project that delivers a score to a CRM without limits, for what is measured are not those."""
    settings = {"base_url": target.url, "token": TOKEN, "requests_per_10_seconds": 10**6, "searches_per_second": 10**4}
    crm = ConnectionConfig(connector="hubspot", role="crm", settings=settings, streams=["accounts"])
    project = Project(home / "defs", home, connections={"crm": crm})
    given = {"table": "customers", "target": {"connection": "crm"}, "fields": {FIELD: {"from": "employees"}}}
    project.deliveries["scores"] = DeliveryConfig.model_validate(given)
    return project


def build(project: Project, name: str, scores: Scores) -> None:
    """Write the tables of a build down: a customer for each company."""
    customers = [{"customer_id": f"C{one}", "employees": score} for one, score in scores.items()]
    accounts = [{"connection": "crm", "account_id": one} for one in scores]
    crosswalk = [{"connection": "crm", "account_id": one, "customer_id": f"C{one}"} for one in scores]
    for table, rows in {"customers": customers, "accounts": accounts, "crosswalk": crosswalk}.items():
        columns = {str(key): value.dtype.type for key, value in model(table).to_schema().columns.items()}
        full = [{key: row.get(key, _filler(kind)) for key, kind in columns.items()} for row in rows]
        file = project.lake.write(table, pa.Table.from_pylist(full, ibis.schema(columns).to_pyarrow()))
        project.ledger.snapshots.add_table(name, file, name)
    project.ledger.snapshots.switch(name, date(2026, 10, 20), name)


def read(project: Project) -> None:
    """Extract the companies, as a night does before it delivers."""
    for result in extract(project, "crm", "extract"):
        if result.status != "done":
            raise RuntimeError(result.error)


def deliver(project: Project, run: str) -> dict[str, int]:
    """Plan and apply as a night does; tells the records by outcome."""
    plan(project, "scores", run)
    return dict(apply(project, "scores", run).counts)


def naive(target: Target, scores: Scores, parallel: int = 1) -> None:
    """Upsert record by record, as common tools do: look each up, then write it, whatever it holds."""
    sessions = [requests.Session() for _ in range(parallel)]

    def upsert(place: int) -> None:
        for one, score in list(scores.items())[place::parallel]:
            found = _asked(sessions[place], "GET", f"{target.url}/crm/v3/objects/companies/{one}")
            body = {"properties": {FIELD: str(score)}}
            _asked(sessions[place], "PATCH", f"{target.url}/crm/v3/objects/companies/{found['id']}", json=body)

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(upsert, range(parallel)))


def bare(target: Target, scores: Scores, parallel: int, batch: int) -> None:
    """Read and write all in batches, by nothing but sessions: what link and target take of themselves."""
    sessions = [requests.Session() for _ in range(parallel)]
    ids = list(scores)
    parts = [ids[start : start + batch] for start in range(0, len(ids), batch)]
    root = f"{target.url}/crm/v3/objects/companies/batch"

    def send(place: int, verb: str) -> None:
        for some in parts[place::parallel]:
            inputs = [
                {"id": one} | ({"properties": {FIELD: str(scores[one])}} if verb == "update" else {}) for one in some
            ]
            more = {"properties": [FIELD], "propertiesWithHistory": []} if verb == "read" else {}
            _asked(sessions[place], "POST", f"{root}/{verb}", json={"inputs": inputs, **more})

    with ThreadPoolExecutor(parallel) as pool:
        for verb in ("read", "update"):
            list(pool.map(send, range(parallel), [verb] * parallel))


def _asked(session: requests.Session, method: str, url: str, **given: Any) -> Any:
    reply = session.request(method, url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60, **given)
    reply.raise_for_status()
    return reply.json()


def _filler(kind: Any) -> Any:
    if kind.nullable:
        return None
    if kind.is_string():
        return "x"
    if kind.is_boolean():
        return False
    if kind.is_date():
        return date(2026, 10, 20)
    return datetime(2026, 10, 20, tzinfo=UTC) if kind.is_timestamp() else 0
