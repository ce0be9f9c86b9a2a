"""Ours through Dagster: the same extract stage as an asset, in this process, on an ephemeral instance."""

import json
import os
import sys

import dagster as dg
from ours import configured

from orchestration.assets.extract import connection_assets


def main() -> None:
    """Materialise the connection's asset."""
    defs, home = configured(json.loads(sys.argv[1]))
    os.environ |= {"BELVEDERE_DEFS": str(defs), "BELVEDERE_HOME": str(home)}
    with dg.DagsterInstance.ephemeral() as instance:
        assets = list(connection_assets("crm").assets or ())
        sys.exit(not dg.materialize(assets, instance=instance).success)


if __name__ == "__main__":
    main()
