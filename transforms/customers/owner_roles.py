"""Who looks after a customer: account manager and account executive, by the owners of its records."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import as_text, first

MANAGER = "account_manager"
EXECUTIVE = "account_executive"
_PLACES = {"crm": 0, "erp": 1, "other": 2, "helpdesk": 3}


def people(accounts: ir.Table, deals: ir.Table, owners: ir.Table, roles: Mapping[str, str]) -> ir.Table:
    """Name each customer's account manager and account executive (both tables with `customer_id`).

    Manager: who owns an account as account manager; else a deal as account manager; else who owns an
    account and has no role at all, outside the helpdesk. Executive: who won the first deal, unless as
    account manager; else who owns an account as account executive; else an open deal. Who has left comes
    last; after that CRM, ERP, others, helpdesk.
    """
    role_holders = holders(accounts, deals, owners, roles)
    named = role_holders.group_by("customer_id")
    return named.agg(**{role: role_holders.owner.max(where=role_holders.role == role) for role in (MANAGER, EXECUTIVE)})


def holders(accounts: ir.Table, deals: ir.Table, owners: ir.Table, roles: Mapping[str, str]) -> ir.Table:
    """List who looks after each customer, a row a role, with the person's e-mail and ids in all systems."""
    people_of_owners = staff(owners)
    owned = _owned_records(accounts, people_of_owners, roles).union(_owned_records(deals, people_of_owners, roles))
    best = _best_holder(owned, _manager_rank(owned), MANAGER).union(
        _best_holder(owned, _executive_rank(owned), EXECUTIVE)
    )
    joined = best.left_join(_contact_details(people_of_owners), "owner_key")
    return joined.select("customer_id", "role", "owner_key", "owner", "owner_email", "owner_ids", "owner_region")


def staff(owners: ir.Table) -> ir.Table:
    """List each owner once; a name or role that one system lacks comes from another, by e-mail."""
    single = first(owners, ["connection", "owner_id"], [owners.stream])
    named = single.select(
        "connection",
        "owner_id",
        "name",
        "role",
        "region",
        "is_active",
        email=single.email.lower().nullif(""),
        special=single.role.isin([MANAGER, EXECUTIVE]).ifelse(single.role, ibis.null("string")),
        key=single.connection.concat("/", single.owner_id),
    )
    shared = named.filter(named.email.notnull()).group_by("email")
    by_email = shared.agg(
        shared_name=lambda row: row.name.argmin(row.key, where=row.name.notnull()),
        shared_role=lambda row: row.special.argmin(row.key, where=row.special.notnull()),
    )
    joined = named.left_join(by_email, "email")
    return joined.select(
        "connection",
        "owner_id",
        "email",
        "region",
        owner_key=ibis.coalesce(joined.email, joined.key),
        person=ibis.coalesce(joined.name, joined.shared_name),
        staff_role=ibis.coalesce(joined.special, joined.shared_role, joined.role),
        is_there="is_active",
    )


def _owned_records(table: ir.Table, people: ir.Table, roles: Mapping[str, str]) -> ir.Table:
    """List the accounts or deals with their owners: what it is, since when, and by whom.

    They are joined by one key: if the connection were a key of its own, an engine that reorders joins could pair each
    account of a connection with each of its owners first.
    """
    is_deal = "deal_id" in table.columns
    system_rank = ibis.cases(
        *((table.connection == name, _PLACES.get(role, 2)) for name, role in roles.items()), else_=2
    ).cast("int64")
    records = table.select(
        "customer_id",
        "connection",
        "owner_id",
        place=system_rank,
        what=table.status if is_deal else ibis.literal("account"),
        on=table.close_on if is_deal else ibis.null("date"),
        key=table.deal_id if is_deal else table.account_id,
    )
    owners = people.filter(people.person.notnull()).select(
        "owner_key", "person", "staff_role", "is_there", held_by=_owner(people)
    )
    return records.mutate(held_by=_owner(records)).join(owners, "held_by").drop("owner_id", "held_by")


def _owner(table: ir.Table) -> ir.StringValue:
    return table.connection.concat("/", table.owner_id)


def _manager_rank(owned: ir.Table) -> ir.IntegerValue:
    is_account = owned.what == "account"
    is_manager = ibis.coalesce(owned.staff_role == MANAGER, False)
    return ibis.cases(
        (is_manager & is_account, 0),
        (is_manager, 1),
        (is_account & owned.staff_role.isnull() & (owned.place < _PLACES["helpdesk"]), 2),
        else_=ibis.null("int64"),
    )


def _executive_rank(owned: ir.Table) -> ir.IntegerValue:
    is_executive = ibis.coalesce(owned.staff_role == EXECUTIVE, False)
    return ibis.cases(
        ((owned.what == "won") & ibis.coalesce(owned.staff_role != MANAGER, True), 0),
        (is_executive & (owned.what == "account"), 1),
        (is_executive & (owned.what == "open"), 2),
        else_=ibis.null("int64"),
    )


def _best_holder(owned: ir.Table, rank: ir.IntegerValue, role: str) -> ir.Table:
    fit = owned.mutate(_rank=rank).filter(lambda row: row._rank.notnull())
    earliest = ibis.asc(fit.on, nulls_first=False)
    order = [ibis.desc(fit.is_there), fit._rank, fit.place, earliest, fit.connection, fit.key, fit.person]
    best = first(fit, "customer_id", order)
    return best.select("customer_id", "owner_key", owner="person", role=ibis.literal(role))


def _contact_details(people: ir.Table) -> ir.Table:
    """Tell each person's e-mail, region and ids, one id a connection: {"hubspot":"7","odoo":"3"}."""
    single = first(people, ["owner_key", "connection"], [ibis.desc(people.is_there), people.owner_id])
    number = single.owner_id.replace("\\", "\\\\").replace('"', '\\"')
    pair = as_text('"') + single.connection + '":"' + number + '"'
    listed = (
        single.mutate(pair=pair)
        .group_by("owner_key")
        .agg(
            owner_email=lambda row: row.email.max(),
            owner_region=lambda row: row.region.argmin(row.connection, where=row.region.notnull()),
            pairs=lambda row: row.pair.group_concat(",", order_by=row.connection),
        )
    )
    return listed.select("owner_key", "owner_email", "owner_region", owner_ids=as_text("{") + listed.pairs + "}")
