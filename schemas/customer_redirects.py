"""A customer id that was merged into another."""

from schemas.base import Table, required


class CustomerRedirects(Table):
    """A customer id that was merged into another: who holds on to it finds its customer here."""

    customer_id: str = required("The id that stands for no customer now")
    redirected_to: str = required("The customer that it lives on in")

    class Config(Table.Config):
        unique = ["customer_id"]
