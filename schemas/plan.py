"""One planned change of one field of one record at a target."""

from schemas.base import Table, one_of, optional, required


class Plan(Table):
    """One planned change of one field of one record at a target."""

    delivery: str = required("Delivery that plans it")
    connection: str = required("Target connection")
    stream: str = required("Target stream")
    record_id: str = optional("Record at the target; null when it is to be created")
    customer_id: str = required("Customer it is about")
    field: str = required("Field at the target")
    action: str = required(
        "update or create, or conflict and review, which are listed and not written",
        **one_of("update", "create", "conflict", "review"),
    )
    before: str = optional("Value held now, as JSON")
    after: str = optional("Value wanted, as JSON")
    reason: str = required("Why")
    version: str = optional("Version of the record when it was compared")
