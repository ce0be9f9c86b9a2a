"""What the helpdesk holds of the world: organizations, users, tickets with metrics, ratings."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from sandbox.core.clock import iso
from sandbox.world import names
from sandbox.world.company import KINDS, Customer, Person, at

TABLES = ("organizations", "users", "tickets", "satisfaction_ratings")
Row = dict[str, Any]


class Desk:
    """Hold rows by table and id; `moved` is when a row last changed, by the system's own stamp."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Row]] = {table: {} for table in TABLES}
        self.moved: dict[str, dict[int, datetime]] = {table: {} for table in TABLES}
        self._next = 360_000_000_000

    def add(self, table: str, values: Row, created: datetime, updated: datetime) -> Row:
        """Create a row with its stamps."""
        self._next += 13
        row = {"id": self._next, "created_at": _z(created), "updated_at": _z(updated), **values}
        self.rows[table][row["id"]] = row
        self.moved[table][row["id"]] = updated
        return row


def fill(
    customers: Iterable[Customer], staff: list[Person], random: Random, today: date, truth: dict[int, Any]
) -> Desk:
    """Put the world into a helpdesk; `truth` learns the ids."""
    desk = Desk()
    before = datetime.combine(today, datetime.min.time()).replace(tzinfo=at(today, random).tzinfo)
    long_ago = before - timedelta(days=1400)
    agents = []
    for number in range(6):
        name = f"{random.choice(names.PEOPLE)} {random.choice(names.FAMILY)}"
        values = {
            "name": name,
            "email": f"agent{number}@example.com",
            "role": "agent",
            "active": True,
            "organization_id": None,
        }
        agents.append(desk.add("users", values, long_ago, long_ago)["id"])
    for customer in customers:
        if random.random() < 0.25:
            continue
        organization = _organization(desk, customer, random, before)
        truth[customer.number].setdefault("zendesk", []).append(str(organization["id"]))
        mail = f"support@{customer.domain}"
        values = {"name": customer.base, "email": mail, "role": "end-user", "active": True}
        user = desk.add("users", values | {"organization_id": organization["id"]}, long_ago, long_ago)
        _, _, _, yearly, good = KINDS[customer.kind]
        years = min(3.0, (before.date() - customer.born).days / 365)
        for _ in range(int(random.gauss(yearly * years, 1.5))):
            _ticket(desk, customer, organization["id"], user["id"], random.choice(agents), good, random, before)
    for number in random.sample(sorted(desk.rows["tickets"]), max(1, len(desk.rows["tickets"]) // 150)):
        desk.rows["tickets"][number]["status"] = "deleted"
    return desk


def _organization(desk: Desk, customer: Customer, random: Random, before: datetime) -> Row:
    created = at(customer.born, random, before)
    updated = min(before, created + timedelta(days=random.randint(0, max(1, (before - created).days))))
    values = {
        "name": customer.base if random.random() < 0.7 else customer.name,
        "domain_names": [customer.domain] if random.random() < 0.7 else [],
        "external_id": None,
        "tags": [],
        "deleted_at": None,
        "organization_fields": {
            "vat_number": customer.vat if random.random() < 0.4 else None,
            "phone": customer.phone if random.random() < 0.5 else None,
            "postcode": customer.zip if random.random() < 0.85 else None,
            "country": customer.country if random.random() < 0.9 else None,
        },
    }
    return desk.add("organizations", values, created, updated)


def _ticket(
    desk: Desk,
    customer: Customer,
    organization: int,
    user: int,
    agent: int,
    good: float,
    random: Random,
    before: datetime,
) -> None:
    days = max(1, (before.date() - customer.born).days)
    created = at(
        before.date() - timedelta(days=random.randint(1, min(days, 1000))),
        random,
        before - timedelta(hours=1),
    )
    is_open = (before - created).days < 12 and random.random() < 0.6
    worse = 1 + (1 - good) * 4
    reply = int(random.lognormvariate(4, 1) * worse)
    solve = reply + int(random.lognormvariate(7, 1) * worse)
    solved = min(before, created + timedelta(minutes=solve))
    status = (
        random.choice(("new", "open", "pending", "hold")) if is_open else random.choice(("solved", "closed", "closed"))
    )
    updated = created + timedelta(minutes=30) if is_open else solved
    rated = not is_open and random.random() < 0.35
    score = ("good" if random.random() < good else "bad") if rated else "unoffered"
    values = {
        "subject": random.choice(names.SUBJECTS),
        "organization_id": organization,
        "requester_id": user,
        "assignee_id": agent,
        "status": status,
        "priority": random.choices(("urgent", "high", "normal", "low", None), weights=(1, 3, 8, 4, 1))[0],
        "type": "problem",
        "tags": [],
        "satisfaction_rating": {"score": score},
        "metric_set": {
            "reopens": random.choices((0, 1, 2), weights=(12, 3, 1) if good > 0.7 else (6, 3, 2))[0],
            "replies": random.randint(1, 6),
            "solved_at": None if is_open else _z(solved),
            "assigned_at": _z(created),
            "reply_time_in_minutes": {"calendar": None if status == "new" else reply, "business": None},
            "full_resolution_time_in_minutes": {"calendar": None if is_open else solve, "business": None},
        },
    }
    ticket = desk.add("tickets", values, created, min(updated, before))
    if rated:
        words = names.GOOD_WORDS if score == "good" else names.BAD_WORDS
        when = min(before, solved + timedelta(hours=random.randint(1, 30)))
        values = {"score": score, "comment": random.choice(words), "reason": None, "ticket_id": ticket["id"]}
        values |= {"requester_id": user, "assignee_id": agent, "group_id": None}
        desk.add("satisfaction_ratings", values, when, when)


def _z(moment: datetime) -> str:
    return iso(moment)[:-5] + "Z"
