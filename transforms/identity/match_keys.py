"""What accounts are matched by: every value made comparable once, empty where it proves nothing."""

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import once, plain
from transforms.conform.normalise import company, company_domain, domain, phone, postcode, tax_country, tax_number
from transforms.identity.domains import with_registered
from transforms.identity.tax_number_forms import canonical
from transforms.identity.tax_numbers import CHECKS, has_check_digits, is_mistyped

MOST_PER_CONNECTION = 20  # accounts of one system that one company may well have; beyond, a person looks first
_READ = ("connection", "account_id", "country", "tax_id", "phone", "name", "postal_code", "city", "street")


def node(connection: ir.StringValue, account_id: ir.StringValue) -> ir.StringValue:
    """Name an account across connections."""
    return connection.concat("/", account_id)


def match_keys(accounts: ir.Table) -> ir.Table:
    """Give each account its keys: node, connection, account_id, country, tax, tax_country, is_proven, phone, name, postal_code,
    city, street, site, is_host, comparable_tax.

    `site` is the registered domain of the web site, else of the e-mail address; domains of mail providers are no site.
    `is_host` marks a site that more than `MOST_PER_CONNECTION` accounts of one connection share. `tax` is empty where the
    check digits are wrong. `comparable_tax` is empty, too, where another form of number may exist beside it (a German
    Steuernummer beside a VAT number): two such numbers do not prove two companies.
    """
    hosts = accounts.mutate(
        _site=company_domain(domain(accounts.domain)).nullif(""),
        _mail=company_domain(domain(accounts.email)).nullif(""),
    )
    with_site = hosts.mutate(_site=ibis.coalesce(hosts._site, hosts._mail)).select(*_READ, "_site")
    registered = _with_hosts(with_registered(with_site, "_site"))
    keys = once(
        registered,
        node=node(registered.connection, registered.account_id),
        tax=tax_number(registered.tax_id),
        tax_country=tax_country(registered.tax_id, registered.country),
        phone=phone(registered.phone, registered.country),
        name=company(registered.name),
        postal_code=postcode(registered.postal_code),
        city=plain(registered.city),
        street=plain(registered.street),
    )
    keys = once(keys, tax=canonical(keys.tax, keys.tax_country))
    checked = once(
        keys,
        _mistyped=is_mistyped(keys.tax, keys.tax_country),
        _has_check=has_check_digits(keys.tax, keys.tax_country),
    )
    tax = ibis.coalesce(checked._mistyped.ifelse("", checked.tax), "")
    has_other_forms = ibis.coalesce(checked.tax_country.isin([*CHECKS]), False)
    filled = {name: ibis.coalesce(checked[name], "") for name in ("phone", "name", "postal_code", "city", "street")}
    return checked.select(
        "node",
        "connection",
        "account_id",
        "country",
        "tax_country",
        "is_host",
        tax=tax,
        comparable_tax=(checked._has_check | ~has_other_forms).ifelse(tax, ""),
        is_proven=checked._has_check & ~checked._mistyped,
        site=ibis.coalesce(checked._site, ""),
        **filled,
    )


def _with_hosts(accounts: ir.Table) -> ir.Table:
    """Mark the sites that very many accounts of one connection share: a provider or an association hosts them."""
    counted = accounts.mutate(_shared=accounts.count().over(group_by=["_site", "connection"]))
    most = counted._shared.max().over(group_by="_site")
    return counted.mutate(is_host=ibis.coalesce(most > MOST_PER_CONNECTION, False)).drop("_shared")
