"""Names, numbers and addresses made comparable between systems; empty text where a value proves nothing.

Each function takes text as a system holds it and gives a key: two accounts with the same key hold the
same thing. Placeholders ("n/a", "0000000") give empty text, so that they never join. Each is one chain of
replacements without a branch, because engines compute an expression anew in each branch.
"""

import ibis
import ibis.expr.types as ir

from transforms.conform.countries import calling_code
from transforms.conform.expressions import plain

_PLACEHOLDERS = (
    "-|n/a|na|n a|none|null|nil|nan|unknown|unbekannt|test|tbd|tba|todo|xxx|xx|"
    "x|company|new company|private|privat|no website|not available|not applicable|dummy|"
    "sample|demo"
)
FREE_MAIL = (
    "gmail.com googlemail.com yahoo.com yahoo.co.uk yahoo.fr yahoo.de ymail.com rocketmail.com "
    "hotmail.com hotmail.co.uk hotmail.fr hotmail.de hotmail.it outlook.com outlook.de outlook.fr "
    "live.com live.co.uk live.nl msn.com icloud.com me.com mac.com aol.com aol.de gmx.de gmx.net gmx.at "
    "gmx.ch gmx.com web.de t-online.de freenet.de arcor.de mail.de posteo.de mailbox.org proton.me "
    "protonmail.com pm.me tutanota.com zoho.com fastmail.com mail.com email.com mail.ru yandex.ru "
    "yandex.com bk.ru list.ru inbox.ru rambler.ru qq.com 163.com 126.com sina.com foxmail.com naver.com "
    "daum.net hanmail.net orange.fr wanadoo.fr free.fr laposte.net sfr.fr libero.it virgilio.it "
    "tiscali.it alice.it tin.it wp.pl o2.pl onet.pl interia.pl seznam.cz centrum.cz bluewin.ch "
    "telenet.be skynet.be ziggo.nl kpnmail.nl xs4all.nl planet.nl home.nl btinternet.com sky.com "
    "virginmedia.com ntlworld.com comcast.net verizon.net att.net sbcglobal.net cox.net charter.net "
    "bellsouth.net earthlink.net shaw.ca rogers.com sympatico.ca bigpond.com optusnet.com.au uol.com.br "
    "bol.com.br terra.com.br example.com example.org example.net facebook.com linkedin.com twitter.com "
    "instagram.com xing.com wordpress.com blogspot.com wixsite.com google.com sites.google.com "
    "business.site"
)
_SHARED_DOMAINS = tuple(FREE_MAIL.split())
_LEGAL_FORMS = (
    "gmbh mbh ggmbh gesmbh ag kg kgaa ohg gbr ug ek ev eg se co and inc incorporated corp corporation ltd "
    "limited llc llp lp plc pllc sa sas sasu sarl eurl scs snc spa srl srls sl slu sau bv nv vof bvba "
    "cvba ab hb oy oyj as asa aps ks kft zrt nyrt bt doo dd sro spol sp zoo spzoo spj pty pte pvt "
    "private company cie compagnie gesellschaft aktiengesellschaft haftungsbeschrankt oo ooo zao pao kk gk ltda lda "
    "eireli cv de rl aktiebolag aktieselskab anpartsselskab osakeyhtio ооо оао зао пао ао"
)
_LEGAL_PHRASES = (
    "z oo?|z o o|a s|s a|b v|n v|k k|gesellschaft mit beschrankter haftung|limited liability company|"
    "limited liability partnership|public limited company|societe anonyme|societe par actions simplifiee|"
    "societe a responsabilite limitee|societa per azioni|societa a responsabilita limitata|sociedad anonima|"
    "sociedad limitada|sociedade anonima|besloten vennootschap|naamloze vennootschap"
)
_LEGAL_ENDING = (
    rf"(?: (?:{'|'.join(_LEGAL_FORMS.split())}|{_LEGAL_PHRASES}|株))+$"
    "|(?:株式会社|有限会社|合同会社|股份有限公司|有限责任公司|有限公司|주식회사)$"
)
_LEGAL_BEGINNING = (
    "^(?:the |(?:ooo|oao|zao|pao|ооо|оао|зао|пао|ао|тов|株|주) |(?:株式会社|有限会社|合同会社|주식회사) ?)"
)
_AND = " (?:und|et|y|och|og) "
_VAT_PREFIXES = "AT|BE|BG|CHE|CH|CY|CZ|DE|DK|EE|EL|ES|FI|FR|GB|GR|HR|HU|IE|IT|LT|LU|LV|MT|NL|NO|PL|PT|RO|SE|SI|SK|XI"
_COUNTED = "|".join(run[:end] for run in ("1234567890", "0123456789", "9876543210") for end in range(4, 11))
_SAME = "|".join(f"{digit}+" for digit in "0123456789X")


