"""One user of a source system, who may own accounts, deals and tickets."""

from schemas.base import EARLIEST, Instant, Table, one_of, optional, required


class Owners(Table):
    """One user of a source system, who may own accounts, deals and tickets."""

    connection: str = required("Connection that the row came from")
    stream: str = required("Stream of that connection")
    owner_id: str = required("The system's own id", str_length={"min_value": 1, "max_value": 200})
    name: str = optional("Full name")
    email: str = optional("E-mail address, by which the same person is known across systems")
    role: str = optional(
        "account_manager, account_executive or other",
        **one_of("account_manager", "account_executive", "other"),
    )
    region: str = optional("Region that the owner works in")
    is_active: bool = required("False when the user has left")
    updated_at: Instant = optional("Last modified at the source, UTC", ge=EARLIEST)

    class Config(Table.Config):
        unique = ["connection", "stream", "owner_id"]
