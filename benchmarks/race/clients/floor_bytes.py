"""Floor 1: read every page's bytes and do nothing with them; the request is prepared once."""

import json
import re
import sys

import requests

AFTER = re.compile(rb'"after":"(\d+)"')


def main() -> None:
    """Read all pages."""
    task = json.loads(sys.argv[1])
    session = requests.Session()
    session.trust_env = False
    headers = {"Authorization": f"Bearer {task['token']}", "Accept": "application/json"}
    first = f"{task['url']}/crm/v3/objects/companies?limit={task['page']}&properties={','.join(task['properties'])}"
    prepared = session.prepare_request(requests.Request("GET", first, headers=headers))
    adapter = session.get_adapter(first)
    after: str | None = ""
    while after is not None:
        prepared.url = f"{first}&after={after}" if after else first
        with adapter.send(prepared, stream=True, timeout=60) as response:
            body = response.raw.read()
        found = AFTER.search(body, max(0, len(body) - 100))
        after = found[1].decode() if found else None


if __name__ == "__main__":
    main()
