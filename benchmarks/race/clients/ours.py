"""Ours: the extract beat into lake and ledger, the unchanged HubSpot connector, without Dagster."""

import json
import sys
from pathlib import Path

import yaml

from orchestration.extract import extract
from orchestration.project import Project


def configured(task: dict[str, str]) -> tuple[Path, Path]:
    """Write the one connection's folder below the task's; gives the folders of definitions and of data."""
    out = Path(task["out"])
    settings = {"base_url": task["url"], "token": task["token"], "requests_per_10_seconds": 10**9}
    attributes = {"connector": "hubspot", "streams": ["accounts"], "settings": settings | {"searches_per_second": 1e6}}
    file = out / "defs" / "hubspot" / "defs.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"type": "orchestration.components.Connection", "attributes": attributes}))
    return out / "defs", out / "home"


def main() -> None:
    """Read what is new."""
    defs, home = configured(json.loads(sys.argv[1]))
    home.mkdir(exist_ok=True)
    for result in extract(Project.load(defs, home), "hubspot", "race"):
        if result.status != "done":
            sys.exit(result.error)


if __name__ == "__main__":
    main()
