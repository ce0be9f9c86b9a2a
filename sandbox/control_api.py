"""The control plane: what a test or a person may ask of the sandbox itself, below `/_sandbox`."""

from collections.abc import Callable
from typing import Any

from sandbox.core.clock import iso
from sandbox.core.response import Request, Response
from sandbox.odoo.activity import OdooError
from sandbox.user_activity import DEEDS


class Control:
    """Answer for the sandbox itself."""

    def __init__(self, sandbox: Any) -> None:  # a `Sandbox`; naming its class here would be a circle of imports
        self.sandbox = sandbox

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        name = request.path.strip("/")
        handler = getattr(self, f"_{request.method.lower()}_{name}", None)
        if handler is None and request.method == "POST" and name in DEEDS:
            handler = self._deed(name)
        if handler is None:
            return Response(404, {"error": "no such control"})
        try:
            return Response(payload=handler(request.body or {}))
        except (LookupError, OdooError, TypeError, ValueError) as error:
            return Response(400, {"error": f"{type(error).__name__}: {error}"})

    def _deed(self, name: str) -> Callable[[Any], Any]:
        """Do what people do; `id` answers which record was created."""
        return lambda body: {"id": getattr(self.sandbox, name)(**body)}

    def _get_clock(self, _: Any) -> Any:
        return {"now": iso(self.sandbox.clock.now())}

    def _post_clock(self, body: dict[str, Any]) -> Any:
        return {"now": iso(self.sandbox.clock.advance(float(body["advance_seconds"])))}

    def _get_writes(self, _: Any) -> Any:
        return self.sandbox.writes

    def _get_edits(self, _: Any) -> Any:
        return self.sandbox.edits

    def _get_plain(self, _: Any) -> Any:
        return vars(self.sandbox.plain.traits)

    def _post_plain(self, body: dict[str, Any]) -> Any:
        self.sandbox.plain.set(**body)
        return self._get_plain({})

    def _get_truth(self, _: Any) -> Any:
        return {"customers": self.sandbox.truth, "dirty": self.sandbox.dirty}

    def _get_requests(self, _: Any) -> Any:
        return [
            {"method": method, "path": path, "count": count}
            for (method, path), count in sorted(self.sandbox.requests.items())
        ]

    def _delete_requests(self, _: Any) -> Any:
        self.sandbox.requests.clear()
        return {}

    def _delete_tokens(self, _: Any) -> Any:
        self.sandbox.zendesk.tokens.revoke()
        return {}

    def _post_faults(self, body: dict[str, Any]) -> Any:
        self.sandbox.faults.add(**body)
        return self._get_faults({})

    def _get_faults(self, _: Any) -> Any:
        return [
            {name: value for name, value in vars(fault).items() if name != "random"}
            for fault in self.sandbox.faults.active
        ]

    def _delete_faults(self, _: Any) -> Any:
        self.sandbox.faults.clear()
        return {}

    def _post_changes(self, _: Any) -> Any:
        return self.sandbox.changes()
