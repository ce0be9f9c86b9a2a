"""Ours: the extract stage into lake and ledger, without Dagster.

Read is by the unchanged HubSpot connector, by pages of 100 as HubSpot has it; by larger ones with the connector for
any REST API.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from engine.storage.gc_tuning import rare_garbage_collection

HUBSPOT_PAGE = 100


def configured(task: dict[str, Any]) -> tuple[Path, Path]:
    """Write the one connection's folder below the task's; gives the folders of definitions and of data."""
    out = Path(task["out"])
    attributes = (_hubspot if task["page"] == HUBSPOT_PAGE else _rest)(task)
    file = out / "defs" / "crm" / "defs.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"type": "orchestration.components.Connection", "attributes": attributes}))
    return out / "defs", out / "home"


def _hubspot(task: dict[str, Any]) -> dict[str, Any]:
    settings = {"base_url": task["url"], "token": task["token"], "requests_per_10_seconds": 10**9}
    return {"connector": "hubspot", "streams": ["accounts"], "settings": settings | {"searches_per_second": 1e6}}


def _rest(task: dict[str, Any]) -> dict[str, Any]:
    """Describe the list as users describe theirs; the source knows no parameter for what is newer, and needs none."""
    paging = {"kind": "cursor", "path": "paging.next.after", "param": "after", "size_param": "limit"}
    stream = {
        "path": "crm/v3/objects/companies",
        "params": {"properties": ",".join(task["properties"])},
        "record_path": "results",
        "paging": paging | {"size": task["page"]},
        "cursor": {"path": "updatedAt", "param": "since"},
        "fields": {name: f"properties.{name}" for name in task["properties"]},
    }
    auth = {"kind": "bearer", "token": task["token"]}
    settings = {"base_url": task["url"], "auth": auth, "requests_per_second": 10**9, "streams": {"accounts": stream}}
    return {"connector": "rest", "settings": settings}


def main() -> None:
    """Read what is new, the collector spared as by the command `belvedere`."""
    defs, home = configured(json.loads(sys.argv[1]))
    home.mkdir(exist_ok=True)
    with rare_garbage_collection():
        from engine.config.project import Project
        from engine.extract.run import extract

        for result in extract(Project.load(defs, home), "crm", "race"):
            if result.status != "done":
                sys.exit(result.error)


if __name__ == "__main__":
    main()
