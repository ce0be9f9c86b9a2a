"""The believable company: its people, its customers, and what happened with each over 36 months."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from sandbox.world import names

MONTHS = 36
# kind: share of all, chance of an order in a month, typical order value, tickets a year, share of good ratings
KINDS = {
    "loyal": (0.22, 0.85, 9000, 5, 0.9),
    "seasonal": (0.12, 0.45, 14000, 3, 0.85),
    "growing": (0.12, 0.6, 12000, 6, 0.9),
    "shrinking": (0.12, 0.5, 8000, 7, 0.6),
    "one_off": (0.12, 0.0, 5000, 1, 0.8),
    "churned": (0.14, 0.55, 7000, 6, 0.5),
    "new": (0.08, 0.7, 6000, 4, 0.85),
    "prospect": (0.08, 0.0, 0, 0, 1.0),
}
SIZES = {"small": (0.6, 0.35), "middle": (0.3, 1.0), "large": (0.1, 6.0)}


@dataclass(frozen=True)
class Person:
    """Be a colleague who owns customers."""

    number: int
    first: str
    last: str
    role: str
    region: str
    is_active: bool = True

    @property
    def email(self) -> str:
        return f"{self.first}.{self.last}{self.number}@example.com".lower()


@dataclass
class Order:
    """Hold one order with its invoice and payment."""

    on: date
    amount: float
    kind: str = "out_invoice"
    terms: int = 30
    paid_on: date | None = None


@dataclass
class Customer:
    """Be one customer as it really is, before any system misspells it."""

    number: int
    base: str
    forms: tuple[str, str]
    country: str
    city: str
    zip: str
    street: str
    phone: str
    vat: str
    domain: str
    employees: int
    industry: str
    kind: str
    scale: float
    currency: str
    manager: Person
    executive: Person
    born: date
    orders: list[Order] = field(default_factory=list)
    contacts: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.base} {self.forms[0]}"


def people(random: Random) -> list[Person]:
    """Hire two account managers and two executives a region, and remember two who left."""
    hired: list[Person] = []
    for region in sorted(set(names.REGIONS.values())):
        for role in ("account_manager", "account_manager", "account_executive", "account_executive"):
            hired.append(Person(len(hired) + 1, random.choice(names.PEOPLE), random.choice(names.FAMILY), role, region))
    leavers = [
        Person(
            len(hired) + 1 + i,
            random.choice(names.PEOPLE),
            random.choice(names.FAMILY),
            "account_manager",
            "Central",
            False,
        )
        for i in range(2)
    ]
    return hired + leavers


def customers(count: int, random: Random, today: date, staff: list[Person]) -> list[Customer]:
    """Found so many customers, each with its kind, its people and its orders."""
    companies = [_founded(number, random, today, staff) for number in range(1, count + 1)]
    for customer in companies:
        customer.orders = _orders(customer, random, today)
        customer.contacts = [
            (random.choice(names.PEOPLE), random.choice(names.FAMILY), random.choice(names.TITLES))
            for _ in range(random.choice((1, 1, 2, 3)))
        ]
    return companies


def _founded(number: int, random: Random, today: date, staff: list[Person]) -> Customer:
    country = random.choices(list(names.COUNTRIES), weights=(34, 8, 12, 10, 8, 16, 12))[0]
    _, dial, currency, towns, forms = names.COUNTRIES[country]
    city, prefix = random.choice(towns)
    kind = random.choices(list(KINDS), weights=[row[0] for row in KINDS.values()])[0]
    size = random.choices(list(SIZES), weights=[row[0] for row in SIZES.values()])[0]
    first, trade = random.choice(names.FIRST), random.choice(names.TRADE)
    base = f"{first} & {random.choice(names.FIRST)} {trade}" if random.random() < 0.15 else f"{first} {trade}"
    if number > len(names.FIRST) * 20:
        base = f"{base} {number}"  # a large world would run out of names
    plain = "".join(letter for letter in base.lower() if letter.isascii() and letter.isalnum())
    region = names.REGIONS[country]
    managers = [person for person in staff if person.region == region and person.role == "account_manager"]
    executives = [person for person in staff if person.region == region and person.role == "account_executive"]
    months = 4 if kind in ("new", "prospect") else random.randint(10, MONTHS)
    return Customer(
        number=number,
        base=base,
        forms=random.choice(forms),
        country=country,
        city=city,
        zip=_postcode(country, prefix, random),
        street=f"{random.choice(names.FAMILY)}straße {random.randint(1, 120)}"
        if country in ("DE", "AT")
        else f"{random.randint(1, 300)} {random.choice(names.FAMILY)} Street",
        phone=f"{dial}{random.randint(20, 89)}{number:05d}{random.randint(10, 99)}",
        vat=_vat(country, number, random),
        domain=f"{plain}{number}.example"
        if random.random() < 0.3
        else f"{plain}{number}.{'de' if country == 'DE' else 'com'}",
        employees=int(random.lognormvariate(4, 1.1) * (0.5 + SIZES[size][1])) + 2,
        industry=random.choice(names.INDUSTRIES),
        kind=kind,
        scale=SIZES[size][1] * random.uniform(0.6, 1.6),
        currency=currency,
        manager=random.choice(managers),
        executive=random.choice(executives),
        born=today - timedelta(days=months * 30 + random.randint(5, 25)),
    )


def _orders(customer: Customer, random: Random, today: date) -> list[Order]:
    _, chance, value, _, _ = KINDS[customer.kind]
    if customer.kind == "prospect":
        return []
    last = (today - customer.born).days // 30
    quiet = random.randint(8, 20) if customer.kind == "churned" else 0
    season = random.sample(range(1, 13), 4)
    orders = [_order(customer, random, customer.born + timedelta(days=random.randint(1, 12)), value, today)]
    for month in range(1, max(1, last - quiet) + (1 if not quiet else 0)):
        on = customer.born + timedelta(days=month * 30 + random.randint(0, 27))
        if on >= today or random.random() > chance * (
            2 if customer.kind == "seasonal" and on.month in season else 1 if customer.kind != "seasonal" else 0.3
        ):
            continue
        trend = {"growing": 1 + month / 18, "shrinking": max(0.25, 1 - month / 40)}.get(customer.kind, 1)
        orders.append(_order(customer, random, on, value * trend, today))
    return [order for order in orders if order.on < today]


def _order(customer: Customer, random: Random, on: date, value: float, today: date) -> Order:
    amount = round(value * customer.scale * random.lognormvariate(0, 0.35), 2)
    kind = "out_refund" if random.random() < 0.03 else "out_invoice"
    late = {"shrinking": 18, "churned": 25}.get(customer.kind, 3)
    paid = on + timedelta(days=30 + int(random.gauss(late - 8, 9)))
    return Order(on, amount * (0.2 if kind == "out_refund" else 1), kind, 30, max(paid, on) if paid < today else None)


def _postcode(country: str, prefix: str, random: Random) -> str:
    if country == "GB":
        return (
            f"{prefix}{random.randint(1, 20)} {random.randint(1, 9)}{random.choice('ABDEFG')}{random.choice('HJLNP')}"
        )
    return prefix + "".join(random.choice("0123456789") for _ in range((4 if country == "AT" else 5) - len(prefix)))


def _vat(country: str, number: int, random: Random) -> str:
    own = f"{(number * 7919 + 1_234_567) % 10_000_000:07d}"  # no two customers share one
    if country == "DE":
        digits = f"{random.randint(1, 999) % 9 + 1}{own}"
        return f"DE{digits}{_check_digit(digits)}"
    if country == "US":
        return f"{random.randint(1000000, 9999999) % 90 + 10}-{own}"
    drawn = "".join(
        random.choice("0123456789") for _ in range({"AT": 8, "FR": 11, "IT": 11, "ES": 8, "GB": 9}[country])
    )
    body = f"{drawn[:2]}{own}{drawn[9:]}" if country == "FR" else own + drawn[7:]
    return {"AT": _austrian, "FR": _french, "IT": _italian, "ES": _spanish, "GB": _british}[country](body)


def _austrian(body: str) -> str:
    return f"ATU{body[:7]}{(96 - _doubling(body[:7], 1)) % 10}"


def _french(body: str) -> str:
    siren = body[2:10] + str(-_doubling(body[2:10], 1) % 10)
    return f"FR{(12 + 3 * (int(siren) % 97)) % 97:02d}{siren}"


def _italian(body: str) -> str:
    return f"IT{body[:10]}{-_doubling(body[:10], 1) % 10}"


def _spanish(body: str) -> str:
    return f"ESB{body[:7]}{-_doubling(body[:7], 0) % 10}"


def _british(body: str) -> str:
    weighted = sum(int(digit) * (8 - position) for position, digit in enumerate(body[:7]))
    return f"GB{body[:7]}{97 - weighted % 97:02d}"


def _doubling(digits: str, start: int) -> int:
    """Sum digits up, every second one doubled and its own digits summed, as Luhn has it."""
    doubled = (int(digit) * 2 if position % 2 == start else int(digit) for position, digit in enumerate(digits))
    return sum(number // 10 + number % 10 for number in doubled)


def _check_digit(digits: str) -> int:
    """Compute the last digit of a German VAT number: ISO 7064, MOD 11,10."""
    product = 10
    for digit in digits:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10


def at(day: date, random: Random, before: datetime | None = None) -> datetime:
    """Pick a working hour of a day, not after `before`."""
    moment = datetime.combine(day, time(random.randint(8, 17), random.randint(0, 59), random.randint(0, 59)), UTC)
    return min(moment, before) if before else moment
