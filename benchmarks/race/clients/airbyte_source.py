"""A declarative source on airbyte-cdk, incremental as a nightly sync is, run by the CDK's own command, to stdout."""

import json
import sys
from pathlib import Path
from typing import Any

from airbyte_cdk.cli.source_declarative_manifest import run

STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"


def manifest(task: dict[str, Any]) -> dict[str, Any]:
    """Declare the source."""
    token = {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "after"}
    retriever = {
        "type": "SimpleRetriever",
        "requester": {
            "type": "HttpRequester",
            "url_base": task["url"],
            "path": "/crm/v3/objects/companies",
            "http_method": "GET",
            "authenticator": {"type": "BearerAuthenticator", "api_token": task["token"]},
            "request_parameters": {"limit": str(task["page"]), "properties": ",".join(task["properties"])},
        },
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["results"]},
        },
        "paginator": {
            "type": "DefaultPaginator",
            "page_token_option": token,
            "pagination_strategy": {
                "type": "CursorPagination",
                "cursor_value": "{{ response.get('paging', {}).get('next', {}).get('after') }}",
                "stop_condition": "{{ not response.get('paging') }}",
            },
        },
    }
    schema = {"type": "InlineSchemaLoader", "schema": _schema(task["properties"])}
    cursor = {
        "type": "DatetimeBasedCursor",
        "cursor_field": "updatedAt",
        "datetime_format": STAMP,
        "cursor_datetime_formats": [STAMP],
        "start_datetime": "2015-01-01T00:00:00.000000Z",
    }
    stream = {"type": "DeclarativeStream", "name": "accounts", "primary_key": ["id"], "incremental_sync": cursor}
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["accounts"]},
        "streams": [stream | {"retriever": retriever, "schema_loader": schema}],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }


def _schema(properties: list[str]) -> dict[str, Any]:
    text = {"type": ["null", "string"]}
    held = {"type": "object", "properties": dict.fromkeys(properties, text)}
    columns = dict.fromkeys(("id", "createdAt", "updatedAt"), text) | {"archived": {"type": "boolean"}}
    return {"type": "object", "properties": columns | {"properties": held}}


def main() -> None:
    """Write what the command asks for as files, and run it."""
    task = json.loads(sys.argv[1])
    out = Path(task["out"])
    described = {"name": "accounts", "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]}
    stream = {"stream": described, "sync_mode": "incremental", "destination_sync_mode": "append"}
    files = {"config": {}, "catalog": {"streams": [stream]}, "manifest-path": manifest(task)}
    if "state" in task:
        files["state"] = [task["state"]]
    arguments = ["read"]
    for name, content in files.items():
        path = out / f"{name}.yaml" if name == "manifest-path" else out / f"{name}.json"
        path.write_text(json.dumps(content))
        arguments += [f"--{name}", str(path)]
    sys.argv[1:] = arguments
    run()


if __name__ == "__main__":
    main()
