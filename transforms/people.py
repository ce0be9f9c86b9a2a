"""Who looks after a customer: account manager and account executive, by the owners of its records."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from transforms.first import first

_MANAGER = "account_manager"
_EXECUTIVE = "account_executive"
_PLACES = {"crm": 0, "erp": 1, "other": 2, "helpdesk": 3}


def people(accounts: ir.Table, deals: ir.Table, owners: ir.Table, roles: Mapping[str, str]) -> ir.Table:
    """Name each customer's account manager and account executive (both tables with `customer_id`).

    Manager: who owns an account as account manager; else a deal as account manager; else who owns an
    account and has no role at all, outside the helpdesk. Executive: who won the first deal, unless as
    account manager; else who owns an account as account executive; else an open deal. Who is still
    there goes first, then CRM, ERP, others, helpdesk.
    """
    staff = _staff(owners)
    by_account = _owned(accounts, staff, roles, ibis.null("date"), ibis.literal("account"), accounts.account_id)
    by_deal = _owned(deals, staff, roles, deals.close_on, deals.status, deals.deal_id)
    held = by_account.union(by_deal)
    return _best(held, _manager_rank(held), "account_manager").outer_join(
        _best(held, _executive_rank(held), "account_executive"), "customer_id"
    ).select(
        customer_id=lambda row: ibis.coalesce(row.customer_id, row.customer_id_right),
        account_manager=lambda row: row.account_manager,
        account_executive=lambda row: row.account_executive,
    )


def _staff(owners: ir.Table) -> ir.Table:
    """List the owners once each; a name or role that one system lacks comes from another, by e-mail."""
    single = first(owners, ["connection", "owner_id"], [owners.stream])
    named = single.mutate(
        _email=single.email.lower(), role=single.role.isin([_MANAGER, _EXECUTIVE]).ifelse(single.role, None)
    )
    place = ibis.row_number().over(order_by=[named.connection, named.owner_id])
    placed = named.mutate(_place=place)
    known = placed.filter(placed._email.notnull())
    shared = known.group_by("_email").agg(
        _name=known.name.argmin(known._place, where=known.name.notnull()),
        _role=known.role.argmin(known._place, where=known.role.notnull()),
    )
    joined = named.left_join(shared, "_email")
    return joined.select(
        staff_connection="connection",
        staff_id="owner_id",
        person=ibis.coalesce(joined.name, joined._name),
        role=ibis.coalesce(joined.role, joined._role, ibis.ifelse(joined.is_other, "other", None))
        if "is_other" in joined.columns
        else ibis.coalesce(joined.role, joined._role),
        is_there="is_active",
    )
