"""What the CRM holds of the world: companies, contacts, deals, engagements, owners."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from sandbox.core.clock import iso
from sandbox.world import names
from sandbox.world.company import Customer, Person, at

STAGES = (
    ("appointmentscheduled", "Appointment scheduled", 0.2),
    ("qualifiedtobuy", "Qualified to buy", 0.4),
    ("contractsent", "Contract sent", 0.8),
    ("closedwon", "Closed won", 1.0),
    ("closedlost", "Closed lost", 0.0),
)
CHANCE = {stage: chance for stage, _, chance in STAGES}
SOURCES = ("ORGANIC_SEARCH", "PAID_SEARCH", "REFERRAL", "OFFLINE", "DIRECT_TRAFFIC")
KINDS = ("companies", "contacts", "deals", "tickets", "calls", "emails", "meetings", "tasks", "notes")
Record = dict[str, Any]


class Portal:
    """Hold a portal's records, by kind and id, and which is associated with which."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}
        self.owners: list[Record] = []
        self.links: dict[tuple[str, str], dict[str, list[tuple[str, int, str | None]]]] = defaultdict(dict)
        self._next = 9_000_000

    def add(self, kind: str, properties: dict[str, Any], created: datetime, updated: datetime) -> Record:
        """Create a record, values as strings, stamps set."""
        record = self.made(kind, self.number(), properties, created, updated)
        self.objects[kind][record["id"]] = record
        return record

    def number(self) -> str:
        """Give the next record's id: ids only ever rise."""
        self._next += 7
        return str(self._next)

    def made(self, kind: str, number: str, properties: dict[str, Any], created: datetime, updated: datetime) -> Record:
        """Make a record that is not kept."""
        stamp = "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"
        first = "hs_createdate" if kind in KINDS[4:] else "createdate"
        values = {name: None if value is None else str(value) for name, value in properties.items()}
        values |= {"hs_object_id": number, first: iso(created), stamp: iso(updated)}
        return {
            "id": number,
            "properties": values,
            "createdAt": iso(created),
            "updatedAt": iso(updated),
            "archived": False,
        }

    def link(
        self,
        from_record: tuple[str, str],
        right: tuple[str, str],
        type_id: int,
        label: str | None = None,
        back: int | None = None,
    ) -> None:
        """Associate two records, both ways, once."""
        (kind, number), (other_kind, other) = from_record, right
        to_record = self.links[kind, other_kind].setdefault(number, [])
        if (other, type_id, label) not in to_record:
            to_record.append((other, type_id, label))
            back_there = self.links[other_kind, kind].setdefault(other, [])
            back_there.append((number, back or type_id + 1, label))

    def archive(self, kind: str, number: str, moment: datetime) -> None:
        """Archive a record."""
        self.objects[kind][number] |= {"archived": True, "archivedAt": iso(moment), "updatedAt": iso(moment)}


def fill(
    customers: Iterable[Customer], staff: list[Person], random: Random, today: date, truth: dict[int, Any]
) -> Portal:
    """Put the world into a portal; `truth` learns the ids."""
    portal = Portal()
    before = datetime.combine(today, datetime.min.time()).replace(tzinfo=at(today, random).tzinfo)
    owner_of = {person.number: str(500 + person.number) for person in staff}
    portal.owners = [_owner(person, owner_of[person.number]) for person in staff]
    for customer in customers:
        if random.random() < 0.04:
            continue  # known to the ERP alone
        company = _company(portal, customer, owner_of, random, before)
        truth[customer.number].setdefault("hubspot", []).append(company["id"])
        if random.random() < 0.02:
            twin = _company(portal, customer, owner_of, random, before)
            truth[customer.number]["hubspot"].append(twin["id"])
        _around(portal, customer, company["id"], owner_of, random, before)
    _dead(portal, random, before)
    return portal


def _owner(person: Person, number: str) -> Record:
    role = "Account Managers" if person.role == "account_manager" else "Account Executives"
    return {
        "id": number,
        "email": person.email,
        "firstName": person.first,
        "lastName": person.last,
        "userId": int(number) + 40000,
        "type": "PERSON",
        "archived": not person.is_active,
        "createdAt": "2022-01-10T09:00:00.000Z",
        "updatedAt": "2024-05-01T09:00:00.000Z",
        "teams": [{"id": f"{len(role)}{len(person.region)}", "name": f"{role} {person.region}", "primary": True}],
    }


