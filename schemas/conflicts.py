"""One field of one record where a target holds something else than is wanted, and no policy lets us write."""

from schemas.base import Instant, Table, optional, required


class Conflicts(Table):
    """One field of one record where a target holds something else than is wanted, and no policy lets us write."""

    conflict_id: str = required("What `belvedere conflicts decide` is told")
    delivery: str = required("Delivery that found it")
    connection: str = required("Target connection")
    stream: str = required("Target stream")
    record_id: str = required("Record at the target")
    customer_id: str = required("Customer it is about")
    field: str = required("Field at the target")
    held: str = optional("Value held at the target, as JSON")
    wanted: str = optional("Value wanted, as JSON")
    policy: str = optional("How the field may be written")
    owner: str = optional("Connection or role that the field belongs to")
    is_open: bool = required("True when a person has to decide; false when the target's value stays by the settings")
    reason: str = required("Why it is not written")
    planned_at: Instant = required("When it was last found, UTC")

    class Config(Table.Config):
        unique = ["conflict_id"]
