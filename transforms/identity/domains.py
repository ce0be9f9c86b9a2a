"""Registered domains: what somebody registered below a public suffix, by the list that tldextract brings along."""

from collections.abc import Iterable
from functools import cache

import ibis
import ibis.expr.types as ir
import pyarrow as pa

_LABELS = 4  # suffixes of more labels belong to hosters of machines, not of companies


def with_registered(table: ir.Table, column: str) -> ir.Table:
    """Replace hosts by their registered domains ("shop.acme.co.uk" by "acme.co.uk").

    A host that is a public suffix itself, or has no dot, becomes null. Suffixes under which hosters sell places
    ("github.io", "myshopify.com") are public, too: their customers are not one company.
    """
    hosts = table.select(_host=table[column]).filter(lambda row: row._host.contains(".")).distinct()
    labels = hosts.mutate(_labels=hosts._host.split("."))
    suffixes = ibis.memtable(pa.table({"_suffix": list(_suffixes())}))
    public_suffixes = _candidates(labels).semi_join(suffixes, "_suffix")
    longest = public_suffixes.group_by("_host").agg(_length=public_suffixes._length.max())
    with_length = labels.left_join(longest, "_host")
    length = ibis.coalesce(with_length._length, 1)
    total = with_length._labels.length()
    named = with_length.select(
        "_host",
        _registered=(total > length).ifelse(with_length._labels[total - length - 1 :].join("."), ibis.null("string")),
    )
    joined = table.left_join(named, [(column, "_host")])
    return joined.select(*(name for name in table.columns if name != column), **{column: joined._registered})


def _candidates(labels: ir.Table) -> ir.Table:
    """List the endings of each host as they might stand in the list (_host, _length, _suffix)."""
    each = labels.mutate(_length=ibis.array([*range(1, _LABELS + 1)]).unnest())
    fitting = each.filter(each._labels.length() >= each._length)
    total, length = fitting._labels.length(), fitting._length
    exact = fitting._labels[total - length :].join(".")
    wild = ibis.literal("*.").concat(fitting._labels[total - length + 1 :].join("."))
    return fitting.select("_host", _length=length.cast("int64"), _suffix=ibis.array([exact, wild]).unnest())


@cache
def _suffixes() -> Iterable[str]:
    """Read the list; the few exceptions from its wildcards are left out."""
    from tldextract import TLDExtract

    bundled = TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)
    return tuple(sorted({suffix for suffix in bundled.tlds if not suffix.startswith("!")}))
