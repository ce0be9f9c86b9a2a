"""dlt's rest_api source, declared as its documentation shows, to Parquet."""

import json
import sys

import dlt
from dlt.destinations import filesystem
from dlt.sources.rest_api import rest_api_source


def main() -> None:
    """Run the pipeline."""
    task = json.loads(sys.argv[1])
    endpoint = {
        "path": "crm/v3/objects/companies",
        "params": {"limit": task["page"], "properties": ",".join(task["properties"])},
        "data_selector": "results",
        "paginator": {"type": "cursor", "cursor_path": "paging.next.after", "cursor_param": "after"},
    }
    source = rest_api_source(
        {
            "client": {"base_url": task["url"], "auth": {"type": "bearer", "token": task["token"]}},
            "resources": [{"name": "accounts", "primary_key": "id", "endpoint": endpoint}],
        }
    )
    out = task["out"]
    target = filesystem(bucket_url=f"file://{out}/files")
    pipeline = dlt.pipeline("rest", destination=target, dataset_name="race", pipelines_dir=f"{out}/pipelines")
    pipeline.run(source, loader_file_format="parquet")


if __name__ == "__main__":
    main()
