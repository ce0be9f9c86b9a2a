"""What accounts are matched by: every value made comparable once, empty where it proves nothing."""

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import once, plain
from transforms.conform.normalise import company, company_domain, domain, phone, postcode, tax_country, tax_number
from transforms.identity.domains import with_registered
from transforms.identity.tax_numbers import has_check_digits, is_mistyped

MOST_PER_CONNECTION = 5
_READ = ("connection", "account_id", "country", "tax_id", "phone", "name", "postal_code", "city", "street")


def node(connection: ir.StringValue, account_id: ir.StringValue) -> ir.StringValue:
    """Name an account across connections."""
    return connection.concat("/", account_id)


def match_keys(accounts: ir.Table) -> ir.Table:
    """Give each account its keys: node, connection, account_id, country, tax, tax_country, is_proven, phone, name, postal_code,
    city, street, site.

    `site` is the registered domain of the web site, else of the e-mail address. Domains of mail providers are no
    site, nor are those that more than `MOST_PER_CONNECTION` accounts of one connection share. A tax number with wrong
    check digits is none.
    """
    hosts = accounts.mutate(
        _site=company_domain(domain(accounts.domain)).nullif(""),
        _mail=company_domain(domain(accounts.email)).nullif(""),
    )
    held = hosts.mutate(_site=ibis.coalesce(hosts._site, hosts._mail)).select(*_READ, "_site")
    registered = _not_shared(with_registered(held, "_site"))
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
    mistyped = is_mistyped(keys.tax, keys.tax_country)
    filled = {name: ibis.coalesce(keys[name], "") for name in ("phone", "name", "postal_code", "city", "street")}
    return keys.select(
        "node",
        "connection",
        "account_id",
        "country",
        "tax_country",
        tax=ibis.coalesce(mistyped.ifelse("", keys.tax), ""),
        is_proven=has_check_digits(keys.tax, keys.tax_country) & ~mistyped,  # short: SQL grows with each use of a key
        site=ibis.coalesce(keys._site, ""),
        **filled,
    )


def _not_shared(held: ir.Table) -> ir.Table:
    """Take the site from accounts that share it with too many: that is somebody who hosts them."""
    here = held.count().over(group_by=["_site", "connection"])
    counted = held.mutate(_here=here)
    most = counted.mutate(_most=counted._here.max().over(group_by="_site"))
    return most.mutate(_site=(most._most > MOST_PER_CONNECTION).ifelse(ibis.null("string"), most._site)).select(
        held.columns
    )
