"""One planned change of one field of one record at a target."""

from schemas.base import Table, one_of, optional, required


class Plan(Table):
    """One planned change of one field of one record at a target."""

    delivery: str = required("Delivery that plans it")
    connection: str = required("Target connection")
    stream: str = required("Target stream")
    record_id: str = optional("Record at the target; null when it is to be created")
    customer_id: str = required("Customer it is about")
    key: str = optional("What names a record that is to be there once")
    field: str = required("Field at the target; * for the record as a whole")
    action: str = required(
        "update, create or delete; or listed and not written: conflict (what is held stays), ask (a person decides) "
        "and review (a person must look first)",
        **one_of("update", "create", "delete", "conflict", "ask", "review"),
    )
    before: str = optional("Value held now, as JSON")
    after: str = optional("Value wanted, as JSON")
    policy: str = optional("How the field may be written: overwrite, fill_empty or owner")
    owner: str = optional("Connection or role that the field belongs to")
    reason: str = required("Why")
    version: str = optional("Version of the record when it was compared")
