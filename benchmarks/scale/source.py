"""What three systems hold of so many customers, as raw rows: a CRM, an ERP and a helpdesk, made by DuckDB from numbers.

Of N customers the CRM knows all, the ERP six in ten, the helpdesk every second. On them hang 5 N deals, 10 N tickets,
3 N invoices, 2 N orders, 2 N payments, 2 N activities and N ratings. A customer of low number has more of all that.
One row in 20 has an older version too, and one in 1,000 breaks a rule. The same N gives the same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

AS_OF = date(2026, 6, 30)
ROLES = {"crm": "crm", "erp": "erp", "desk": "helpdesk"}

MACROS = f"""
CREATE MACRO u(i, salt) AS hash(i * 97 + salt) / 18446744073709551616.0;
CREATE MACRO pick(i, salt, words) AS words[1 + floor(u(i, salt) * len(words))::INT];
CREATE MACRO born(n) AS DATE '{AS_OF}' - 30 - floor(1400 * u(n, 1))::INT;
CREATE MACRO days(n) AS greatest(least(1600 * u(n, 2), DATE '{AS_OF}' - born(n)), 1);
CREATE MACRO happened(i, n) AS born(n) + floor(days(n) * u(i, 3))::INT;
CREATE MACRO stamp(day, i) AS
    strftime(day::TIMESTAMP + to_seconds(floor(u(i, 4) * 80000)::BIGINT), '%Y-%m-%dT%H:%M:%SZ');
CREATE MACRO worth(i, salt, most) AS round(exp(u(i, salt) * ln(most)), 2);
CREATE MACRO money(i, n, most) AS CASE WHEN i % 1000 = 500 THEN 'much' ELSE worth(i, 5, most)::VARCHAR END;
CREATE MACRO currency(n) AS CASE WHEN u(n, 6) < 0.8 THEN 'EUR' WHEN u(n, 6) < 0.92 THEN 'USD' ELSE 'GBP' END;
CREATE MACRO word(n, salt) AS pick(n, salt, ['ba', 'del', 'fi', 'gor', 'kun', 'la', 'mir', 'no', 'pet', 'ra', 'sal', 'tu'])
    || pick(n, salt + 1, ['ber', 'dan', 'fel', 'gut', 'ken', 'lo', 'man', 'nis', 'par', 'ros', 'sto', 'vik']);
CREATE MACRO called(n) AS upper(word(n, 10)[1]) || word(n, 10)[2:] || word(n, 12) || ' '
    || pick(n, 14, ['Tools', 'Foods', 'Logistics', 'Energy', 'Metal', 'Paper', 'Software', 'Clinics']);
