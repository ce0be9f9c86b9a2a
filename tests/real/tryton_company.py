"""Make a company in an empty Tryton database, and let the REST API in; prints the key. Run with the server stopped."""

import datetime
import sys
from decimal import Decimal

from proteus import Model, config


def main(configuration: str, database: str) -> None:
    config.set_trytond(database=f"sqlite:///{database}", config_file=configuration)
    from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, get_accounts
    from trytond.modules.account_invoice.tests.tools import create_payment_term, set_fiscalyear_invoice_sequences
    from trytond.modules.company.tests.tools import create_company, get_company
    from trytond.modules.currency.tests.tools import get_currency

    create_company(currency=get_currency("EUR"))
    company = get_company()
    year = datetime.date.today().year
    span = (datetime.date(year, 1, 1), datetime.date(year, 12, 31))
    fiscal = set_fiscalyear_invoice_sequences(create_fiscalyear(company, today=span))
    fiscal.click("create_period")
    create_chart(company)
    accounts = get_accounts(company)
    create_payment_term().save()
    user = Model.get("res.user").find([("login", "=", "admin")])[0]
    own = Model.get("company.company")
    user.companies.append(own(company.id))
    user.company = own(company.id)
    user.save()
    _customers(accounts)
    key = Model.get("res.user.application")(user=user, application="rest", state="validated")
    key.save()
    print("KEY", key.key)


def _customers(accounts: dict) -> None:
    Party, Invoice = Model.get("party.party"), Model.get("account.invoice")  # noqa: N806 - models are classes
    for number in range(6):
        party = Party(name=f"Tryton Customer {number}")
        address = party.addresses.new() if not party.addresses else party.addresses[0]
        address.city, address.postal_code, address.street = "Berlin", f"1011{number}", "Allee 1"
        party.contact_mechanisms.new(type="email", value=f"office@tryton{number}.example")
        party.save()
        if number < 4:
            invoice = Invoice(type="out", party=party, invoice_date=datetime.date.today())
            line = invoice.lines.new()
            line.account, line.quantity, line.unit_price = accounts["revenue"], 1, Decimal("1250.00")
            line.description = "Service"
            invoice.save()
            if number < 2:
                invoice.click("post")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
