"""One planned change of one field of one record at a target."""

from schemas.base import Table, one_of, optional, required


class Plan(Table):
    """One planned change of one field of one record at a target."""

    delivery: str = required("Delivery that plans it")
    connection: str = required("Target connection")
    stream: str = required("Target stream")
    record_id: str = optional("Record at the target; null when it is to be created")
    customer_id: str = required("Customer of the record")
    key: str = optional("Key that identifies a record to be created once")
    field: str = required("Field at the target; * for the record as a whole")
    action: str = required(
        "update, create or delete; or listed and not written: conflict (the target's value stays), ask (a person decides) "
        "and review (a person has to check first)",
        **one_of("update", "create", "delete", "conflict", "ask", "review"),
    )
    before: str = optional("Value in the target, as JSON")
    after: str = optional("Value wanted, as JSON")
    policy: str = optional("Write policy of the field: overwrite, fill_empty or owner")
    owner: str = optional("Connection or role that the field belongs to")
    reason: str = required("Why the change is planned, or not written")
    version: str = optional("Version of the record when it was compared")