CREATE MACRO land(n) AS pick(n, 15, ['DE', 'AT', 'FR', 'NL', 'GB', 'US']);
CREATE MACRO place(n) AS lpad(floor(u(n, 16) * 90000 + 10000)::INT::VARCHAR, 5, '0');
CREATE MACRO owner(n) AS (n % 200)::VARCHAR;
"""


@dataclass(frozen=True)
class Source:
    """Describe a stream: how many rows a customer, the table it feeds, and its records as SQL over row numbers `i`."""

    table: str
    share: float
    records: str
    by: str = "i"  # the customer `n` of row `i`, of `many` customers

    def count(self, customers: int) -> int:
        """Give the number of records."""
        return max(int(customers * self.share), 1)


_ERP = "floor(many * 0.6 * u(i, 7) ** 2)::BIGINT // 6 * 10 + floor(many * 0.6 * u(i, 7) ** 2)::BIGINT % 6"
_DESK = "2 * floor(many * 0.5 * u(i, 7) ** 1.5)::BIGINT"
_CRM = "floor(many * u(i, 7) ** 1.5)::BIGINT"
_FIRM = """called(n) || pick(n, 17, [' GmbH', ' AG', ' Ltd', '']) AS name, land(n) AS country,
    stamp(born(n), n) AS created_at, stamp(born(n) + 20, n) AS updated_at"""
_STREET = "word(n, 18) || ' Street ' || (n % 150) AS street, place(n) AS postal_code, word(n, 20) AS city"
_OWNER = """i::VARCHAR AS owner_id, 'Person ' || i AS name, 'person' || i || '@house.example' AS email,
    pick(i, 20, ['account_manager', 'account_executive']) AS role, pick(i, 21, ['north', 'south']) AS region,
    true AS is_active, '2024-01-01T00:00:00Z' AS updated_at"""

STREAMS: Mapping[str, Mapping[str, Source]] = {
    "crm": {
        "owners": Source("owners", 0, _OWNER),
        "accounts": Source(
            "accounts",
            1,
            f"""n::VARCHAR AS account_id, {_FIRM}, {_STREET}, owner(n) AS owner_id,
            CASE WHEN u(n, 22) < 0.6 THEN 'T' || 1000000000 + n END AS tax_id,
            CASE WHEN u(n, 23) < 0.85 THEN word(n, 10) || n || '.com' END AS domain,
            CASE WHEN u(n, 24) < 0.8 THEN '+49 30 ' || 10000000 + n END AS phone,
            'sales@' || word(n, 10) || n || '.com' AS email, floor(worth(n, 25, 5000))::INT AS employees,
            pick(n, 26, ['steel', 'food', 'retail']) AS industry, true AS is_active""",
        ),
        "deals": Source(
            "deals",
            5,
            """i::VARCHAR AS deal_id, n::VARCHAR AS account_id, 'Deal ' || i AS name, owner(n) AS owner_id,
            CASE WHEN u(i, 30) < 0.6 THEN 'won' WHEN u(i, 30) < 0.85 THEN 'lost' ELSE 'open' END AS status,
            CASE WHEN u(i, 30) < 0.6 THEN 1 WHEN u(i, 30) < 0.85 THEN 0 ELSE round(u(i, 31), 1) END AS probability,
            money(i, n, 80000) AS amount, currency(n) AS currency, pick(i, 32, ['Referral', 'Fair', 'Web']) AS lead_source,
            pick(i, 33, ['new', 'existing']) AS kind, stamp(happened(i, n), i) AS created_at,
            strftime(happened(i, n) + CASE WHEN u(i, 30) < 0.85 THEN floor(u(i, 34) * 60)::INT
                ELSE 60 + floor(u(i, 34) * 200)::INT END, '%Y-%m-%d') AS close_on,
            stamp(happened(i, n) + 20, i) AS updated_at""",
            _CRM,
        ),
        "activities": Source(
            "activities",
            2,
            """i::VARCHAR AS activity_id, n::VARCHAR AS account_id, n || '-' || i % 3 AS contact_id, owner(n) AS owner_id,
            pick(i % 3 + n * 3, 35, ['CEO', 'Director of sales', 'Buyer', 'Clerk']) AS contact_title,
            pick(i, 36, ['call', 'email', 'meeting', 'task']) AS kind, pick(i, 37, ['inbound', 'outbound']) AS direction,
            'done' AS status, 'Talk ' || i AS subject, stamp(happened(i, n), i) AS happened_at,
            stamp(happened(i, n), i) AS updated_at""",
            _CRM,
        ),
    },
    "erp": {
        "owners": Source("owners", 0, _OWNER),
        "accounts": Source(
            "accounts",
            0.6,
            f"""n::VARCHAR AS account_id, {_FIRM}, {_STREET}, owner(n + 7) AS owner_id,
            CASE WHEN u(n, 40) < 0.88 THEN 'T' || 1000000000 + n END AS tax_id,
            CASE WHEN u(n, 41) < 0.8 THEN '+49 30 ' || 10000000 + n END AS phone, true AS is_active""",
            "i // 6 * 10 + i % 6",
        ),
        "orders": Source(
            "orders",
            2,
            """i::VARCHAR AS order_id, n::VARCHAR AS account_id, 'S' || i AS number, owner(n) AS owner_id,
            CASE WHEN u(i, 42) < 0.95 THEN 'confirmed' ELSE 'draft' END AS status, money(i, n, 20000) AS amount,
            currency(n) AS currency, strftime(happened(i, n), '%Y-%m-%d') AS ordered_on,
            stamp(happened(i, n) + 1, i) AS updated_at""",
            _ERP,
        ),
        "invoices": Source(
            "invoices",
            3,
            """i::VARCHAR AS invoice_id, n::VARCHAR AS account_id, 'R' || i AS number, owner(n) AS owner_id,
            CASE WHEN u(i, 43) < 0.97 THEN 'invoice' ELSE 'credit_note' END AS kind, 'posted' AS status,
            money(i, n, 20000) AS net_amount, round(worth(i, 5, 20000) * 1.2, 2) AS total_amount,
            CASE WHEN u(i, 44) < 0.9 THEN 0 ELSE round(worth(i, 5, 20000) * 1.2, 2) END AS open_amount,
            CASE WHEN u(n, 45) < 0.7 THEN round(worth(i, 5, 20000) * 0.6, 2) END AS cost_amount,
            currency(n) AS currency, land(n) AS ship_to_country, strftime(happened(i, n), '%Y-%m-%d') AS invoice_on,
            strftime(happened(i, n) + 30, '%Y-%m-%d') AS due_on, stamp(happened(i, n) + 2, i) AS updated_at""",
            _ERP,
        ),
        "payments": Source(
            "payments",
            2,
            """i::VARCHAR AS payment_id, n::VARCHAR AS account_id, i::VARCHAR AS invoice_id, 'inbound' AS kind,
            'posted' AS status, money(i, n, 20000) AS amount, currency(n) AS currency,
            strftime(happened(i, n) + floor(u(i, 46) * 50)::INT, '%Y-%m-%d') AS paid_on,
            stamp(happened(i, n) + 50, i) AS updated_at""",
            _ERP,
        ),
    },
    "desk": {
        "accounts": Source(
            "accounts",
            0.5,
            f"""n::VARCHAR AS account_id, {_FIRM}, true AS is_active,
            CASE WHEN u(n, 47) < 0.9 THEN word(n, 10) || n || '.com' END AS domain""",
            "i * 2",
        ),
        "tickets": Source(
            "tickets",
            10,
            """i::VARCHAR AS ticket_id, n::VARCHAR AS account_id, 'Help ' || i AS subject,
            CASE WHEN u(i, 50) < 0.95 THEN 'solved' ELSE 'open' END AS status,
            pick(i, 51, ['urgent', 'high', 'normal', 'normal', 'low']) AS priority,
            round(worth(i, 52, 3000)) AS first_reply_minutes,
            CASE WHEN u(i, 50) < 0.95 THEN round(worth(i, 53, 15000)) END AS resolution_minutes,
            round(worth(i, 54, 200)) AS agent_minutes, (u(i, 55) < 0.1)::INT AS reopens,
            CASE WHEN u(i, 50) < 0.95 THEN strftime(strptime(stamp(happened(i, n), i), '%Y-%m-%dT%H:%M:%SZ')
                + to_minutes(round(worth(i, 53, 15000))::BIGINT), '%Y-%m-%dT%H:%M:%SZ') END AS solved_at,
            CASE WHEN i % 1000 = 500 THEN 'then' ELSE stamp(happened(i, n), i) END AS created_at,
            stamp(happened(i, n) + 11, i) AS updated_at""",
            _DESK,
        ),
        "ratings": Source(
            "ratings",
            1,
            """i::VARCHAR AS rating_id, (i * 10)::VARCHAR AS ticket_id,
            CASE WHEN u(i, 56) < 0.8 THEN 'csat' WHEN u(i, 56) < 0.95 THEN 'nps' ELSE 'ces' END AS kind,
            CASE WHEN u(i, 56) < 0.8 THEN floor(1 + 5 * u(i, 57) ** 0.5) WHEN u(i, 56) < 0.95
                THEN floor(11 * u(i, 57) ** 0.5) ELSE floor(1 + 7 * u(i, 57)) END AS score,
            CASE WHEN u(i, 56) < 0.8 OR u(i, 56) >= 0.95 THEN 1 ELSE 0 END AS score_min,
            CASE WHEN u(i, 56) < 0.8 THEN 5 WHEN u(i, 56) < 0.95 THEN 10 ELSE 7 END AS score_max,
            stamp(happened(i, i) + 1, i) AS rated_at, stamp(happened(i, i) + 1, i) AS updated_at""",
        ),
    },
}


def connection(name: str, columns: Mapping[str, list[str]]) -> dict[str, Any]:
    """Configure a connection whose records have a table's own names; `columns` are those of each stream."""
    streams = {
        stream: {
            "path": stream,
            "table": source.table,
            "primary_key": columns[stream][0],
            "cursor": {"path": "updated_at", "param": "since"},
            "fields": dict(zip(columns[stream], columns[stream], strict=True)),
        }
        for stream, source in STREAMS[name].items()
    }
    settings = {"base_url": "http://127.0.0.1", "streams": streams}
    return {"connector": "rest", "role": ROLES[name], "settings": settings}


def records(source: Source, customers: int) -> str:
    """Give the SQL of a stream's records."""
    rows = (
        f"SELECT i, {source.by} AS n FROM (SELECT i, {customers} AS many FROM range({_size(source, customers)}) t(i))"
    )
    return f"SELECT {source.records} FROM ({rows})"


def raw(source: Source, customers: int, columns: list[str]) -> str:
    """Give the SQL of a stream's raw rows: text, with the record as JSON; one in 20 has an older version."""
    texts = ", ".join(f'r."{name}"::VARCHAR AS "{name}"' for name in columns)
    seen = "TIMESTAMPTZ '2026-06-30 22:00:00+00'"
    return f"""
        SELECT r."{columns[0]}" AS _key, r.updated_at::TIMESTAMPTZ - to_hours(age) AS _cursor, false AS _deleted,
            {seen} - to_hours(age) AS _extracted_at, to_json(r)::VARCHAR AS _payload,
            0::BIGINT AS _generation, 24 - age AS _sequence, {texts}
        FROM ({records(source, customers)}) r, (VALUES (0), (24)) versions(age)
        WHERE age = 0 OR hash(r."{columns[0]}") % 20 = 0"""


def _size(source: Source, customers: int) -> int:
    return source.count(customers) if source.share else 200
