"""What the plain system holds of the world: a row for each customer, which nobody has linked to another system yet."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sandbox.core.clock import iso
from sandbox.world.company import Customer

COLLECTIONS = ("customers", "contacts", "tasks")
Row = dict[str, Any]
Rows = dict[str, dict[str, Row]]


def fill(customers: Iterable[Customer], today: date) -> Rows:
    """Put the world into collections, by id."""
    rows: Rows = {kind: {} for kind in COLLECTIONS}
    written = iso(datetime.combine(today, time(), UTC) - timedelta(days=30))
    for customer in customers:
        number = f"C{customer.number:05d}"
        rows["customers"][number] = {
            "id": number,
            "external_ref": None,
            "name": customer.name,
            "vat": customer.vat,
            "phone": customer.phone,
            "email": f"office@{customer.domain}",
            "website": f"https://{customer.domain}",
            "street": customer.street,
            "zip": customer.zip,
            "city": customer.city,
            "country": customer.country,
            "credit_limit": None,
            "version": 1,
            "created_at": written,
            "updated_at": written,
        }
    return rows
