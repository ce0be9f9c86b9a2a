"""Which account's value survives for each field of a customer, and where it came from."""

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir

FIELDS = (
    "name",
    "tax_id",
    "domain",
    "email",
    "phone",
    "street",
    "postal_code",
    "city",
    "region",
    "country",
    "industry",
    "employees",
)
RULES = ("priority", "newest", "longest", "most_frequent", "sum", "any")
_CRM_FIRST = ("crm", "erp", "helpdesk", "other")
_ERP_FIRST = ("erp", "crm", "helpdesk", "other")
_BY_CRM = ("domain", "email", "region", "industry", "employees")


def survivors(members: ir.Table, survivorship: Mapping[str, Mapping[str, Any]], roles: Mapping[str, str]) -> ir.Table:
    """Give each customer one value for each field, and `provenance`, JSON of {connection, account_id, at}.

    `members` are accounts with their `customer_id`. `survivorship` is {field: {"rule", "order"}}; `order`
    names connections or roles. Without a rule the ERP goes first for names, numbers and addresses, the CRM
    for the rest. Accounts that are not active come after those that are, whatever the rule; equal ones in
    the order of the newest change, then of connection and id. A sum has no single origin: `sum_of`.
    Raises ValueError for an unknown field or rule, and for the sum of a text.
    """
    _refuse_unknown(survivorship)
    ruled = {field: _rule(field, survivorship.get(field, {})) for field in FIELDS}
    counted = members.mutate(
        **{
            f"_same_{field}": members[field].count().over(group_by=["customer_id", field])
            for field in FIELDS
            if ruled[field][0] == "most_frequent"
        }
    )
    ranks = _ranks(ruled)
    ranked = counted.mutate(
        **{name: _rank(counted, field, *ruled[field], roles) for field, name in ranks.items()},
        _origin=_origin(counted),
    )
    picked = ranked.group_by("customer_id").agg(
        **{field: _pick(ranked, field, ranked[field], ranks[field]) for field in FIELDS},
        **{f"_from_{field}": _pick(ranked, field, ranked._origin, ranks[field]) for field in FIELDS},
        **{f"_sum_{field}": ranked[field].sum() for field in FIELDS if ruled[field][0] == "sum"},
        **{f"_of_{field}": ranked[field].count() for field in FIELDS if ruled[field][0] == "sum"},
    )
    origins = ibis.literal("").concat(*(_member(picked, field, ruled[field][0]) for field in FIELDS))
    values = {field: picked[f"_sum_{field}"] if ruled[field][0] == "sum" else picked[field] for field in FIELDS}
    return picked.select("customer_id", **values, provenance=ibis.literal("{").concat(origins.substr(2), "}"))


def _refuse_unknown(survivorship: Mapping[str, Mapping[str, Any]]) -> None:
    for field, setting in survivorship.items():
        rule = setting.get("rule", "priority")
        if field not in FIELDS:
            raise ValueError(f"survivorship: no field {field!r}; choices: {', '.join(FIELDS)}")
        if rule not in RULES:
            raise ValueError(f"survivorship of {field}: no rule {rule!r}; choices: {', '.join(RULES)}")
        if rule == "sum" and field != "employees":
            raise ValueError(f"survivorship of {field}: only employees can be summed up")


def _rule(field: str, setting: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    usual = _CRM_FIRST if field in _BY_CRM else _ERP_FIRST
    return str(setting.get("rule") or "priority"), setting.get("order") or usual


def _ranks(ruled: Mapping[str, tuple[str, Sequence[str]]]) -> dict[str, str]:
    """Name the ranking of each field; fields that are ranked alike share it."""
    alike = {
        field: (rule, *order, *([field] if rule in ("longest", "most_frequent") else []))
        for field, (rule, order) in ruled.items()
    }
    numbers = {ranking: number for number, ranking in enumerate(dict.fromkeys(alike.values()))}
    return {field: f"_rank_{numbers[ranking]}" for field, ranking in alike.items()}


def _rank(members: ir.Table, field: str, rule: str, order: Sequence[str], roles: Mapping[str, str]) -> ir.IntegerValue:
    """Number a customer's accounts from the one whose value should survive on."""
    changed = ibis.coalesce(members.updated_at, members.created_at)
    ties = [ibis.desc(changed, nulls_first=False), members.connection, members.account_id]
    if rule == "longest":
        ties.insert(0, ibis.desc(members[field].cast("string").length(), nulls_first=False))
    elif rule == "most_frequent":
        ties.insert(0, ibis.desc(members[f"_same_{field}"]))
    elif rule == "any":
        ties.pop(0)
    if rule in ("priority", "longest", "most_frequent"):
        ties.insert(0 if rule == "priority" else 1, _position(members.connection, order, roles))
    return ibis.row_number().over(group_by="customer_id", order_by=[ibis.desc(members.is_active), *ties])


def _position(connection: ir.StringValue, order: Sequence[str], roles: Mapping[str, str]) -> ir.IntegerValue:
    """Place a connection by its name, else by its role, else last."""
    places = {name: rank for rank, name in reversed(list(enumerate(order)))}
    ranked = {name: min(places.get(name, len(order)), places.get(role, len(order))) for name, role in roles.items()}
    positions = {**{name: rank for name, rank in places.items() if name not in ranked}, **ranked}
    return ibis.cases(*((connection == name, rank) for name, rank in positions.items()), else_=len(order))


def _pick(ranked: ir.Table, field: str, what: ir.Value, rank: str) -> ir.Value:
    """Take something of the account whose value of a field survives."""
    return what.argmin(ranked[rank], where=ranked[field].notnull())


def _origin(members: ir.Table) -> ir.StringValue:
    """Write which record an account is, as JSON."""
    at = ibis.coalesce(members.updated_at, members.created_at).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ibis.literal('{"connection": ').concat(
        _quoted(members.connection),
        ', "account_id": ',
        _quoted(members.account_id),
        ', "at": ',
        ibis.coalesce(_quoted(at), "null"),
        "}",
    )


def _member(picked: ir.Table, field: str, rule: str) -> ir.StringValue:
    """Write one field's origin as a member of a JSON object; nothing where the field is empty."""
    if rule == "sum":
        count = picked[f"_of_{field}"].cast("string")
        member = ibis.literal(f', "{field}": {{"connection": null, "account_id": null, "at": null, "sum_of": ')
        return (picked[f"_of_{field}"] > 0).ifelse(member.concat(count, "}"), "")
    return picked[field].notnull().ifelse(ibis.literal(f', "{field}": ').concat(picked[f"_from_{field}"]), "")


def _quoted(text: ir.StringValue) -> ir.StringValue:
    escaped = text.re_replace(r"[\x00-\x1f]", " ").replace("\\", "\\\\").replace('"', '\\"')
    return ibis.literal('"').concat(escaped, '"')