def _company(portal: Portal, customer: Customer, owner_of: dict[int, str], random: Random, before: datetime) -> Record:
    created = at(customer.born, random, before)
    updated = min(before, created + timedelta(days=random.randint(0, max(1, (before - created).days))))
    region = names.COUNTRIES[customer.country][0]
    domain = random.choice(names.FREE_MAIL) if random.random() < 0.03 else customer.domain
    properties = {
        "name": customer.name if random.random() < 0.9 else customer.base,
        "domain": None if random.random() < 0.08 else domain,
        "website": f"https://www.{customer.domain}/",
        "phone": _spaced(customer.phone) if random.random() < 0.8 else None,
        "address": customer.street,
        "zip": customer.zip if random.random() < 0.9 else None,
        "city": customer.city,
        "state": names.REGIONS[customer.country],
        "country": region if random.random() < 0.8 else customer.country,
        "industry": customer.industry,
        "numberofemployees": customer.employees if random.random() < 0.85 else None,
        "annualrevenue": customer.employees * 150_000,
        "hubspot_owner_id": owner_of[customer.manager.number],
        "lifecyclestage": "opportunity" if customer.kind == "prospect" else "customer",
        "hs_parent_company_id": None,
        "hs_merged_object_ids": None,
        "vat_number": customer.vat if random.random() < 0.6 else None,
        "erp_id": None,
    }
    return portal.add("companies", properties, created, updated)


