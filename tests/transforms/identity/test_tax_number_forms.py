"""One tax number per country: every spelling of a number is the same key, and never proof of another company."""

import random

import pyarrow as pa
import pytest
from stdnum.be import vat as belgian
from stdnum.ch import uid as swiss
from stdnum.fr import siren, siret
from stdnum.fr import tva as french
from stdnum.gr import vat as greek
from stdnum.it import iva as italian
from stdnum.se import orgnr
from stdnum.se import vat as swedish

from transforms.conform.normalise import tax_country, tax_number
from transforms.identity.tax_number_forms import canonical
from transforms.identity.tax_numbers import is_mistyped

SAME = [
    ("BE", ("BE 0403.170.701", "0403170701", "403170701", "BE403170701", "403.170.701")),
    ("FR", ("FR40303265045", "303265045", "303 265 045", "FR 40 303 265 045", "30326504500011")),
    ("SE", ("SE556188840401", "556188840401", "5561888404", "556188-8404", "165561888404")),
    ("GR", ("EL094019245", "GR094019245", "094019245", "94019245")),
    ("CH", ("CHE-116.281.710 MWST", "CH116281710", "CHE116281710", "116.281.710", "CHE-116.281.710 TVA")),
    ("NO", ("NO 995 525 828 MVA", "995525828", "995 525 828", "NO995525828MVA")),
    ("IT", ("IT00743110157", "00743110157", "743110157", "IT 743110157")),
    ("NL", ("NL004495445B01", "004495445B01", "4495445B01", "004495445", "NL 0044.95.445.B.01")),
    ("GB", ("GB980780684", "980 7806 84", "GB980780684001")),
    ("HU", ("HU12892312", "12892312-2-42", "12892312")),
    ("AT", ("ATU13585627", "U13585627", "13585627")),
    ("FI", ("FI01120389", "0112038-9", "112038-9", "FI 0112038 9")),
    ("HR", ("HR33392005961", "33392005961")),
    ("ES", ("ES00054362J", "00054362J", "54362J")),
    ("DE", ("DE136695976", "136 695 976", "DE 136695976")),
    ("PL", ("PL8567346215", "856-734-62-15")),
]  # fmt: skip


def numbers(con, rows):
    """Return the country and number of each (country, tax id as typed), in the order of the rows."""
    columns = {"n": range(len(rows)), "country": [c for c, _ in rows], "typed": [t for _, t in rows]}
    table = con.create_table(f"typed_{random.randrange(10**12)}", pa.table(columns), temp=True)
    bare = table.mutate(code=tax_country(table.typed, table.country), bare=tax_number(table.typed))
    written = bare.mutate(number=canonical(bare.bare, bare.code))
    wrong = written.mutate(wrong=is_mistyped(written.number, written.code)).order_by("n").to_pyarrow().to_pylist()
    return [(row["code"], row["number"], row["wrong"]) for row in wrong]


@pytest.mark.parametrize(("country", "spellings"), SAME)
def test_all_spellings_of_a_number_are_one(con, country, spellings):
    (number,) = {*numbers(con, [(country, typed) for typed in spellings])}
    assert number[0] == country
    assert not number[2]


def test_a_prefix_tells_the_country_where_the_account_tells_another(con):
    assert numbers(con, [("DE", "GR094019245"), ("DE", "NO 995 525 828 MVA"), ("DE", "CH116281710")]) == [
        ("GR", "094019245", False),
        ("NO", "995525828", False),
        ("CH", "116281710", False),
    ]


@pytest.mark.parametrize("typed", ["/", "-", "n/a", "", "0", "12345", "000000000"])
def test_what_is_no_number_gives_none(con, typed):
    assert numbers(con, [("DE", typed)]) == [("DE", "", False)]


def test_numbers_that_only_look_like_another_form_stay_as_they_are(con):
    """Eight digits in Italy whose check digits fail with the zeros before them, a SIRET of no SIREN, a person's number."""
    rows = [("IT", "23456781"), ("FR", "23456789012345"), ("SE", "556188840499"), ("AT", "23456781")]
    assert [number for _, number, _ in numbers(con, rows)] == ["23456781", "23456789012345", "5561888404", "23456781"]


def test_agrees_with_an_independent_package(con):
    chance = random.Random(11)

    def drawn(length, check, begin=""):
        while True:
            digits = begin + "".join(chance.choice("0123456789") for _ in range(length - len(begin)))
            if check(digits):
                return digits

    rows, expected = [], []
    for _ in range(60):
        be = drawn(10, lambda digits: belgian.is_valid(digits) and 0 < int(digits[-2:]) <= 97, "0")
        fr = drawn(9, siren.is_valid)
        se = drawn(10, orgnr.is_valid, "5")
        it = drawn(11, italian.is_valid, "0")
        el = drawn(9, greek.is_valid, "0")
        office = drawn(14, siret.is_valid, fr)
        for country, typed, number in (
            ("BE", be[1:], be),
            ("FR", siren.to_tva(fr), fr),
            ("FR", office, fr),
            ("SE", f"{se}01", se),
            ("IT", it.lstrip("0"), it),
            ("GR", el.lstrip("0"), el),
        ):
            if len(typed.strip()) >= 8:
                rows.append((country, typed))
                expected.append((country, number, False))
        assert french.is_valid(siren.to_tva(fr))
        assert swedish.is_valid(f"{se}01")
    assert numbers(con, rows) == expected
    assert swiss.is_valid("CHE116281710")
