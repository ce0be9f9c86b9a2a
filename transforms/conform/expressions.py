"""Expressions that many tables use: comparable text, the first row of a group, columns computed once."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

_ACCENTS = {
    "a": "àáâãäåāăą",
    "c": "çćč",
    "d": "ďđ",
    "e": "èéêëēėęě",
    "g": "ğ",
    "i": "ìíîïīįı",
    "k": "ķ",
    "l": "ľļł",
    "n": "ñńňņ",
    "o": "òóôõöøōő",
    "r": "ŕř",
    "s": "śšşș",
    "t": "ťţț",
    "u": "ùúûüūůűų",
    "y": "ýÿ",
    "z": "žźż",
    "\u03c3": "\u03c2",  # sigma: one engine writes the form for the end of a word, another does not
}
_ACCENTED = "".join(_ACCENTS.values())
_BARE = "".join(letter * len(accented) for letter, accented in _ACCENTS.items())


def plain(text: ir.StringValue) -> ir.StringValue:
    """Keep letters and digits only, in lower case without accents, words parted by one blank."""
    lower = text.lower()
    bare = lower.translate(_ACCENTED, _BARE).replace("ß", "ss").replace("æ", "ae").replace("œ", "oe")
    # Most text is plain already, and translating is the dearest step.
    letters = lower.re_search(r"[^\x00-\x7f]").ifelse(bare, lower)
    joined = letters.re_replace("[.'\u2019\u0300-\u036f]+", "")
    return joined.re_replace(r"[^\p{L}\p{N}]+", " ").strip()


def as_text(value: str) -> ir.StringScalar:
    """Make a text of the engine, which a column can be added to."""
    return ibis.literal(value, "string")


def first(table: ir.Table, group: str | Sequence[str], order: Sequence[ir.Value]) -> ir.Table:
    """Keep the first row of each group in an order that leaves no ties."""
    number = ibis.row_number().over(group_by=group, order_by=order)
    return table.mutate(_number=number).filter(lambda row: row._number == 0).drop("_number")


def once(table: ir.Table, **columns: ir.Value) -> ir.Table:
    """Add or replace columns so that later uses read them and do not compute them again.

    Ibis fuses selects, and engines compute an expression anew in each branch of a CASE: a key built of
    ten regular expressions costs tenfold. An unnest is a wall to both.
    """
    walled = table.mutate(_once=ibis.array([ibis.struct(columns)]).unnest())
    other_columns = [name for name in table.columns if name not in columns]
    return walled.select(*other_columns, **{name: walled._once[name] for name in columns})