def _around(
    portal: Portal,
    customer: Customer,
    company: str,
    owner_of: dict[int, str],
    random: Random,
    before: datetime,
) -> None:
    people = []
    for first, last, title in customer.contacts:
        created = at(customer.born, random, before)
        mail = f"{first}.{last}@{customer.domain}".lower()
        values = {"firstname": first, "lastname": last, "email": mail, "jobtitle": title}
        people.append(portal.add("contacts", values, created, created)["id"])
        portal.link(("contacts", people[-1]), ("companies", company), 279)
    for index, order in enumerate(customer.orders[:: max(1, len(customer.orders) // 4)]):
        _deal(portal, customer, company, owner_of, random, before, order.on, order.amount, "closedwon", index)
    for _ in range(random.randint(0, 2)):
        on = before.date() - timedelta(days=random.randint(20, 500))
        if on > customer.born:
            _deal(
                portal,
                customer,
                company,
                owner_of,
                random,
                before,
                on,
                random.uniform(2e3, 4e4),
                "closedlost",
                9,
            )
    if customer.kind != "churned" and random.random() < 0.6:
        on = before.date() + timedelta(days=random.randint(5, 200))
        stage = random.choice(("appointmentscheduled", "qualifiedtobuy", "contractsent"))
        _deal(portal, customer, company, owner_of, random, before, on, random.uniform(3e3, 5e4), stage, 8)
    _engagements(portal, customer, company, people, owner_of, random, before)


def _deal(
    portal: Portal,
    customer: Customer,
    company: str,
    owner_of: dict[int, str],
    random: Random,
    before: datetime,
    on: date,
    amount: float,
    stage: str,
    index: int,
) -> None:
    is_closed = stage.startswith("closed")
    started = (
        max(customer.born, on - timedelta(days=random.randint(15, 120)))
        if is_closed
        else max(customer.born, before.date() - timedelta(days=random.randint(2, 90)))
    )
    created = at(min(started, on), random, before)
    closed = at(on, random)
    closed = max(closed, created + timedelta(hours=1))
    updated = min(before, closed) if is_closed else min(before, created + timedelta(days=random.randint(0, 20)))
    values = {
        "dealname": f"{customer.base} {random.choice(('frame order', 'renewal', 'extension', 'first order'))}",
        "amount": f"{amount:.2f}",
        "deal_currency_code": customer.currency,
        "pipeline": "default",
        "dealstage": stage,
        "hs_deal_stage_probability": CHANCE[stage],
        "hs_is_closed": str(is_closed).lower(),
        "hs_is_closed_won": str(stage == "closedwon").lower(),
        "closedate": iso(closed),
        "hubspot_owner_id": owner_of[customer.executive.number if index == 0 else customer.manager.number],
        "dealtype": "newbusiness" if index == 0 else "existingbusiness",
        "lead_source": random.choice(SOURCES),
    }
    deal = portal.add("deals", values, created, updated)
    if random.random() < 0.98:
        portal.link(("deals", deal["id"]), ("companies", company), 5, "Primary")


def _engagements(
    portal: Portal,
    customer: Customer,
    company: str,
    people: list[str],
    owner_of: dict[int, str],
    random: Random,
    before: datetime,
) -> None:
    days = min(730, (before.date() - customer.born).days)
    eager = {"churned": 0.3, "one_off": 0.3, "prospect": 1.0}.get(customer.kind, 1.0)
    for _ in range(int(random.randint(4, 22) * eager)):
        kind = random.choices(("calls", "emails", "meetings", "notes"), weights=(3, 5, 2, 1))[0]
        when = at(before.date() - timedelta(days=random.randint(1, max(2, days))), random, before)
        values = {"hs_timestamp": iso(when), "hubspot_owner_id": owner_of[customer.manager.number]}
        values |= {
            "calls": {"hs_call_title": "Call", "hs_call_direction": random.choice(("INBOUND", "OUTBOUND"))},
            "emails": {
                "hs_email_subject": "Re: order",
                "hs_email_direction": random.choice(("INCOMING_EMAIL", "EMAIL")),
            },
            "meetings": {"hs_meeting_title": "Review", "hs_meeting_outcome": "COMPLETED"},
            "notes": {"hs_note_body": "Spoke about the next order."},
        }[kind]
        _engage(portal, kind, values, when, company, people, random)
    if random.random() < 0.3 and eager == 1.0:
        when = at(before.date() + timedelta(days=random.randint(3, 40)), random)
        values = {
            "hs_meeting_title": "Next review",
            "hs_meeting_outcome": "SCHEDULED",
            "hs_timestamp": iso(when),
        }
        values["hubspot_owner_id"] = owner_of[customer.manager.number]
        _engage(
            portal,
            "meetings",
            values,
            before - timedelta(hours=random.randint(1, 200)),
            company,
            people,
            random,
        )
    if random.random() < 0.2:
        when = before - timedelta(days=random.randint(1, 60))
        values = {"hs_task_subject": "Call back", "hs_task_status": random.choice(("COMPLETED", "NOT_STARTED"))}
        values |= {"hs_timestamp": iso(when), "hubspot_owner_id": owner_of[customer.manager.number]}
        _engage(portal, "tasks", values, when, company, people, random)


def _engage(
    portal: Portal,
    kind: str,
    values: dict[str, Any],
    when: datetime,
    company: str,
    people: list[str],
    random: Random,
) -> None:
    record = portal.add(kind, values, when, when)
    portal.link((kind, record["id"]), ("companies", company), 181)
    if people:
        portal.link((kind, record["id"]), ("contacts", random.choice(people)), 193)


def _dead(portal: Portal, random: Random, before: datetime) -> None:
    """Archive a few records, and let a few companies have swallowed others that are no more."""
    for kind, share in (("companies", 0.01), ("deals", 0.01)):
        for number in random.sample(sorted(portal.objects[kind]), max(1, int(len(portal.objects[kind]) * share))):
            portal.archive(kind, number, before - timedelta(days=random.randint(1, 200)))
    alive = [number for number, record in sorted(portal.objects["companies"].items()) if not record["archived"]]
    for number in random.sample(alive, max(1, len(alive) // 60)):
        archived = ";".join(str(8_000_000 + random.randint(0, 900_000)) for _ in range(random.choice((1, 1, 2))))
        portal.objects["companies"][number]["properties"]["hs_merged_object_ids"] = archived


def _spaced(phone: str) -> str:
    return (
        f"{phone[:3]} {phone[3:6]} {phone[6:]}"
        if not phone.startswith("+1")
        else f"{phone[:2]} {phone[2:5]} {phone[5:]}"
    )
