"""Country names and codes as people type them, to ISO 3166-1 alpha-2, and the calling codes of countries."""

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import plain

_ISO3 = """
AFGAF ALAAX ALBAL DZADZ ASMAS ANDAD AGOAO AIAAI ATAAQ ATGAG ARGAR ARMAM ABWAW AUSAU AUTAT AZEAZ BHSBS
BHRBH BGDBD BRBBB BLRBY BELBE BLZBZ BENBJ BMUBM BTNBT BOLBO BESBQ BIHBA BWABW BVTBV BRABR IOTIO BRNBN
BGRBG BFABF BDIBI CPVCV KHMKH CMRCM CANCA CYMKY CAFCF TCDTD CHLCL CHNCN CXRCX CCKCC COLCO COMKM COGCG
CODCD COKCK CRICR CIVCI HRVHR CUBCU CUWCW CYPCY CZECZ DNKDK DJIDJ DMADM DOMDO ECUEC EGYEG SLVSV GNQGQ
ERIER ESTEE SWZSZ ETHET FLKFK FROFO FJIFJ FINFI FRAFR GUFGF PYFPF ATFTF GABGA GMBGM GEOGE DEUDE GHAGH
GIBGI GRCGR GRLGL GRDGD GLPGP GUMGU GTMGT GGYGG GINGN GNBGW GUYGY HTIHT HMDHM VATVA HNDHN HKGHK HUNHU
ISLIS INDIN IDNID IRNIR IRQIQ IRLIE IMNIM ISRIL ITAIT JAMJM JPNJP JEYJE JORJO KAZKZ KENKE KIRKI PRKKP
KORKR KWTKW KGZKG LAOLA LVALV LBNLB LSOLS LBRLR LBYLY LIELI LTULT LUXLU MACMO MDGMG MWIMW MYSMY MDVMV
MLIML MLTMT MHLMH MTQMQ MRTMR MUSMU MYTYT MEXMX FSMFM MDAMD MCOMC MNGMN MNEME MSRMS MARMA MOZMZ MMRMM
NAMNA NRUNR NPLNP NLDNL NCLNC NZLNZ NICNI NERNE NGANG NIUNU NFKNF MKDMK MNPMP NORNO OMNOM PAKPK PLWPW
PSEPS PANPA PNGPG PRYPY PERPE PHLPH PCNPN POLPL PRTPT PRIPR QATQA REURE ROURO RUSRU RWARW BLMBL SHNSH
KNAKN LCALC MAFMF SPMPM VCTVC WSMWS SMRSM STPST SAUSA SENSN SRBRS SYCSC SLESL SGPSG SXMSX SVKSK SVNSI
SLBSB SOMSO ZAFZA SGSGS SSDSS ESPES LKALK SDNSD SURSR SJMSJ SWESE CHECH SYRSY TWNTW TJKTJ TZATZ THATH
TLSTL TGOTG TKLTK TONTO TTOTT TUNTN TURTR TKMTM TCATC TUVTV UGAUG UKRUA AREAE GBRGB USAUS UMIUM URYUY
UZBUZ VUTVU VENVE VNMVN VGBVG VIRVI WLFWF ESHEH YEMYE ZMBZM ZWEZW
"""
_NAMES = """
AD andorra; AE united arab emirates|uae; AF afghanistan; AG antigua barbuda|antigua and barbuda; AI
anguilla; AL albania; AM armenia; AO angola; AQ antarctica; AR argentina; AS samoa american|american samoa;
AT austria|osterreich|oesterreich; AU australia; AW aruba; AX aland islands; AZ azerbaijan; BA bosnia
herzegovina|bosnia and herzegovina; BB barbados; BD bangladesh; BE belgium|belgique|belgie|belgien; BF
burkina faso; BG bulgaria; BH bahrain; BI burundi; BJ benin; BL st barthelemy|saint barthelemy; BM bermuda;
BN brunei|brunei darussalam; BO bolivia|bolivia plurinational state of; BQ caribbean nl|bonaire sint
eustatius and saba; BR brazil|brasil; BS bahamas; BT bhutan; BV bouvet island; BW botswana; BY belarus; BZ
belize; CA canada; CC cocos keeling islands|cocos; CD congo dem rep|congo the democratic republic of
the|democratic republic of the congo|congo democratic republic of the|dr congo; CF central african
rep|central african republic; CG congo rep|republic of the congo|congo; CH
switzerland|schweiz|suisse|svizzera; CI cote divoire|ivory coast; CK cook islands; CL chile; CM cameroon; CN
china|peoples republic of china; CO colombia; CR costa rica; CU cuba; CV cape verde|cabo verde; CW curacao;
CX christmas island; CY cyprus; CZ czech republic|czechia|ceska republika|cesko|tschechien; DE
germany|deutschland|allemagne|alemania|germania; DJ djibouti; DK denmark|danmark|danemark; DM dominica; DO
dominican republic; DZ algeria; EC ecuador; EE estonia|eesti; EG egypt; EH western sahara; ER eritrea; ES
spain|espana|spanien|espagne; ET ethiopia; FI finland|suomi|finnland; FJ fiji; FK falkland islands|falkland
islands malvinas; FM micronesia|micronesia federated states of; FO faroe islands; FR
france|frankreich|francia; GA gabon; GB britain uk|britain|united kingdom|great
britain|england|scotland|wales|northern ireland|uk|u k|grossbritannien; GD grenada; GE georgia; GF french
guiana; GG guernsey; GH ghana; GI gibraltar; GL greenland; GM gambia; GN guinea; GP guadeloupe; GQ
equatorial guinea; GR greece|hellas|el|griechenland; GS south georgia the south sandwich islands|south
georgia and the south sandwich islands; GT guatemala; GU guam; GW guinea bissau; GY guyana; HK hong
kong|hong kong sar china; HM heard island mcdonald islands|heard island and mcdonald islands; HN honduras;
HR croatia|hrvatska; HT haiti; HU hungary|magyarorszag|ungarn; ID indonesia; IE ireland|republic of
ireland|irland|eire; IL israel; IM isle of man; IN india; IO british indian ocean territory; IQ iraq; IR
iran|iran islamic republic of; IS iceland|island; IT italy|italia|italien|italie; JE jersey; JM jamaica; JO
jordan; JP japan|nippon|nihon; KE kenya; KG kyrgyzstan; KH cambodia; KI kiribati; KM comoros; KN st kitts
nevis|st kitts and nevis|saint kitts nevis|saint kitts and nevis; KP korea north|north korea|korea
democratic peoples republic of; KR korea south|south korea|korea|republic of korea|korea republic of; KW
kuwait; KY cayman islands; KZ kazakhstan; LA laos|lao peoples democratic republic; LB lebanon; LC st
lucia|saint lucia; LI liechtenstein; LK sri lanka; LR liberia; LS lesotho; LT lithuania|lietuva|litauen; LU
luxembourg|luxemburg; LV latvia|latvija|lettland; LY libya; MA morocco|maroc; MC monaco; MD moldova|moldova
republic of|republic of moldova; ME montenegro; MF st martin french|saint martin french|saint martin|saint
martin french part; MG madagascar; MH marshall islands; MK north macedonia|macedonia|republic of north
macedonia; ML mali; MM myanmar burma|myanmar|burma; MN mongolia; MO macau|macau sar china|macao; MP northern
mariana islands; MQ martinique; MR mauritania; MS montserrat; MT malta; MU mauritius; MV maldives; MW
malawi; MX mexico; MY malaysia; MZ mozambique; NA namibia; NC new caledonia; NE niger; NF norfolk island; NG
nigeria; NI nicaragua; NL netherlands|the netherlands|nederland|holland|niederlande|pays bas; NO
norway|norge|norwegen; NP nepal; NR nauru; NU niue; NZ new zealand; OM oman; PA panama; PE peru; PF french
polynesia; PG papua new guinea; PH philippines; PK pakistan; PL poland|polska|polen|pologne; PM st pierre
miquelon|st pierre and miquelon|saint pierre miquelon|saint pierre and miquelon; PN pitcairn; PR puerto
rico; PS palestine|palestine state of; PT portugal; PW palau; PY paraguay; QA qatar; RE reunion; RO
romania|rumanien|roumanie; RS serbia|srbija; RU russia|russian federation|rossiya; RW rwanda; SA saudi
arabia; SB solomon islands; SC seychelles; SD sudan; SE sweden|sverige|schweden|suede; SG singapore; SH st
helena|saint helena|saint helena ascension and tristan da cunha; SI slovenia|slovenija|slowenien; SJ
svalbard jan mayen|svalbard and jan mayen; SK slovakia|slovensko|slovak republic|slowakei; SL sierra leone;
SM san marino; SN senegal; SO somalia; SR suriname; SS south sudan; ST sao tome principe|sao tome and
principe; SV el salvador; SX st maarten dutch|saint maarten dutch|sint maarten|sint maarten dutch part; SY
syria|syrian arab republic; SZ eswatini swaziland|eswatini|swaziland; TC turks caicos is|turks and caicos
is|turks and caicos islands; TD chad; TF french s terr|french southern territories; TG togo; TH thailand; TJ
tajikistan; TK tokelau; TL east timor|timor leste; TM turkmenistan; TN tunisia; TO tonga; TR
turkey|turkiye|turkei; TT trinidad tobago|trinidad and tobago; TV tuvalu; TW taiwan|taiwan province of
china; TZ tanzania|tanzania united republic of; UA ukraine|ukraina; UG uganda; UM us minor outlying
islands|united states minor outlying islands; US united states|united states of america|usa|u s a|u
s|america|estados unidos|vereinigte staaten; UY uruguay; UZ uzbekistan; VA vatican city|holy see|holy see
vatican city state; VC st vincent|saint vincent|saint vincent and the grenadines; VE venezuela|venezuela
bolivarian republic of; VG virgin islands uk|british virgin islands|virgin islands british; VI virgin
islands us; VN vietnam|viet nam; VU vanuatu; WF wallis futuna|wallis and futuna; WS samoa western|samoa; YE
yemen; YT mayotte; ZA south africa; ZM zambia; ZW zimbabwe
"""
_CALLING = """
AE971 AR54 AT43 AU61 BE32 BG359 BR55 CA1 CH41 CL56 CN86 CO57 CY357 CZ420 DE49 DK45 EE372 EG20 ES34 FI358
FR33 GB44 GR30 HK852 HR385 HU36 ID62 IE353 IL972 IN91 IS354 IT39 JP81 KE254 KR82 KZ7 LI423 LT370 LU352
LV371 MA212 MT356 MX52 MY60 NG234 NL31 NO47 NZ64 PE51 PH63 PK92 PL48 PT351 RO40 RS381 RU7 SA966 SE46 SG65
SI386 SK421 TH66 TR90 TW886 UA380 US1 VN84 ZA27
"""


