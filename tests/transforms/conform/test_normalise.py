"""Keys that make names, numbers and addresses comparable; empty where a value proves nothing."""

import pyarrow as pa
import pytest

from transforms.conform import normalise
from transforms.conform.countries import calling_code, iso2
from transforms.conform.expressions import plain

CASES = {
    plain: {
        "  Crédit  Ünïon, S.A.! ": "credit union sa",
        "O\u2019Neill's": "oneills",
        "Mu\u0308ller": "muller",
        "株式会社": "株式会社",
    },
    iso2: {
        "Germany": "DE",
        "deutschland": "DE",
        "DEU": "DE",
        "de": "DE",
        "UK": "GB",
        "U.S.A.": "US",
        "Côte d'Ivoire": "CI",
        "Korea, Republic of": "KR",
        "Atlantis": "Atlantis",
    },
    calling_code: {"DE": "49", "US": "1", "PT": "351", "XX": None},
    normalise.company: {
        "Müller GmbH & Co. KG": "muller",
        "Mueller GmbH": "muller",
        "The Coca-Cola Company": "coca cola",
        "Acme S.p.A.": "acme",
        "Foo Sp. z o.o.": "foo",
        "Acme Holding AG": "acme holding",
        "Alder Logistik Gesellschaft mbH": "alder logistik",
        "Alder Logistik Ges.m.b.H.": "alder logistik",
        "Alder Gesellschaft mit beschränkter Haftung": "alder",
        "Müller & Söhne AG": "muller and sohne",
        "Mueller und Soehne": "muller and sohne",
        "Dupont et Fils S.A.R.L.": "dupont and fils",
        "Acme Limited Liability Company": "acme",
        "株式会社トヨタ": "トヨタ",
        "トヨタ株式会社": "トヨタ",
        "(株)トヨタ": "トヨタ",
        "ООО Газпром": "газпром",
        "Газпром ООО": "газпром",
        "OOO Gazprom": "gazprom",
        "华为技术有限公司": "华为技术",
        "AG": "ag",
        "n/a": "",
        "Test": "",
        "-": "",
    },
    normalise.postcode: {
        "D-10115": "10115",
        "SW1A 1AA": "SW1A1AA",
        "12345-6789": "12345",
        "00000": "",
        "-": "",
    },
    normalise.tax_number: {
        "DE 136695976": "136695976",
        "136.695.976": "136695976",
        "CHE-116.281.710 MWST": "116281710",
        "ESB12345674": "B12345674",
        "NL 123456789B01": "123456789B01",
        "IE1234567WA": "1234567WA",
        "000000000": "",
        "123456789": "",
        "none": "",
    },
    normalise.domain: {
        "https://www.Acme.com/de?x=1": "acme.com",
        "Acme <info@acme.de>": "acme.de",
        "mailto:info@acme.de": "acme.de",
        "http://user:word@acme.co.uk:8080/": "acme.co.uk",
        "https://medium.com/@acme": "medium.com",
        "www.acme.com.": "acme.com",
        "acme.com, acme.de": "acme.com",
        "n/a": "",
        "http://": "",
        "acme.com:8080": "acme.com",
    },
    normalise.company_domain: {"acme.com": "acme.com", "gmail.com": "", "gmx.de": ""},
}
PAIRED = {
    normalise.phone: {
        ("+49 (0) 30 224 46 67", None): "49302244667",
        ("030/224 46 67", "DE"): "49302244667",
        ("0049 30 2244667", None): "49302244667",
        ("030 2244667 ext. 12", "DE"): "49302244667",
        ("(555) 010-9988", "US"): "15550109988",
        ("1-555-010-9988", "US"): "15550109988",
        ("06 1234987", "IT"): "39061234987",
        ("030 2244667", None): "",
        ("0000000", "DE"): "",
        ("1234567", "DE"): "",
        ("n/a", "DE"): "",
    },
    normalise.tax_country: {
        ("DE136695976", "FR"): "DE",
        ("136695976", "FR"): "FR",
        ("EL123456783", None): "GR",
        ("CHE-116.281.710", None): "CH",
        ("Belgium", None): None,
    },
}


@pytest.mark.parametrize("key", CASES, ids=lambda key: key.__name__)
def test_writes_values_one_way(con, key):
    fields = con.create_table("given", pa.table({"text": [*CASES[key], None]}), temp=True, overwrite=True)
    result = fields.select("text", key=key(fields.text)).to_pyarrow().to_pylist()
    assert {row["text"]: row["key"] for row in result} == {**CASES[key], None: None}


@pytest.mark.parametrize("key", PAIRED, ids=lambda key: key.__name__)
def test_writes_numbers_with_their_country(con, key):
    texts, countries = zip(*PAIRED[key], strict=True)
    columns = pa.table([texts, pa.array(countries, pa.string())], names=["text", "country"])
    fields = con.create_table("given", columns, temp=True, overwrite=True)
    result = fields.mutate(key=key(fields.text, fields.country)).to_pyarrow().to_pylist()
    assert {(row["text"], row["country"]): row["key"] for row in result} == PAIRED[key]