def company(name: ir.StringValue) -> ir.StringValue:
    """Compare companies without legal form, accents, umlaut spelling, "The", punctuation and words for "and"."""
    words = plain(name.replace("&", " and ").replace("+", " and ")).re_replace(_LEGAL_BEGINNING, "")
    words = words.re_replace(_LEGAL_ENDING, "").re_replace(_AND, " and ")
    spelled = words.replace("ae", "a").replace("oe", "o").replace("ue", "u")
    return spelled.re_replace(rf"^(?:.|new|{_PLACEHOLDERS})$", "")


def postcode(code: ir.StringValue) -> ir.StringValue:
    """Compare postal codes without blanks, country prefix ("D-10115") and ZIP+4."""
    bare = code.upper().strip().re_replace(r"^[A-Z]{1,2}-|-\d{4}$", "")
    return bare.re_replace(r"[^A-Z0-9]+", "").re_replace(rf"^(?:.{{0,2}}|{_SAME})$", "")


def phone(number: ir.StringValue, country: ir.StringValue) -> ir.StringValue:
    """Write a phone number as digits with its country's calling code; empty where that is not known."""
    typed = number.lower().replace("(0)", "").re_replace(r"(?:ext|x|#|;|durchwahl).*$", "")
    dialled = typed.re_replace(r"[^0-9+]+", "").re_replace(r"^00", "+")
    real = dialled.re_replace(rf"^\+?(?:.{{0,5}}|{_SAME}|{_COUNTED})$", "")
    called = ibis.coalesce(calling_code(country), "?").concat("|", real)
    abroad = called.re_replace(r"^.*\|\+", "")
    # Italy keeps the leading 0, North America may lead with its own 1.
    joined = abroad.re_replace(r"^39\|", "39").re_replace(r"^1\|1?", "1").re_replace(r"\|0?", "")
    return joined.re_extract(r"^\d{8,15}$", 0)


def tax_number(tax_id: ir.StringValue) -> ir.StringValue:
    """Write a tax number without blanks, dots, country prefix and VAT suffix; at least five digits."""
    letters = tax_id.upper().re_replace(r"[^A-Z0-9]+", "").re_replace(rf"^(?:{_COUNTED})$", "")
    bare = letters.re_replace(r"(?:MWST|TVA|IVA|MVA|VAT)$", "")
    core = bare.re_extract(rf"^(?:{_VAT_PREFIXES})?([A-Z0-9]*\d[A-Z0-9]*)$", 1)
    return core.re_replace(rf"^(?:[A-Z]*(?:{_SAME})[A-Z]*|(?:[A-Z]*\d){{0,4}}[A-Z]*)$", "")


def tax_country(tax_id: ir.StringValue, country: ir.StringValue) -> ir.StringValue:
    """Tell the country of a tax number: by its prefix, else the account's own, else null."""
    letters = tax_id.upper().re_replace(r"[^A-Z0-9]+", "")
    prefix = letters.re_extract(rf"^({_VAT_PREFIXES})[A-Z0-9]*\d", 1)
    named = prefix.replace("CHE", "CH").replace("EL", "GR").replace("XI", "GB")
    return ibis.coalesce(named.nullif(""), country)


def domain(site: ir.StringValue) -> ir.StringValue:
    """Take the domain from a web or e-mail address; what holds none is left for the rules to refuse."""
    host = site.lower().strip().re_replace(rf"^(?:{_PLACEHOLDERS})$", "")
    named = host.re_replace(r"^(?:[a-z][a-z0-9+.-]*://|mailto:)?(?:[^/?#]*@)?(?:www\d?\.)?", "")
    return named.re_replace(r"\.*(?:[/?#:\s<>,;].*)?$", "")


def company_domain(name: ir.StringValue) -> ir.StringValue:
    """Keep a domain that can stand for one company: no mail provider, no social network, no site builder."""
    return name.isin(_SHARED_DOMAINS).ifelse("", name)
