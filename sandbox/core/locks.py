"""How each system says that somebody else is at work on a record: nothing was written."""

from sandbox.core.response import Request, Response

POSTGRES = {
    "serialize": ("SerializationFailure", "could not serialize access due to concurrent update"),
    "deadlock": ("DeadlockDetected", "deadlock detected"),
    "nowait": ("LockNotAvailable", "could not obtain lock on row in relation"),
}


def locked(system: str, request: Request, lock: str) -> Response:
    """Turn a request away as its system does."""
    if system == "odoo":
        number = request.body.get("id") if isinstance(request.body, dict) else None
        name, message = POSTGRES[lock]
        data = {
            "name": f"psycopg2.errors.{name}",
            "message": message,
            "arguments": [message],
            "debug": "...",
            "context": {},
        }
        error = {"code": 200, "message": "Odoo Server Error", "data": data}
        return Response(payload={"jsonrpc": "2.0", "id": number, "error": error})
    if system == "zendesk":
        return Response(409, {"error": "Conflict", "description": "The record is being changed by someone else"})
    return Response(423, {"status": "error", "message": "The record is locked. Try again later.", "category": "LOCKED"})