def _lookup_text(pairs: list[tuple[str, str]]) -> str:
    return ";" + "".join(f"{key}={value.ljust(3)};" for key, value in pairs)


def _named() -> list[tuple[str, str]]:
    lines = (line.split(" ", 1) for line in " ".join(_NAMES.split()).split("; "))
    return [(name, code) for code, names in lines for name in names.split("|")]


_CODES = _lookup_text([(entry[:3].lower(), entry[3:]) for entry in _ISO3.split()] + _named())
_NOT_ISO = ("UK", "EL")
_CALLING_CODES = _lookup_text([(entry[:2], entry[2:]) for entry in _CALLING.split()])


def _look_up(table: str, key: ir.StringValue) -> ir.StringValue:
    """Find a short value in one literal text: cheaper than hundreds of branches, and every engine can."""
    return ibis.literal(table).split(ibis.literal(";").concat(key, "="))[1].left(3).strip()


def iso2(country: ir.StringValue) -> ir.StringValue:
    """Translate a name or a code to alpha-2; what is unknown stays as it is, for the rules to refuse."""
    code = country.upper()
    is_code = (country.length() == 2) & code.notin(_NOT_ISO)
    return is_code.ifelse(code, ibis.coalesce(_look_up(_CODES, plain(country)), country))


def calling_code(country: ir.StringValue) -> ir.StringValue:
    """Find the calling code of an alpha-2 country, without a plus; null where it is not known."""
    return _look_up(_CALLING_CODES, country)
