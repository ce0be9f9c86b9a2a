"""Text made comparable: lower case, without accents and punctuation."""

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
