"""One field of one record whose value in the target differs from the wanted one, where no policy allows the write."""

from schemas.base import Instant, Table, optional, required


class Conflicts(Table):
    """One field of one record whose value in the target differs from the wanted one, where no policy allows the write."""

    conflict_id: str = required("Id of the conflict, for `belvedere conflicts decide`")
    delivery: str = required("Delivery that found the conflict")
    connection: str = required("Target connection")
    stream: str = required("Target stream")
    record_id: str = required("Record at the target")
    customer_id: str = required("Customer of the record")
    field: str = required("Field at the target")
    held: str = optional("Value in the target, as JSON")
    wanted: str = optional("Value wanted, as JSON")
    policy: str = optional("Write policy of the field")
    owner: str = optional("Connection or role that the field belongs to")
    is_open: bool = required("True when a person has to decide; false when the target's value stays by the settings")
    reason: str = required("Why the value is not written")
    planned_at: Instant = required("When a plan last found it, UTC")

    class Config(Table.Config):
        unique = ["conflict_id"]
