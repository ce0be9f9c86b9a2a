"""A customer id that was merged into another."""

from schemas.base import Table, required


class CustomerRedirects(Table):
    """A customer id that was merged into another: systems that still use it find its customer here."""

    customer_id: str = required("The id that is no longer in use")
    redirected_to: str = required("The customer into which it was merged")

    class Config(Table.Config):
        unique = ["customer_id"]
