"""Who looks after a customer: account manager and account executive, by the owners of its records."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from transforms.first import first

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
    staff = _staff(owners)
    held = _held(accounts, staff, roles).union(_held(deals, staff, roles))
    managers = _best(held, _manager_rank(held), MANAGER)
    executives = _best(held, _executive_rank(held), EXECUTIVE)
    customers = held.select("customer_id").distinct()
    return (
        customers.left_join(managers, "customer_id")
        .left_join(executives, "customer_id")
        .select("customer_id", MANAGER, EXECUTIVE)
    )


def _staff(owners: ir.Table) -> ir.Table:
    """List each owner once; a name or role that one system lacks comes from another, by e-mail."""
    single = first(owners, ["connection", "owner_id"], [owners.stream])
    named = single.select(
        "connection",
        "owner_id",
        "name",
        "role",
        "is_active",
        email=single.email.lower(),
        special=single.role.isin([MANAGER, EXECUTIVE]).ifelse(single.role, ibis.null("string")),
        key=single.connection.concat("/", single.owner_id),
    )
    shared = named.filter(named.email.notnull()).group_by("email")
    known = shared.agg(
        shared_name=lambda row: row.name.argmin(row.key, where=row.name.notnull()),
        shared_role=lambda row: row.special.argmin(row.key, where=row.special.notnull()),
    )
    joined = named.left_join(known, "email")
    return joined.select(
        "connection",
        "owner_id",
        person=ibis.coalesce(joined.name, joined.shared_name),
        staff_role=ibis.coalesce(joined.special, joined.shared_role, joined.role),
        is_there="is_active",
    )


def _held(table: ir.Table, staff: ir.Table, roles: Mapping[str, str]) -> ir.Table:
    """List the accounts or deals with their owners: what it is, since when, and by whom."""
    is_deal = "deal_id" in table.columns
    place = ibis.cases(
        *((table.connection == name, _PLACES.get(role, 2)) for name, role in roles.items()), else_=2
    ).cast("int64")
    held = table.select(
        "customer_id",
        "connection",
        "owner_id",
        place=place,
        what=table.status if is_deal else ibis.literal("account"),
        on=table.close_on if is_deal else ibis.null("date"),
        key=table.deal_id if is_deal else table.account_id,
    )
    owned = held.join(staff, ["connection", "owner_id"])
    return owned.filter(owned.person.notnull())


def _manager_rank(held: ir.Table) -> ir.IntegerValue:
    is_account = held.what == "account"
    is_manager = ibis.coalesce(held.staff_role == MANAGER, False)
    return ibis.cases(
        (is_manager & is_account, 0),
        (is_manager, 1),
        (is_account & held.staff_role.isnull() & (held.place < _PLACES["helpdesk"]), 2),
        else_=ibis.null("int64"),
    )


def _executive_rank(held: ir.Table) -> ir.IntegerValue:
    is_executive = ibis.coalesce(held.staff_role == EXECUTIVE, False)
    return ibis.cases(
        ((held.what == "won") & ibis.coalesce(held.staff_role != MANAGER, True), 0),
        (is_executive & (held.what == "account"), 1),
        (is_executive & (held.what == "open"), 2),
        else_=ibis.null("int64"),
    )


def _best(held: ir.Table, rank: ir.IntegerValue, name: str) -> ir.Table:
    fit = held.mutate(_rank=rank).filter(lambda row: row._rank.notnull())
    earliest = ibis.asc(fit.on, nulls_first=False)
    order = [ibis.desc(fit.is_there), fit._rank, fit.place, earliest, fit.connection, fit.key, fit.person]
    return first(fit, "customer_id", order).select("customer_id", **{name: "person"})
