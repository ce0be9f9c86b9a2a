"""Text made comparable: lower case, without accents and punctuation."""

import ibis.expr.types as ir

_ACCENTED = "àáâãäåāăąçćčďđèéêëēėęěğìíîïīįıķľļłñńňņòóôõöøōőŕřśšşșťţțùúûüūůűųýÿžźż"
_BARE = "aaaaaaaaacccddeeeeeeeegiiiiiiiklllnnnnoooooooorrssssttt" + "uuuuuuuuyyzzz"


def plain(text: ir.StringValue) -> ir.StringValue:
    """Keep letters and digits only, in lower case without accents, words parted by one blank."""
    bare = text.lower().translate(_ACCENTED, _BARE).replace("ß", "ss").replace("æ", "ae").replace("œ", "oe")
    joined = bare.replace(".", "").replace("'", "").replace("’", "")
    return joined.re_replace(r"[^\p{L}\p{N}]+", " ").strip()
